//! PCRE2: what `ngx.re` needs of it, which is more than the bindings for programs have: patterns of
//! any bytes, all options, the DFA matcher, and the library's error numbers.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::ptr;

use ngx_core::debug;
use pcre2_sys as pcre;
use smallvec::SmallVec;

/// A compiled pattern.
pub(crate) struct Pattern {
    code: *mut pcre::pcre2_code_8,
    groups: usize,
    names: Vec<(usize, Vec<u8>)>,
    options: Options,
}

/// How a pattern is compiled and run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Bits of `pcre2_compile`.
    pub(crate) bits: u32,
    pub(crate) jit: bool,
    /// Find the longest match, without groups.
    pub(crate) dfa: bool,
    /// Subjects may be invalid UTF-8: what is invalid matches nothing.
    pub(crate) invalid_utf: bool,
}

/// Bits of [`Options`].
pub(crate) mod bits {
    use super::pcre;
    pub(crate) const ANCHORED: u32 = pcre::PCRE2_ANCHORED;
    pub(crate) const CASELESS: u32 = pcre::PCRE2_CASELESS;
    pub(crate) const DOTALL: u32 = pcre::PCRE2_DOTALL;
    pub(crate) const DUPNAMES: u32 = pcre::PCRE2_DUPNAMES;
    pub(crate) const EXTENDED: u32 = pcre::PCRE2_EXTENDED;
    pub(crate) const MULTILINE: u32 = pcre::PCRE2_MULTILINE;
    pub(crate) const UTF: u32 = pcre::PCRE2_UTF;
    /// What PCRE1 called compatible with JavaScript.
    pub(crate) const JAVASCRIPT: u32 =
        pcre::PCRE2_ALT_BSUX | pcre::PCRE2_MATCH_UNSET_BACKREF | pcre::PCRE2_ALLOW_EMPTY_CLASS;
}

/// Why a pattern does not compile.
#[derive(Debug)]
pub(crate) struct CompileError {
    pub(crate) message: String,
    /// Where, in bytes.
    pub(crate) offset: usize,
}

/// The groups of a match, the whole of it first: where they begin and end.
pub(crate) type Spans = SmallVec<[Option<(usize, usize)>; 8]>;

/// A text that patterns are looked for in.
pub(crate) struct Subject<'a> {
    bytes: &'a [u8],
    /// The library has looked and found it to be UTF-8.
    is_utf: Cell<bool>,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            is_utf: Cell::new(false),
        }
    }
}

impl Pattern {
    pub(crate) fn compile(pattern: &[u8], options: Options) -> Result<Self, CompileError> {
        // `\C` could leave a match in the middle of a character, where the library may read amiss.
        let mut bits = options.bits | pcre::PCRE2_NEVER_BACKSLASH_C;
        if options.invalid_utf && !options.dfa {
            bits |= pcre::PCRE2_MATCH_INVALID_UTF;
        }
        let (mut code, mut offset) = (0, 0);
        // SAFETY: the pattern is read up to its length; both results are written.
        let compiled = unsafe {
            pcre::pcre2_compile_8(
                pattern.as_ptr(),
                pattern.len(),
                bits,
                &raw mut code,
                &raw mut offset,
                ptr::null_mut(),
            )
        };
        if compiled.is_null() {
            return Err(CompileError {
                message: message_of(code),
                offset: offset.min(pattern.len()),
            });
        }
        let mut pattern = Self {
            code: compiled,
            groups: 0,
            names: Vec::new(),
            options,
        };
        pattern.groups = pattern.info(pcre::PCRE2_INFO_CAPTURECOUNT);
        pattern.names = pattern.read_names();
        if options.jit && !options.dfa {
            // Where there is no JIT, the interpreter runs the pattern.
            // SAFETY: the code is ours, and nobody runs it yet.
            let code = unsafe { pcre::pcre2_jit_compile_8(compiled, pcre::PCRE2_JIT_COMPLETE) };
            if code == 0 {
                debug!("pcre2 JIT compiled successfully");
            } else {
                debug!("pcre2 JIT compiling failed: {}", message_of(code));
            }
        }
        Ok(pattern)
    }

    /// How many groups it has, without the whole.
    pub(crate) fn groups(&self) -> usize {
        if self.options.dfa { 0 } else { self.groups }
    }

