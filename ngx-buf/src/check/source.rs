//! A script from bytes, whatever they are.

use std::io;

use super::{FILE_LEN, Op, Part, Script, Setting};
use crate::Flags;
use crate::testing::Step;

/// Reads a script; bytes that are not there are 0.
pub(super) fn script(data: &[u8]) -> Script {
    let mut source = Source(data);
    let setting = setting(&mut source);
    let sink = (0..source.below(32)).map(|_| step(&mut source)).collect();
    let mut ops = Vec::new();
    while !source.0.is_empty() {
        ops.push(op(&mut source));
    }
    Script { setting, ops, sink }
}

struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn below(&mut self, n: u8) -> usize {
        usize::from(self.byte() % n)
    }

    fn flags(&mut self, among: Flags) -> Flags {
        // Most bufs have no mark.
        let bits = self.byte();
        let mut flags = Flags::empty();
        for (i, flag) in FLAGS.into_iter().enumerate() {
            if bits & 0x80 != 0 && bits >> i & 1 != 0 && among.contains(flag) {
                flags.insert(flag);
            }
        }
        flags
    }
}

fn setting(source: &mut Source<'_>) -> Setting {
    let bits = source.byte();
    Setting {
        sendfile: bits & 1 != 0,
        need_in_memory: bits & 2 != 0,
        need_in_temp: bits & 4 != 0,
        reader: bits & 8 != 0,
        sink_sends_files: bits & 16 != 0,
        num: 1 + source.below(4),
        size: 1 + source.below(100),
        boundary: source.below(20),
        alignment: if bits & 32 != 0 {
            1 << source.below(7)
        } else {
            1
        },
        postpone: if bits & 64 != 0 {
            source.below(50) as u64
        } else {
            0
        },
        turn: 1 + source.below(200) as u64,
        gives_back: source.below(2) == 0,
        copies: source.below(64),
        reads: source.below(200),
    }
}

fn step(source: &mut Source<'_>) -> Step {
    match source.byte() {
        0..=15 => Step::WouldBlock,
        16 => Step::Error(io::ErrorKind::BrokenPipe),
        17 => Step::Error(io::ErrorKind::PermissionDenied),
        18 => Step::Error(io::ErrorKind::Interrupted),
        n => Step::Accept(usize::from(n % 64)),
    }
}

fn op(source: &mut Source<'_>) -> Op {
    match source.below(8) {
        0 => Op::Resume,
        1 => Op::Hold(source.below(2) == 0),
        2 => Op::Release(source.below(4)),
        3 => Op::Read,
        _ => Op::Send((0..source.below(8)).map(|_| part(source)).collect()),
    }
}

fn part(source: &mut Source<'_>) -> Part {
    let control = Flags::CONTROL - Flags::LAST_BUF;
    match source.below(8) {
        0 => Part::Special(source.flags(control)),
        1 => Part::Empty(source.flags(control)),
        2 => Part::Static(source.flags(control)),
        3 | 4 => Part::Memory {
            bytes: (0..source.below(40)).map(|i| i as u8).collect(),
            shared: source.below(2) == 0,
            flags: source.flags(control | Flags::RECYCLED),
        },
        _ => {
            let from = source.below(250) as u64 * 3;
            let to = (from + source.below(250) as u64).min(FILE_LEN);
            Part::File {
                from,
                to,
                flags: source.flags(control | Flags::TEMP_FILE),
            }
        }
    }
}

const FLAGS: [Flags; 6] = [
    Flags::FLUSH,
    Flags::SYNC,
    Flags::LAST_BUF,
    Flags::LAST_IN_CHAIN,
    Flags::RECYCLED,
    Flags::TEMP_FILE,
];
