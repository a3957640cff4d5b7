//! The output chain: makes a chain fit for the next filter.

pub(crate) mod align;
mod copy;
mod decide;

use std::task::{Context, Poll};

use crate::reads::Reads;
use crate::{Buf, BufPool, Chain, Flags, Flow, OutputError, PoolStats, Tag, update_chains};
use copy::{Copied, Filled, Filling};
use decide::{Decision, decide};

/// Hands a chain to a filter, in the form that the filter can use, with bounded memory.
///
/// ```text
///                      as is: special, memory, file with sendfile
///                  .----------------------------------------------.
///   send(chain) -> input --- else: copy into a buffer ------------+--> run --> filter(run)
///                              ^                                  |             Done / Again
///                             free <--- unique again --- busy <---'
///                           (num x size at most)
/// ```
///
/// A chain that needs no copying, when nothing is queued, goes straight to the filter. Else what
/// has to be copied is read into up to `num` buffers of `size` bytes; the filter gets each run as
/// soon as no buffer is left. The buffers come back when whoever got them has dropped them. While
/// all are held, or when the filter says [`Flow::Again`], the rest of the input waits and `send`
/// says `Again`: call it once more with an empty chain when the filter's receiver has sent
/// something. The producer must not go on before it says [`Flow::Done`]; that is the
/// back-pressure.
///
/// Files are read where `send` is called, or by somebody else (`set_reader`, with the
/// feature `file`), so that the thread does not wait for a disk. `send` then says `Again` too, and
/// [`is_reading`](Self::is_reading) tells the two apart: call it again when
/// [`poll_read`](Self::poll_read) is ready.
///
/// Bufs without bytes and without a mark are dropped and counted ([`alerts`](Self::alerts)): they
/// are a mistake of the producer.
///
/// ```
/// use ngx_buf::{Buf, Chain, ChainWriter, Flow, OutputChain, OutputContext, Tag};
/// use ngx_buf::testing::TestSink;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const TAG: Tag = Tag::new(&"copy filter");
/// let mut output = OutputChain::new(OutputContext::new(TAG));
/// let (mut writer, mut sink) = (ChainWriter::new(), TestSink::new());
///
/// let chain = Chain::from_iter(["hello".into(), Buf::last()]);
/// let flow = output.send::<Box<dyn std::error::Error>>(chain, &mut |run| {
///     writer.push(run);
///     Ok(writer.try_write(&mut sink)?)
/// })?;
/// assert_eq!(flow, Flow::Done);
/// assert_eq!(sink.received, b"hello");
/// # Ok(())
/// # }
/// ```
///
/// To make one costs next to nothing, and one that never copies has nothing on the heap. One that
/// copies keeps its buffers: whoever sends one response after the other has it
/// [`reset`](Self::reset) between them.
#[derive(Debug)]
pub struct OutputChain {
    cx: OutputContext,
    input: Chain,
    reads: Reads,
    alerts: u64,
    /// Made with the first copy.
    copying: Option<Box<Copying>>,
}

/// What it takes to copy.
#[derive(Debug)]
struct Copying {
    free: BufPool,
    /// The whole memory of every copy that was handed on and is still held.
    busy: Chain,
    /// The buffer for the front of the input, while somebody else reads into it.
    filling: Option<Filling>,
}

/// What the filter behind an [`OutputChain`] can use, and the memory that may be spent for it.
///
/// ```
/// use ngx_buf::{Bufs, OutputContext, Tag};
///
/// let mut cx = OutputContext::new(Tag::new(&"copy filter"));
/// cx.sendfile = true;
/// cx.bufs = Bufs { num: 4, size: 16 * 1024 };
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct OutputContext {
    /// File ranges may go on as they are.
    pub sendfile: bool,
    /// The filter looks at the bytes: files are read into memory.
    pub need_in_memory: bool,
    /// The filter changes the bytes in place: what it gets is memory that nobody else holds, so
    /// that [`Buf::change`] succeeds. Such copies are given away, `bufs.num` at most for each call of
    /// the filter, and come back if the filter says so: [`OutputChain::take_back`].
    pub need_in_temp: bool,
    /// Reads from files end at a multiple of this where they can, in bytes; 0 or 1 is anywhere.
    /// With the size of a page every page of a file is read once, wherever its range begins. What
    /// direct I/O needs is a matter of the file (`FileBuf::make_direct`).
    pub alignment: usize,
    /// How much memory copies may take (nginx: `output_buffers`). Under direct I/O what alignment
    /// costs is taken from it: there are fewer bytes in a buffer, or fewer buffers. Only a single
    /// buffer too small for that may take up to one alignment more. Of 16 KiB or more each buffer takes
    /// up to a page of addresses beside, to begin where copying is quickest ([`BufPool`](crate::BufPool)).
    pub bufs: Bufs,
    /// Marks the copies as the output chain's own.
    pub tag: Tag,
}

/// A number of buffers of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bufs {
    /// How many, at least one.
    pub num: usize,
    /// Bytes in each, at least one.
    pub size: usize,
}

