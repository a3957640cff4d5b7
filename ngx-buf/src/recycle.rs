//! Getting memory back.

use bytes::Bytes;

use crate::{Buf, BufPool, Chain, Tag};

/// Takes back the memory that nobody else needs any more (nginx: `ngx_chain_update_chains`).
///
/// ```text
///   producer:  take from free, fill, freeze --.-- clone --> out --> busy
///                                             '-- window --> filters --> writer --> socket
///   later:     busy --- memory is unique ---> free       (the window is whole again)
/// ```
///
/// A producer that wants its memory back keeps, for every buf that it hands on, a buf of its own
/// over the *whole* memory in `out`. All of `out` moves to the end of `busy`. Then from `busy`
///
/// * what bears another tag is dropped: holding it only keeps its owner waiting;
/// * what bears `tag` and is held by nobody else goes to `free`, ready to be filled;
/// * what bears `tag` and is still held stays, in order.
///
/// A filter or a consumer that keeps a window of the memory for long keeps all of it from being
/// used again: it should copy what it needs.
///
/// ```
/// use ngx_buf::{update_chains, Buf, BufPool, Chain, Tag};
///
/// const TAG: Tag = Tag::new(&"producer");
/// let (mut free, mut busy, mut out) = (BufPool::new(4, 1024), Chain::new(), Chain::new());
///
/// let mut memory = free.take().ok_or("no buffer")?;
/// memory[..5].copy_from_slice(b"hello");
/// let whole = memory.freeze();
/// let handed_on = Buf::from(whole.slice(..5)).with_tag(TAG);
/// out.push(Buf::from(whole).with_tag(TAG));
///
/// update_chains(&mut free, &mut busy, &mut out, TAG);
/// assert_eq!(busy.len(), 1); // not sent yet
/// drop(handed_on);
/// update_chains(&mut free, &mut busy, &mut out, TAG);
/// assert_eq!((busy.len(), free.stats().in_use), (0, 0));
/// # Ok::<(), &str>(())
/// ```
pub fn update_chains(free: &mut BufPool, busy: &mut Chain, out: &mut Chain, tag: Tag) {
    for _ in 0..busy.len() {
        let Some(buf) = busy.pop_front() else { break };
        take_back(free, busy, buf, tag);
    }
    while let Some(buf) = out.pop_front() {
        take_back(free, busy, buf, tag);
    }
}

/// Takes the memory of `buf` back, or keeps it in `busy` if it is still held.
#[inline]
fn take_back(free: &mut BufPool, busy: &mut Chain, buf: Buf, tag: Tag) {
    if buf.tag() != tag {
        return;
    }
    if let Some(bytes) = buf.into_bytes() {
        match bytes.try_into_mut() {
            Ok(memory) => free.give(memory),
            Err(held) => busy.push(own(held, tag)),
        }
    }
}

fn own(bytes: Bytes, tag: Tag) -> Buf {
    Buf::from(bytes).with_tag(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag::new(&"test");

    /// Takes `n` buffers: the owner's view of each in one chain, what is handed on in the other.
    fn produce(pool: &mut BufPool, n: usize) -> (Chain, Chain) {
        (0..n)
            .map(|i| {
                let mut memory = pool.take().unwrap();
                memory[0] = i as u8;
                let whole = memory.freeze();
                (own(whole.clone(), TAG), own(whole.slice(..1), TAG))
            })
            .unzip()
    }

    #[test]
    fn comes_back_in_any_order_and_stays_in_order() {
        let mut pool = BufPool::new(3, 8);
        let mut busy = Chain::new();
        let (mut out, handed) = produce(&mut pool, 3);
        let mut handed: Vec<Buf> = handed.into_iter().collect();
        update_chains(&mut pool, &mut busy, &mut out, TAG);
        assert!(out.is_empty());
        assert_eq!((busy.len(), pool.stats().in_use), (3, 3));

        handed.remove(1);
        update_chains(&mut pool, &mut busy, &mut out, TAG);
        let firsts: Vec<u8> = busy.iter().map(|buf| buf.as_slice().unwrap()[0]).collect();
        assert_eq!(firsts, [0, 2]);
        assert_eq!(pool.stats().in_use, 2);

        handed.clear();
        update_chains(&mut pool, &mut busy, &mut out, TAG);
        assert_eq!((busy.len(), pool.stats().in_use), (0, 0));
        assert_eq!(pool.take().unwrap().len(), 8, "the window is whole again");
    }

    #[test]
    fn a_foreign_buf_is_let_go_at_once() {
        let mut pool = BufPool::new(1, 8);
        let (mut busy, mut out) = (Chain::new(), Chain::new());
        let theirs = Bytes::from(b"theirs".to_vec());
        out.push(Buf::from(theirs.clone()).with_tag(Tag::new(&"other")));
        out.push(Buf::last());
        update_chains(&mut pool, &mut busy, &mut out, TAG);
        assert!(busy.is_empty() && theirs.is_unique());
        assert_eq!(pool.stats().allocated, 0);
    }
}