    /// The named groups, sorted by name.
    pub(crate) fn names(&self) -> &[(usize, Vec<u8>)] {
        &self.names
    }

    pub(crate) fn is_utf(&self) -> bool {
        self.options.bits & bits::UTF != 0
    }

    fn info(&self, what: u32) -> usize {
        let mut value = 0u32;
        // SAFETY: what is asked for is an uint32_t each time.
        unsafe { pcre::pcre2_pattern_info_8(self.code, what, (&raw mut value).cast()) };
        usize::try_from(value).unwrap_or(0)
    }

    fn read_names(&self) -> Vec<(usize, Vec<u8>)> {
        let count = self.info(pcre::PCRE2_INFO_NAMECOUNT);
        let size = self.info(pcre::PCRE2_INFO_NAMEENTRYSIZE);
        let mut table = ptr::null::<u8>();
        if count == 0 || size < 3 {
            return Vec::new();
        }
        // SAFETY: here the answer is a pointer to `count` entries of `size` bytes, which live as long
        // as the code.
        let table = unsafe {
            let what = pcre::PCRE2_INFO_NAMETABLE;
            pcre::pcre2_pattern_info_8(self.code, what, (&raw mut table).cast());
            if table.is_null() {
                return Vec::new();
            }
            std::slice::from_raw_parts(table, count * size)
        };
        // An entry is a number of two bytes, high one first, and the name with a NUL.
        let entry = |entry: &[u8]| {
            let group = usize::from(entry[0]) << 8 | usize::from(entry[1]);
            let name = entry[2..].split(|byte| *byte == 0).next();
            (group, name.unwrap_or_default().to_vec())
        };
        table.chunks_exact(size).map(entry).collect()
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        // SAFETY: the code is ours and goes with us.
        unsafe { pcre::pcre2_code_free_8(self.code) }
    }
}

/// What matching needs besides the pattern; one for a VM is enough.
pub(crate) struct Matcher {
    context: *mut pcre::pcre2_match_context_8,
    /// Room for the groups, as many as were needed so far.
    room: RefCell<Room>,
}

struct Room {
    data: *mut pcre::pcre2_match_data_8,
    groups: u32,
    stack: *mut pcre::pcre2_jit_stack_8,
}

impl Matcher {
    /// With `limit`, matching is given up after so many steps; 0 leaves it to the library.
    pub(crate) fn new(limit: u32) -> Self {
        // SAFETY: makes a context with the defaults, or none, which stands for the defaults, too.
        let context = unsafe { pcre::pcre2_match_context_create_8(ptr::null_mut()) };
        if limit > 0 && !context.is_null() {
            // SAFETY: the context was just made.
            unsafe { pcre::pcre2_set_match_limit_8(context, limit) };
        }
        Self {
            context,
            room: RefCell::new(Room {
                data: ptr::null_mut(),
                groups: 0,
                stack: ptr::null_mut(),
            }),
        }
    }

    /// Looks for `pattern` from `start` on; an error is the library's number.
    pub(crate) fn find(
        &self,
        pattern: &Pattern,
        subject: &Subject<'_>,
        start: usize,
    ) -> Result<Option<Spans>, c_int> {
        let mut flags = 0;
        if subject.is_utf.get() && is_boundary(subject.bytes, start) {
            flags |= pcre::PCRE2_NO_UTF_CHECK;
        }
        let mut room = self.room.borrow_mut();
        room.reserve(pattern.groups + 1)?;
        let mut code = self.run(pattern, (subject.bytes, start, flags), room.data);
        if code == pcre::PCRE2_ERROR_JIT_STACKLIMIT {
            flags |= pcre::PCRE2_NO_JIT;
            code = self.run(pattern, (subject.bytes, start, flags), room.data);
        }
        if code == pcre::PCRE2_ERROR_NOMATCH {
            return Ok(None);
        }
        if code < 0 {
            return Err(code);
        }
        // From 0 on means that all of it was looked at.
        if start == 0 && pattern.is_utf() && !pattern.options.invalid_utf {
            subject.is_utf.set(true);
        }
        // The longest match of a DFA comes first, and has no groups.
        let found = if pattern.options.dfa {
            1
        } else {
            usize::try_from(code).unwrap_or(1)
        };
        Ok(Some(room.spans(found, pattern.groups() + 1)))
    }

