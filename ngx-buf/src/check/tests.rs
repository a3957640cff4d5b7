use super::*;
use proptest::prelude::*;

fn flags(among: Flags) -> impl Strategy<Value = Flags> {
    let some = any::<u8>().prop_map(move |bits| {
        let all = [
            Flags::FLUSH,
            Flags::SYNC,
            Flags::LAST_IN_CHAIN,
            Flags::RECYCLED,
            Flags::TEMP_FILE,
        ];
        let chosen = (0..).zip(all).filter(|(i, _)| bits >> i & 1 != 0);
        chosen.fold(Flags::empty(), |set, (_, flag)| set | flag) & among
    });
    prop_oneof![3 => Just(Flags::empty()), 1 => some]
}

fn part() -> impl Strategy<Value = Part> {
    let control = Flags::CONTROL;
    let memory = proptest::collection::vec(any::<u8>(), 0..40);
    let memory = (memory, any::<bool>(), flags(control | Flags::RECYCLED));
    let file = (0..FILE_LEN, 0..300u64, flags(control | Flags::TEMP_FILE));
    prop_oneof![
        3 => memory.prop_map(|(bytes, shared, flags)| Part::Memory { bytes, shared, flags }),
        1 => flags(control).prop_map(Part::Static),
        3 => file.prop_map(|(from, len, flags)| {
            let to = (from + len).min(FILE_LEN);
            Part::File { from, to, flags }
        }),
        1 => flags(control).prop_map(Part::Special),
        1 => flags(control).prop_map(Part::Empty),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => proptest::collection::vec(part(), 0..10).prop_map(Op::Send),
        2 => Just(Op::Resume),
        1 => any::<bool>().prop_map(Op::Hold),
        2 => (0..5usize).prop_map(Op::Release),
        3 => Just(Op::Read),
    ]
}

fn setting() -> impl Strategy<Value = Setting> {
    let bits = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let small = (0..60usize, 0..200usize, any::<bool>());
    let more = (any::<bool>(), 0..60u64, 1..300u64, small);
    let bufs = (1..5usize, 1..120usize, 0..20usize);
    let alignment = prop_oneof![Just(1), (1..8u32).prop_map(|power| 1usize << power)];
    (bits, bufs, alignment, more).prop_map(|(bits, bufs, alignment, more)| Setting {
        sendfile: bits.0,
        need_in_memory: bits.1,
        need_in_temp: bits.2,
        reader: bits.3,
        num: bufs.0,
        size: bufs.1,
        boundary: bufs.2,
        alignment,
        sink_sends_files: more.0,
        postpone: more.1,
        turn: more.2,
        copies: more.3.0,
        reads: more.3.1,
        gives_back: more.3.2,
    })
}

fn sink() -> impl Strategy<Value = Vec<Step>> {
    let steps = |error: u32| {
        let step = prop_oneof![
            10 => (1..80usize).prop_map(Step::Accept),
            6 => Just(Step::Accept(1)),
            6 => Just(Step::WouldBlock),
            1 => Just(Step::Error(io::ErrorKind::Interrupted)),
            error => Just(Step::Error(io::ErrorKind::ConnectionReset)),
        ];
        proptest::collection::vec(step, 0..300)
    };
    prop_oneof![3 => steps(0), 1 => steps(1)]
}

proptest! {
    #![proptest_config(crate::cases(500))]

    #[test]
    fn what_comes_out_is_what_the_model_says(
        setting in setting(),
        ops in proptest::collection::vec(op(), 0..12),
        sink in sink(),
    ) {
        Script { setting, ops, sink }.run();
    }

    #[test]
    fn bytes_of_any_kind_are_a_script(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_output(&data);
    }
}

#[test]
fn a_wrong_model_is_noticed() {
    let mut model = model::Model::default();
    model.push(&Part::File {
        from: 3,
        to: 5,
        flags: Flags::FLUSH,
    });
    assert_eq!(model.bytes, [3, 4]);
    assert_eq!(model.marks, [(2, Flags::FLUSH)]);
}

/// Found by fuzzing: the end, copied to be changed, was a quarter larger than what alignment had made
/// of the size.
#[test]
fn an_end_that_is_copied_keeps_its_bound() {
    fuzz_output(&[
        0x3f, 0, 0, 0x30, 5, 0, 0, 0, 0, 0, 0xff, 0xae, 0xff, 8, 5, 0, 0, 0, 0, 0xff, 1, 0xff,
        0xa8, 0xa8, 0xeb, 0xea, 0xea, 0xea, 0xea,
    ]);
}
