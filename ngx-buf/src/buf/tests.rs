use super::*;

#[test]
fn small_enough_to_move_around() {
    assert!(size_of::<Buf>() <= 48);
    assert_eq!(size_of::<Option<Buf>>(), size_of::<Buf>());
}

#[test]
fn conversions_keep_the_bytes() {
    let all = [
        Buf::from_static(b"abc"),
        Buf::from(Bytes::from_static(b"abc")),
        Buf::from(BytesMut::from(&b"abc"[..])),
        Buf::from(&b"abc"[..]),
        Buf::from(b"abc"),
        Buf::from("abc"),
        Buf::from(b"abc".to_vec()),
        Buf::from(String::from("abc")),
    ];
    for buf in all {
        assert!(buf.is_memory() && !buf.is_file() && !buf.is_special());
        assert_eq!(buf.len(), 3);
        assert_eq!(buf.as_slice(), Some(&b"abc"[..]));
        assert_eq!(buf.into_bytes().unwrap(), "abc");
    }
}

#[test]
fn a_special_is_marks_only() {
    let buf = Buf::last();
    assert!(buf.is_special() && buf.is_empty() && !buf.is_memory());
    assert_eq!(buf.as_slice(), None);
    assert_eq!(buf.into_bytes(), None);
    assert!(!Buf::default().is_special());
    assert!(!Buf::special(Flags::RECYCLED).is_special());
    assert!(!Buf::from("").with_flags(Flags::FLUSH).is_special());
}

#[test]
fn the_window_never_leaves_its_end() {
    let mut buf = Buf::from("abcdef");
    buf.advance(2);
    assert_eq!(buf.as_slice(), Some(&b"cdef"[..]));
    buf.truncate(3);
    assert_eq!(buf.as_slice(), Some(&b"cde"[..]));
    buf.truncate(u64::MAX);
    assert_eq!(buf.len(), 3);
    buf.advance(u64::MAX);
    assert!(buf.is_empty());
    let mut special = Buf::last();
    special.advance(3);
    special.truncate(3);
    assert!(special.is_special());
}

#[test]
fn the_end_stays_with_the_last_byte() {
    let marks = Flags::LAST_BUF | Flags::RECYCLED;
    let tag = Tag::new(&"test");
    for at in 0..=4 {
        let mut rest = Buf::from("abc").with_flags(marks).with_tag(tag);
        let head = rest.split_to(at);
        assert_eq!(head.len(), at.min(3));
        assert_eq!(head.tag(), tag);
        if at < 3 {
            assert_eq!(head.flags(), Flags::RECYCLED);
            assert_eq!(rest.flags(), marks);
            assert_eq!(rest.len(), 3 - at);
        } else {
            assert_eq!(head.flags(), marks);
            assert!(rest.is_empty() && rest.flags().is_empty());
        }
    }
}

#[test]
fn flags_can_be_changed() {
    let mut buf = Buf::from("x").with_flags(Flags::FLUSH);
    buf.insert_flags(Flags::SYNC);
    buf.remove_flags(Flags::FLUSH);
    assert_eq!(buf.flags(), Flags::SYNC);
    buf.set_flags(Flags::empty());
    assert!(buf.flags().is_empty());
}

#[test]
fn unique_until_cloned() {
    let buf = Buf::from(b"abc".to_vec());
    assert!(buf.is_unique());
    let other = buf.clone();
    assert!(!buf.is_unique());
    drop(other);
    assert!(buf.is_unique());
    assert!(!Buf::from("static").is_unique());
    assert!(!Buf::last().is_unique());
}

#[test]
fn joins_what_lies_together() {
    for whole in [Buf::from(b"0123456789".to_vec()), Buf::from("0123456789")] {
        let mut rest = whole.clone();
        let mut first = rest.split_to(3);
        let second = rest.split_to(4);
        assert!(first.join(rest.clone()).is_err(), "a gap");
        assert!(first.join(second.clone()).is_ok());
        assert_eq!(first.as_slice(), Some(&b"0123456"[..]));
        assert!(first.clone().join(second).is_err(), "twice");
        assert!(first.join(rest.with_flags(Flags::FLUSH)).is_ok());
        assert_eq!((first.len(), first.flags()), (10, Flags::FLUSH));
        assert!(first.join(whole.clone()).is_err(), "the mark is between");
        assert_eq!(first.into_bytes().unwrap(), "0123456789");
    }
    let (mut a, b) = (Buf::from(b"ab".to_vec()), Buf::from(b"cd".to_vec()));
    assert!(a.join(b).is_err(), "nothing is known of what lies between");
}

#[test]
fn a_window_has_an_end() {
    for whole in [Buf::from(b"0123456789".to_vec()), Buf::from("0123456789")] {
        let mut window = whole.clone();
        window.advance(2);
        window.truncate(5);
        window.truncate(4);
        assert_eq!(window.as_slice(), Some(&b"2345"[..]));
        assert_eq!(window.to_bytes().unwrap(), "2345");
        assert_eq!(window.share(&window.as_slice().unwrap()[1..3]), "34");
        window.advance(9);
        assert!(window.is_empty());
        assert_eq!(window.into_bytes().unwrap(), "");
    }
}

#[test]
fn debug_is_readable() {
    let buf = Buf::from("a\r\n")
        .with_flags(Flags::FLUSH)
        .with_tag(Tag::new(&"me"));
    assert_eq!(format!("{buf:?}"), r#"memory(3, "a\r\n") FLUSH of me"#);
    assert_eq!(format!("{:?}", Buf::last()), "special LAST_BUF");
    let long = format!("{:?}", Buf::from("x".repeat(100)));
    assert_eq!(long, format!("memory(100, \"{}\"..)", "x".repeat(32)));
}

#[cfg(feature = "file")]
mod file {
    use super::*;
    use crate::FileBuf;

    fn shared() -> Arc<FileBuf> {
        Arc::new(FileBuf::new(tempfile::tempfile().unwrap(), "f"))
    }

    #[test]
    fn a_window_over_a_file() {
        let mut buf = Buf::file(shared(), 10..30).with_flags(Flags::LAST_BUF);
        assert!(buf.is_file() && buf.as_slice().is_none());
        buf.advance(5);
        let head = buf.split_to(5);
        assert_eq!(head.file_range(), Some(15..20));
        assert!(head.flags().is_empty());
        buf.truncate(4);
        assert_eq!(buf.file_range(), Some(20..24));
        assert_eq!(format!("{buf:?}"), "file(FileBuf(f), 20..24) LAST_BUF");
        buf.advance(u64::MAX);
        assert!(buf.is_empty());
    }

    #[test]
    fn joins_only_what_goes_on() {
        let file = shared();
        let part = |range| Buf::file(Arc::clone(&file), range);
        let mut buf = part(0..10);
        assert!(buf.join(part(10..20).with_flags(Flags::LAST_BUF)).is_ok());
        assert_eq!(buf.file_range(), Some(0..20));
        assert!(buf.flags().contains(Flags::LAST_BUF));
        assert!(buf.join(part(20..30)).is_err(), "the end is between");
        let mut buf = part(0..10);
        assert!(buf.join(part(11..20)).is_err(), "a gap");
        assert!(
            buf.join(Buf::file(shared(), 10..20)).is_err(),
            "another file"
        );
        assert!(buf.join(part(10..20).with_tag(Tag::new(&"x"))).is_err());
        assert!(buf.join(part(10..20).with_flags(Flags::TEMP_FILE)).is_err());
        assert!(buf.join(Buf::from("x")).is_err());
    }
}
