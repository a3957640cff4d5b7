use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

fn chain(parts: &[&'static str]) -> Chain {
    parts.iter().map(|part| Buf::from(*part)).collect()
}

#[test]
fn keeps_order_over_the_inline_space() {
    let mut chain = Chain::new();
    assert!(chain.is_empty() && chain.front().is_none() && chain.pop_front().is_none());
    for n in 0..100 {
        chain.push(n.to_string());
    }
    assert_eq!(chain.len(), 100);
    for n in 0..100 {
        assert_eq!(
            chain.pop_front().unwrap().as_slice(),
            Some(n.to_string().as_bytes())
        );
    }
    assert!(chain.is_empty());
}

#[test]
fn no_larger_than_a_buf() {
    assert_eq!(size_of::<Chain>(), size_of::<Buf>());
    assert_eq!(size_of::<Option<Chain>>(), size_of::<Chain>());
}

#[test]
fn storage_does_not_grow_while_links_come_and_go() {
    let mut chain = chain(&["a", "b"]);
    for _ in 0..10_000 {
        chain.push("x");
        chain.pop_front();
    }
    assert_eq!(chain.len(), 2);
    assert!(matches!(&chain.0, Repr::Many(links) if links.capacity() < 32));
}

#[test]
fn push_front_uses_the_place_of_what_was_taken() {
    let mut c = chain(&["b", "c"]);
    c.push_front("a");
    assert_eq!(c.to_vec(), b"abc");
    c.pop_front();
    c.push_front("A");
    assert_eq!((c.len(), c.to_vec()), (3, b"Abc".to_vec()));
}

#[test]
fn append_and_copy() {
    let mut c = Chain::new();
    c.append(chain(&["a", "b"]));
    c.append(chain(&["c"]));
    let mut copy = Chain::from(Bytes::from_static(b"0"));
    copy.add_copy(&c);
    assert_eq!(c.to_vec(), b"abc");
    assert_eq!(copy.to_vec(), b"0abc");
    assert_eq!(copy.into_iter().len(), 4);
}

#[test]
fn advance_takes_specials_when_all_before_went() {
    let mut c = chain(&["ab"]);
    c.push(Buf::special(Flags::FLUSH));
    c.push("cd");
    c.push(Buf::last());
    assert_eq!(c.advance(1), 0);
    assert_eq!(c.len(), 4);
    assert_eq!(c.advance(1), 0);
    assert_eq!(c.front().unwrap().as_slice(), Some(&b"cd"[..]));
    assert!(c.has_last_buf());
    assert_eq!(c.advance(5), 3);
    assert!(c.is_empty() && !c.has_last_buf());
}

#[test]
fn advance_by_nothing_takes_specials_only() {
    let mut c = Chain::from(Buf::special(Flags::SYNC));
    c.push("");
    c.push("a");
    c.push(Buf::last());
    c.advance(0);
    assert_eq!(c.len(), 2);
    assert_eq!(c.size(), 1);
}

#[test]
fn specials_at_the_cut_stay() {
    let mut c = chain(&["ab"]);
    c.push(Buf::special(Flags::FLUSH));
    c.push("cd");
    c.push(Buf::last());
    let mut all = c.clone();
    assert_eq!(format!("{:?}", c.split_to(2)), r#"[memory(2, "ab")]"#);
    assert_eq!(c.front().unwrap().flags(), Flags::FLUSH);
    assert_eq!(
        format!("{:?}", c.split_to(1)),
        r#"[special FLUSH, memory(1, "c")]"#
    );
    assert_eq!(all.split_to(4).len(), 3);
    assert_eq!(all.len(), 1);
    assert_eq!(all.split_to(1).len(), 1);
}

#[test]
fn one_link_is_shared_and_more_are_copied() {
    let bytes = Bytes::from(b"abc".to_vec());
    let mut c = Chain::from(bytes.clone());
    c.push(Buf::last());
    assert_eq!(c.copy_to_bytes().as_ptr(), bytes.as_ptr());
    c.push("d");
    c.push("e");
    assert_eq!(c.copy_to_bytes(), "abcde");
    assert_eq!(Chain::new().copy_to_bytes(), "");
}

#[cfg(feature = "file")]
#[test]
fn adjacent_ranges_become_one() {
    let file = std::sync::Arc::new(crate::FileBuf::new(tempfile::tempfile().unwrap(), "f"));
    let part = |range| Buf::file(std::sync::Arc::clone(&file), range);
    let mut c = Chain::new();
    c.push_coalesced(part(0..5));
    c.push_coalesced(part(5..9));
    c.push_coalesced(part(10..12));
    c.push_coalesced("x");
    c.push_coalesced(part(12..13));
    assert_eq!(c.len(), 4);
    assert_eq!(c.front().unwrap().file_range(), Some(0..9));
    assert_eq!(c.size(), 13);
    // A range that has been taken must not be joined.
    let mut c = Chain::from(part(0..5));
    c.push("x");
    c.pop_front();
    c.pop_front();
    c.push_coalesced(part(5..6));
    assert_eq!(c.size(), 1);
}

#[derive(Debug, Clone)]
enum Op {
    Push(Vec<u8>),
    PushFront(Vec<u8>),
    Special,
    Pop,
    Advance(u64),
    SplitAndRejoin(u64),
    Append(Vec<Vec<u8>>),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..6);
    let op = prop_oneof![
        bytes().prop_map(Op::Push),
        bytes().prop_map(Op::PushFront),
        Just(Op::Special),
        Just(Op::Pop),
        (0..20u64).prop_map(Op::Advance),
        (0..20u64).prop_map(Op::SplitAndRejoin),
        proptest::collection::vec(bytes(), 0..8).prop_map(Op::Append),
    ];
    proptest::collection::vec(op, 0..if cfg!(miri) { 12 } else { 60 })
}

proptest! {
    #![proptest_config(crate::cases(256))]

    #[test]
    fn behaves_like_a_queue_of_bytes(ops in ops()) {
        let mut chain = Chain::new();
        let mut model: VecDeque<u8> = VecDeque::new();
        for op in ops {
            match op {
                Op::Push(bytes) => {
                    model.extend(&bytes);
                    chain.push(bytes);
                }
                Op::PushFront(bytes) => {
                    bytes.iter().rev().for_each(|b| model.push_front(*b));
                    chain.push_front(bytes);
                }
                Op::Special => chain.push(Buf::special(Flags::FLUSH)),
                Op::Pop => {
                    let len = chain.pop_front().map_or(0, |buf| buf.len() as usize);
                    model.drain(..len);
                }
                Op::Advance(n) => {
                    let taken = (n as usize).min(model.len());
                    model.drain(..taken);
                    prop_assert_eq!(chain.advance(n), n - taken as u64);
                }
                Op::SplitAndRejoin(n) => {
                    let mut head = chain.split_to(n);
                    prop_assert_eq!(head.size(), n.min(model.len() as u64));
                    head.append(std::mem::take(&mut chain));
                    chain = head;
                }
                Op::Append(parts) => {
                    parts.iter().for_each(|part| model.extend(part));
                    chain.append(parts.into_iter().map(Buf::from).collect());
                }
            }
            prop_assert_eq!(chain.size(), model.len() as u64);
            prop_assert_eq!(chain.to_vec(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(chain.is_empty(), chain.iter().next().is_none());
            prop_assert_eq!(chain.is_empty(), chain.front().is_none());
        }
    }
}
