use super::*;
use crate::ChainWriter;
use crate::testing::{Step, TestSink};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Part {
    Memory(Vec<u8>),
    File(u64, u64),
    Flush,
    Empty,
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let part = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 1..20).prop_map(Part::Memory),
        3 => (0..200u64, 1..50u64).prop_map(|(from, len)| Part::File(from, from + len)),
        1 => Just(Part::Flush),
        1 => Just(Part::Empty),
    ];
    proptest::collection::vec(part, 0..30)
}

proptest! {
    #[test]
    fn bytes_out_are_bytes_in(
        sends in proptest::collection::vec(parts(), 1..4),
        needs in (any::<bool>(), any::<bool>(), any::<bool>()),
        (num, size, alignment) in (1..4usize, 1..40usize, 0..20usize),
        script in proptest::collection::vec(
            prop_oneof![(1..9usize).prop_map(Step::Accept), Just(Step::WouldBlock)],
            0..200,
        ),
        postpone in 0..50u64,
    ) {
        let (sendfile, need_in_memory, need_in_temp) = needs;
        let cx = context(num, size);
        let cx = OutputContext { sendfile, need_in_memory, need_in_temp, alignment, ..cx };
        let mut output = OutputChain::new(cx);
        let mut writer = ChainWriter::new();
        writer.set_postpone(postpone);
        let mut sink = TestSink::new().script(script).with_files();
        let file = file::content();
        let mut model = Vec::new();
        let (mut last, mut empty) = (0, 0);
        let count = sends.len();
        for (i, parts) in sends.into_iter().enumerate() {
            let mut input = Chain::new();
            for part in parts {
                match part {
                    Part::Memory(bytes) => {
                        model.extend_from_slice(&bytes);
                        input.push(bytes);
                    }
                    Part::File(from, to) => {
                        model.extend_from_slice(&file::BYTES[from as usize..to as usize]);
                        input.push(Buf::file(std::sync::Arc::clone(&file), from..to));
                    }
                    Part::Flush => input.push(Buf::special(Flags::FLUSH)),
                    Part::Empty => {
                        empty += 1;
                        input.push("");
                    }
                }
            }
            if i + 1 == count {
                match input.back_mut() {
                    Some(buf) if !buf.is_empty() => buf.insert_flags(Flags::LAST_BUF),
                    _ => input.push(Buf::last()),
                }
            }
            for _ in 0..2000 {
                let flow = output.send::<Failure>(std::mem::take(&mut input), &mut |run| {
                    for buf in &run {
                        assert_eq!(last, 0, "something follows the end");
                        assert!(!need_in_temp || buf.is_unique() || buf.is_special());
                        assert!(!need_in_memory || !buf.is_file());
                        last += usize::from(buf.flags().contains(Flags::LAST_BUF));
                    }
                    writer.push(run);
                    Ok(writer.try_write(&mut sink).unwrap())
                }).unwrap();
                if flow == Flow::Done {
                    break;
                }
            }
            prop_assert!(output.is_empty());
            prop_assert!(output.stats().peak <= num);
        }
        prop_assert!(writer.is_empty());
        prop_assert_eq!(&sink.received, &model);
        prop_assert_eq!((last, output.alerts()), (1, empty));
        prop_assert_eq!(collect(&mut output, Chain::new(), &mut Vec::new()), Flow::Done);
        prop_assert_eq!(output.stats().in_use, 0);
    }
}