    fn run(
        &self,
        pattern: &Pattern,
        (bytes, start, flags): (&[u8], usize, u32),
        data: *mut pcre::pcre2_match_data_8,
    ) -> c_int {
        // SAFETY: code, data and context are alive, and used by this thread alone; the subject is
        // read up to its length. Its UTF-8 is only taken for granted after it was checked.
        unsafe {
            if pattern.options.dfa {
                let mut space = [0; DFA_SPACE];
                pcre::pcre2_dfa_match_8(
                    pattern.code,
                    bytes.as_ptr(),
                    bytes.len(),
                    start,
                    flags,
                    data,
                    self.context,
                    space.as_mut_ptr(),
                    space.len(),
                )
            } else {
                pcre::pcre2_match_8(
                    pattern.code,
                    bytes.as_ptr(),
                    bytes.len(),
                    start,
                    flags,
                    data,
                    self.context,
                )
            }
        }
    }

    /// Gives compiled code a stack of up to `size` bytes; `false` if there is no memory.
    pub(crate) fn set_jit_stack(&self, size: usize) -> bool {
        let mut room = self.room.borrow_mut();
        // SAFETY: the stack is made before it is assigned, and the one before it freed after that;
        // nothing matches meanwhile.
        unsafe {
            let first = size.min(32 * 1024);
            let stack = pcre::pcre2_jit_stack_create_8(first, size, ptr::null_mut());
            if stack.is_null() || self.context.is_null() {
                return false;
            }
            pcre::pcre2_jit_stack_assign_8(self.context, None, stack.cast());
            let old = std::mem::replace(&mut room.stack, stack);
            pcre::pcre2_jit_stack_free_8(old);
        }
        true
    }
}

/// What the DFA matcher works in, in numbers; as OpenResty has it.
const DFA_SPACE: usize = 100;

impl Room {
    fn reserve(&mut self, groups: usize) -> Result<(), c_int> {
        let groups = u32::try_from(groups).map_err(|_| pcre::PCRE2_ERROR_NOMEMORY)?;
        if groups <= self.groups {
            return Ok(());
        }
        // SAFETY: the new one takes the place of the old one, which nobody uses any more.
        unsafe {
            let data = pcre::pcre2_match_data_create_8(groups, ptr::null_mut());
            if data.is_null() {
                return Err(pcre::PCRE2_ERROR_NOMEMORY);
            }
            pcre::pcre2_match_data_free_8(self.data);
            (self.data, self.groups) = (data, groups);
        }
        Ok(())
    }

    /// `groups` of them, of which `found` may have matched.
    fn spans(&self, found: usize, groups: usize) -> Spans {
        let found = found
            .min(groups)
            .min(usize::try_from(self.groups).unwrap_or(0));
        // SAFETY: the data has room for two numbers of each group, and those of the first `found` are
        // written.
        let numbers = unsafe {
            let numbers = pcre::pcre2_get_ovector_pointer_8(self.data);
            std::slice::from_raw_parts(numbers, found * 2)
        };
        let mut spans: Spans = numbers
            .chunks_exact(2)
            .map(|pair| (pair[0] != pcre::PCRE2_UNSET).then_some((pair[0], pair[1])))
            .collect();
        spans.resize(groups, None);
        spans
    }
}

impl Drop for Matcher {
    fn drop(&mut self) {
        let room = self.room.get_mut();
        // SAFETY: all are ours; null is allowed.
        unsafe {
            pcre::pcre2_match_data_free_8(room.data);
            pcre::pcre2_match_context_free_8(self.context);
            pcre::pcre2_jit_stack_free_8(room.stack);
        }
    }
}

/// Whether a character of UTF-8 begins at `at`, or the text ends.
fn is_boundary(text: &[u8], at: usize) -> bool {
    text.get(at)
        .map_or(at == text.len(), |byte| byte & 0xc0 != 0x80)
}

fn message_of(code: c_int) -> String {
    let mut text = [0u8; 256];
    // SAFETY: writes no more than the buffer has, with a NUL.
    let len = unsafe { pcre::pcre2_get_error_message_8(code, text.as_mut_ptr(), text.len()) };
    let text = usize::try_from(len).ok().and_then(|len| text.get(..len));
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}
