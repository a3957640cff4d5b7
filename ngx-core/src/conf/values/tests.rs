use super::*;
use crate::conf::node::Body;
use crate::conf::span::Span;

#[test]
fn sizes_have_units() {
    assert_eq!(size(b"0"), Ok(0));
    assert_eq!(size(b"8k"), Ok(8192));
    assert_eq!(size(b"8K"), Ok(8192));
    assert_eq!(size(b"1m"), Ok(1 << 20));
    assert_eq!(size(b"1g"), Err(ValueError::Size));
    assert_eq!(size(b""), Err(ValueError::Size));
    assert_eq!(size(b"k"), Err(ValueError::Size));
    assert_eq!(size(b"-1"), Err(ValueError::Size));
    assert_eq!(size(b"1kk"), Err(ValueError::Size));
    assert_eq!(size(b"1.5m"), Err(ValueError::Size));
    assert_eq!(size(b"99999999999999999999"), Err(ValueError::Overflow));
}

#[test]
fn offsets_reach_further() {
    assert_eq!(offset(b"2g"), Ok(2 << 30));
    assert_eq!(offset(b"2G"), Ok(2 << 30));
    assert_eq!(offset(b"9223372036854775807"), Ok(u64::MAX >> 1));
    assert_eq!(offset(b"9223372036854775808"), Err(ValueError::Overflow));
    assert_eq!(offset(b"9223372036854775807k"), Err(ValueError::Overflow));
    assert_eq!(offset(b"1t"), Err(ValueError::Offset));
}

#[test]
fn times_are_sums_in_order() {
    let millis = |text: &str| time(text.as_bytes()).map(|time| time.as_millis());
    assert_eq!(millis("30"), Ok(30_000));
    assert_eq!(millis("0"), Ok(0));
    assert_eq!(millis("500ms"), Ok(500));
    assert_eq!(millis("1s500ms"), Ok(1_500));
    assert_eq!(millis("1h30m"), Ok(5_400_000));
    assert_eq!(millis("1h 30m"), Ok(5_400_000));
    assert_eq!(millis("1m30"), Ok(90_000));
    assert_eq!(millis("1w1d"), Ok(691_200_000));
    // What nginx adds up too, though nobody writes it.
    assert_eq!(millis("1 1"), Ok(2_000));
    assert_eq!(millis(" 1"), Ok(1_000));
    assert_eq!(millis("1m s"), Ok(60_000));
    assert_eq!(millis("1ms1"), Ok(1_001));
    assert_eq!(millis("1s 1"), Ok(2_000));
    for text in [
        "", "s", "1x", "1S", "30m1h", "1m1m", "1s 1s", "1y", "1M", "-1", "1.5s", "1 1 1", "1s 1 ",
        "1 1m", "1ms 1s", " ",
    ] {
        assert_eq!(millis(text), Err(ValueError::Millis), "{text}");
    }
    assert_eq!(millis("99999999999999999999"), Err(ValueError::Overflow));
    assert_eq!(millis("9223372036854775807s"), Err(ValueError::Overflow));
}

#[test]
fn seconds_know_years() {
    let secs = |text: &str| seconds(text.as_bytes()).map(|time| time.as_secs());
    assert_eq!(secs("1y"), Ok(31_536_000));
    assert_eq!(secs("1M"), Ok(2_592_000));
    assert_eq!(secs("1y1M1w1d1h1m1s"), Ok(31_536_000 + 2_592_000 + 694_861));
    assert_eq!(secs("500ms"), Err(ValueError::Seconds));
    assert_eq!(secs("1M1y"), Err(ValueError::Seconds));
}

fn with_arguments<T>(words: &[&str], f: impl FnOnce(&Args<'_>) -> T) -> T {
    let word = |text: &str| Word::new(text.as_bytes(), Span::NOWHERE, false);
    let words: Vec<_> = words.iter().map(|text| word(text)).collect();
    f(&Args::new(&word("x"), &words, &Body::Simple))
}

fn message<T: std::fmt::Debug>(result: Result<T, Problem>) -> String {
    let mut problem = result.unwrap_err();
    problem.complete("x");
    problem.message
}

#[test]
fn messages_are_those_of_nginx() {
    with_arguments(&["maybe", "300"], |args| {
        assert_eq!(message(args.size(0)), "\"x\" directive invalid value");
        assert_eq!(message(args.time(0)), "\"x\" directive invalid value");
        assert_eq!(message(args.number(0)), "\"x\" directive invalid number");
        assert_eq!(
            message(args.number_in(1, 1..=9)),
            "value must be between 1 and 9"
        );
        assert_eq!(
            message(args.number_in(1, 301..=u64::MAX)),
            "value must be equal to or greater than 301"
        );
        assert_eq!(
            message(args.flag(0)),
            "invalid value \"maybe\" in \"x\" directive, it must be \"on\" or \"off\""
        );
        assert_eq!(
            message(args.choice(0, &[("on", 1)])),
            "invalid value \"maybe\""
        );
        assert_eq!(message(args.offset(7)), "\"x\" directive invalid value");
    });
}

#[test]
fn a_wrong_unit_gets_the_right_one() {
    let help = |text: &str, read: fn(&Args<'_>) -> Option<Problem>| {
        with_arguments(&[text], |args| {
            let help = read(args)
                .and_then(|problem| problem.help)
                .unwrap_or_default();
            let meant = help
                .strip_prefix("did you mean \"")
                .and_then(|rest| rest.split('"').next());
            meant.unwrap_or_default().to_owned()
        })
    };
    let offset = |text: &str| help(text, |args| args.offset(0).err());
    assert_eq!(offset("10MB"), "10m");
    assert_eq!(offset("1 GiB"), "1g");
    assert_eq!(offset("512bytes"), "512");
    assert_eq!(offset("1t"), "");
    assert_eq!(help("1g", |args| args.size(0).err()), "");
    let time = |text: &str| help(text, |args| args.time(0).err());
    assert_eq!(time("5min"), "5m");
    assert_eq!(time("30sec"), "30s");
    assert_eq!(time("30S"), "30s");
    assert_eq!(time("10 msec"), "10ms");
    assert_eq!(time("1year"), "");
    assert_eq!(time("soon"), "");
    assert_eq!(help("1year", |args| args.seconds(0).err()), "1y");
}

#[test]
fn choices_and_flags_ignore_case() {
    let choices = [("error", 1_u8), ("timeout", 2), ("off", 0)];
    with_arguments(&["ERROR", "timeout", "error", "Off"], |args| {
        assert_eq!(args.flag(3), Ok(false));
        assert_eq!(args.choice(1, &choices), Ok(2));
        let (bits, warnings) = args.bits(0, &choices, 0, |a, b| a | b).unwrap();
        assert_eq!(bits, 3);
        let messages: Vec<_> = warnings
            .into_iter()
            .map(|problem| problem.message)
            .collect();
        assert_eq!(messages, ["duplicate value \"error\""]);
    });
}