impl OutputContext {
    /// The defaults: no `sendfile`, no needs, and nginx's `output_buffers 2 32k`.
    #[must_use]
    pub const fn new(tag: Tag) -> Self {
        Self {
            sendfile: false,
            need_in_memory: false,
            need_in_temp: false,
            alignment: 0,
            bufs: Bufs {
                num: 2,
                size: 32 * 1024,
            },
            tag,
        }
    }
}

impl OutputChain {
    /// An output chain with nothing in it. No memory is taken before something must be copied.
    #[must_use]
    #[inline]
    pub fn new(cx: OutputContext) -> Self {
        Self {
            cx,
            input: Chain::new(),
            reads: Reads::default(),
            alerts: 0,
            copying: None,
        }
    }

    /// Makes it ready for another response: as if it were new, but its buffers, if `cx` wants the
    /// same number and size of them, are used again, those that somebody holds not. Whoever reads
    /// files stays the same.
    pub fn reset(&mut self, cx: OutputContext) {
        self.input.clear();
        self.reads.reset();
        self.alerts = 0;
        match &mut self.copying {
            Some(copying) if self.cx.bufs == cx.bufs => copying.reset(self.cx.tag),
            _ => self.copying = None,
        }
        self.cx = cx;
    }

    /// Has files read by `reader` from now on, or, with `None`, where [`send`](Self::send) is
    /// called (nginx: `aio threads`).
    #[cfg(feature = "file")]
    pub fn set_reader(&mut self, reader: Option<std::sync::Arc<dyn crate::FileReader>>) {
        self.reads.set_reader(reader);
    }

    /// Takes `input`, and hands on to `filter` what can be handed on now.
    ///
    /// An empty `input` goes on with what waits. The filter is called at least once, if only with
    /// an empty chain, so that it can go on with what it keeps itself.
    ///
    /// # Errors
    ///
    /// What the filter says, or that a file could not be read; after either the output chain is of
    /// no more use.
    pub fn send<E: From<OutputError>>(
        &mut self,
        input: Chain,
        filter: &mut dyn FnMut(Chain) -> Result<Flow, E>,
    ) -> Result<Flow, E> {
        self.recycle(&mut Chain::new());
        if self.is_short(&input) {
            return filter(input);
        }
        self.input.append(input);
        let mut called = false;
        loop {
            let mut copies = Chain::new();
            let run = self.next_run(&mut copies)?;
            if run.is_empty() && called {
                return Ok(if self.input.is_empty() {
                    Flow::Done
                } else {
                    Flow::Again
                });
            }
            let flow = filter(run)?;
            called = true;
            self.recycle(&mut copies);
            if flow == Flow::Again {
                return Ok(Flow::Again);
            }
        }
    }

