use super::*;

/// 2026-11-21 02:00:33
const THEN: i64 = 1_795_226_433;

fn entry(name: &str, kind: Kind, size: u64) -> Entry {
    Entry {
        name: name.into(),
        kind,
        size,
        modified: THEN,
    }
}

fn page(entries: &[Entry], listing: &Listing<'_>) -> String {
    String::from_utf8(html(entries, listing)).unwrap()
}

fn listing() -> Listing<'static> {
    Listing {
        path: b"/pub/",
        utf8: false,
        offset: 0,
        sizes: Sizes::Exact,
    }
}

/// The line of the only entry.
fn line(entry: Entry, listing: &Listing<'_>) -> String {
    page(&[entry], listing).lines().nth(4).unwrap().to_owned()
}

#[test]
fn a_page_as_nginx_writes_it() {
    let entries = [
        entry("dir", Kind::Folder, 4096),
        entry("a b&c", Kind::File, 42),
    ];
    let want = "<html>\r\n<head><title>Index of /&lt;x&gt;/</title></head>\r\n\
        <body>\r\n<h1>Index of /&lt;x&gt;/</h1><hr><pre><a href=\"../\">../</a>\r\n\
        <a href=\"dir/\">dir/</a>                                               \
        21-Nov-2026 02:00                   -\r\n\
        <a href=\"a%20b%26c\">a b&amp;c</a>                                              \
        21-Nov-2026 02:00                  42\r\n\
        </pre><hr></body>\r\n</html>\r\n";
    assert_eq!(
        page(
            &entries,
            &Listing {
                path: b"/<x>/",
                ..listing()
            }
        ),
        want
    );
}

#[test]
fn long_names_are_cut() {
    let name = "x".repeat(50);
    let whole = line(entry(&name, Kind::File, 1), &listing());
    assert!(whole.contains(&format!(">{name}</a> 21-Nov")), "{whole}");
    let whole = line(entry(&name, Kind::Folder, 1), &listing());
    assert!(whole.contains(&format!("/\">{name}</a> 21-Nov")), "{whole}");
    let cut = line(entry(&"x".repeat(51), Kind::File, 1), &listing());
    assert!(
        cut.contains(&format!(">{}..&gt;</a> 21-Nov", "x".repeat(47))),
        "{cut}"
    );
}

#[test]
fn names_are_counted_in_characters_where_the_charset_says_so() {
    let utf8 = Listing {
        utf8: true,
        ..listing()
    };
    let name = "ü".repeat(50);
    assert!(line(entry(&name, Kind::File, 1), &utf8).contains(&format!(">{name}</a> 21")));
    let cut = line(entry(&"ü".repeat(51), Kind::File, 1), &utf8);
    assert!(
        cut.contains(&format!(">{}..&gt;</a> 21", "ü".repeat(47))),
        "{cut}"
    );
    assert_eq!(shortened(b"\xff\xfe", true), (b"\xff\xfe".as_slice(), 2));
    assert_eq!(shortened("ü".as_bytes(), false).1, 2);
}

#[test]
fn sizes_are_rounded() {
    let rounded = Listing {
        sizes: Sizes::Rounded,
        ..listing()
    };
    let size = |size| {
        let line = line(entry("a", Kind::File, size), &rounded);
        line.split_once("02:00 ").unwrap().1.to_owned()
    };
    assert_eq!(size(0), "      0");
    assert_eq!(size(9_999), "   9999");
    assert_eq!(size(10_000), "    10K");
    assert_eq!(size(10_751), "    10K");
    assert_eq!(size(10_752), "    11K");
    assert_eq!(size(1024 * 1024 - 1), "  1024K");
    assert_eq!(size(1024 * 1024), "     1M");
    assert_eq!(size(3 << 29), "     2G");
    assert!(line(entry("a", Kind::Folder, 1), &rounded).ends_with("02:00       -"));
}

#[test]
fn plain_sizes_keep_the_place_of_the_unit() {
    // nginx leaves the column of the unit empty in front.
    assert_eq!(format!("{:>7}", rounded(5)), format!(" {:>6}", 5));
}

#[test]
fn times_may_be_local() {
    let there = Listing {
        offset: 3 * 3600,
        ..listing()
    };
    assert!(line(entry("a", Kind::File, 1), &there).contains("21-Nov-2026 05:00"));
}

#[test]
fn json_names_are_escaped() {
    let entries = [
        entry("d\"\\\n\u{1}", Kind::Folder, 0),
        entry("f", Kind::File, 7),
        entry("l", Kind::Other, 7),
    ];
    let want = "[\r\n\
        { \"name\":\"d\\\"\\\\\\n\\u0001\", \"type\":\"directory\", \
        \"mtime\":\"Sat, 21 Nov 2026 02:00:33 GMT\" },\r\n\
        { \"name\":\"f\", \"type\":\"file\", \
        \"mtime\":\"Sat, 21 Nov 2026 02:00:33 GMT\", \"size\":7 },\r\n\
        { \"name\":\"l\", \"type\":\"other\", \
        \"mtime\":\"Sat, 21 Nov 2026 02:00:33 GMT\" }\r\n]";
    assert_eq!(String::from_utf8(json(&entries, b"")).unwrap(), want);
    assert_eq!(json(&[], b""), b"[\r\n]");
    assert_eq!(json(&[], b"f"), b"/* callback */\r\nf([\r\n]);");
}

#[test]
fn xml_has_sizes_of_files_alone() {
    let entries = [entry("d", Kind::Folder, 0), entry("<f>", Kind::File, 7)];
    let want = "<?xml version=\"1.0\"?>\r\n<list>\r\n\
        <directory mtime=\"2026-11-21T02:00:33Z\">d</directory>\r\n\
        <file mtime=\"2026-11-21T02:00:33Z\" size=\"7\">&lt;f&gt;</file>\r\n</list>\r\n";
    assert_eq!(String::from_utf8(xml(&entries)).unwrap(), want);
}