    /// Takes back copies that were given away to be changed ([`need_in_temp`]), as a clone of each,
    /// made behind the change. As soon as nobody else holds one its memory is used again; until then
    /// it counts, so that no more than `bufs.num` are on their way at once. What is not a copy of
    /// this output chain is dropped.
    ///
    /// [`need_in_temp`]: OutputContext::need_in_temp
    ///
    /// ```
    /// use ngx_buf::testing::TestSink;
    /// use ngx_buf::{Buf, Chain, ChainWriter, OutputChain, OutputContext, Tag};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut cx = OutputContext::new(Tag::new(&"example"));
    /// cx.need_in_temp = true;
    /// let mut output = OutputChain::new(cx);
    /// let (mut writer, mut sink) = (ChainWriter::new(), TestSink::new());
    /// for _ in 0..3 {
    ///     let mut changed = Chain::new();
    ///     let _ = output.send::<Box<dyn std::error::Error>>(Buf::from("hello").into(), &mut |run| {
    ///         for mut buf in run {
    ///             buf.change(<[u8]>::make_ascii_uppercase);
    ///             changed.push(buf.clone());
    ///             writer.push_buf(buf);
    ///         }
    ///         Ok(writer.try_write(&mut sink)?)
    ///     })?;
    ///     output.take_back(changed);
    /// }
    /// assert_eq!(sink.received, b"HELLOHELLOHELLO");
    /// assert_eq!((output.stats().peak, output.stats().reused), (1, 2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_back(&mut self, copies: impl Into<Chain>) {
        let Some(copying) = &mut self.copying else {
            return;
        };
        for buf in copies.into() {
            if buf.tag() == self.cx.tag && buf.is_memory() && copying.free.remember() {
                copying.busy.push(buf);
            }
        }
    }

    /// Whether no input waits. What was handed on may still be held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// How many bytes wait.
    #[must_use]
    pub fn pending(&self) -> u64 {
        let filling = self.copying.as_ref().and_then(|c| c.filling.as_ref());
        let filled = filling.map_or(0, Filling::filled) as u64;
        self.input.size().saturating_add(filled)
    }

    /// Whether somebody reads a file for this, or has read it and [`send`](Self::send) was not
    /// called since. Until then the input waits, however much the filter could take.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.reads.is_busy()
    }

    /// Waits until the file that is read has been read: [`send`](Self::send) has something to do
    /// then. Ready at once if nothing is read.
    ///
    /// # Cancel safety
    ///
    /// A future around this may be dropped at any time: the read goes on, and its outcome waits. One
    /// task at a time is woken, the last that has asked.
    pub fn poll_read(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reads.poll(cx)
    }

    /// What it was made with.
    #[must_use]
    pub fn context(&self) -> &OutputContext {
        &self.cx
    }

    /// How many bufs were dropped because they had neither bytes nor a mark, or had a mark without
    /// being special: the mark went on alone. Worth an alert in a log.
    #[must_use]
    pub fn alerts(&self) -> u64 {
        self.alerts
    }

    /// How much memory copies take now, in bytes: what is free, what is handed on and still held,
    /// what is being filled. Up to `num` times `size`, with a single buffer a quarter more.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.copying.as_ref().map_or(0, |copying| {
            let filling = copying.filling.as_ref().map_or(0, Filling::size);
            copying.free.free_bytes() as u64 + copying.busy.size() + filling as u64
        })
    }

    /// The counters of the copies.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.copying
            .as_ref()
            .map_or_else(PoolStats::default, |copying| copying.free.stats())
    }

    /// Whether `input` can go straight on: nothing is before it, and nothing is to be done to it.
    fn is_short(&self, input: &Chain) -> bool {
        self.input.is_empty()
            && input
                .iter()
                .all(|buf| decide(&self.cx, buf) == Decision::AsIs)
    }

    /// Takes from the input what can be handed on now; `copies` gets the owner's view of what was
    /// copied.
    fn next_run(&mut self, copies: &mut Chain) -> Result<Chain, OutputError> {
        let mut run = Chain::new();
        let mut given_away = 0;
        while let Some(front) = self.input.front() {
            let filling = self.copying.as_mut().and_then(|c| c.filling.take());
            let filling = match filling {
                Some(filling) => filling,
                None => match decide(&self.cx, front) {
                    Decision::AsIs => {
                        run.extend(self.input.pop_front());
                        continue;
                    }
                    Decision::Drop => {
                        self.drop_front(&mut run);
                        continue;
                    }
                    Decision::Copy => {
                        // The more is handed on at once, the fewer calls it takes: all buffers
                        // that there may be are filled first.
                        let free = &mut copying(&mut self.copying, &self.cx).free;
                        let target = copy::target(&self.cx, free, &self.input);
                        let Some(filling) = target else { break };
                        filling
                    }
                },
            };
            match copy::fill(&self.cx, filling, &mut self.input, &mut self.reads)? {
                Filled::Ready(copied) => {
                    given_away += usize::from(self.cx.need_in_temp);
                    self.hand_on(copied, &mut run, copies);
                }
                Filled::Reading(filling) => {
                    copying(&mut self.copying, &self.cx).filling = Some(filling);
                    break;
                }
            }
        }
        if given_away > 0 {
            copying(&mut self.copying, &self.cx).free.forget(given_away);
        }
        Ok(run)
    }

    fn hand_on(&self, copied: Copied, run: &mut Chain, copies: &mut Chain) {
        let flags = copied.flags;
        if self.cx.need_in_temp {
            let memory = copied.into_window();
            run.push(self.own(memory.into(), flags));
        } else {
            let (window, whole) = copied.into_shared();
            copies.push(self.own(whole.into(), Flags::empty()));
            run.push(self.own(window.into(), flags));
        }
    }

    /// Drops the empty buf at the front; a mark on it goes on.
    fn drop_front(&mut self, run: &mut Chain) {
        self.alerts += 1;
        let flags = self
            .input
            .pop_front()
            .map_or(Flags::empty(), |buf| buf.flags());
        let flags = flags & Flags::CONTROL;
        if !flags.is_empty() {
            run.push(Buf::special(flags));
        }
    }

    fn own(&self, buf: Buf, flags: Flags) -> Buf {
        buf.with_flags(flags).with_tag(self.cx.tag)
    }

    #[inline]
    fn recycle(&mut self, copies: &mut Chain) {
        if let Some(copying) = &mut self.copying
            && !(copying.busy.is_empty() && copies.is_empty())
        {
            copying.recycle(copies, self.cx.tag);
        }
    }
}

impl Copying {
    fn recycle(&mut self, copies: &mut Chain, tag: Tag) {
        update_chains(&mut self.free, &mut self.busy, copies, tag);
    }

    /// Takes back what nobody holds, and forgets the rest.
    fn reset(&mut self, tag: Tag) {
        self.recycle(&mut Chain::new(), tag);
        self.busy.clear();
        if let Some(memory) = self.filling.take().and_then(Filling::into_memory) {
            self.free.give(memory);
        }
        self.free.forget_used();
    }
}

/// What it takes to copy, made now if it was not.
fn copying<'a>(slot: &'a mut Option<Box<Copying>>, cx: &OutputContext) -> &'a mut Copying {
    slot.get_or_insert_with(|| {
        Box::new(Copying {
            free: BufPool::new(cx.bufs.num, cx.bufs.size),
            busy: Chain::new(),
            filling: None,
        })
    })
}

#[cfg(test)]
mod tests;
