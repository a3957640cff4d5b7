//! VMs on their way to another thread.

/// A VM with all that belongs to it, to be taken over by another thread.
///
/// A VM is no thread's by nature: LuaJIT keeps nothing per thread, and the `Rc`s of its bindings and
/// of its engine point at one another. What must not happen is that two threads count the same `Rc`.
pub(crate) struct Parcel<T>(T);

// SAFETY: `seal` is called with values that own all their `Rc`s: of the engine and the VM no other
// handle is left, see its callers, so that the counts are only ever touched by whoever has the
// parcel. No function of a sealed value can be called before `open` takes it out.
unsafe impl<T> Send for Parcel<T> {}

impl<T> Parcel<T> {
    /// Packs `value`. The caller has seen to it that no `Rc` inside is shared with anything outside.
    pub(crate) fn seal(value: T) -> Self {
        Self(value)
    }

    /// Unpacks the value on the thread that has it from now on.
    pub(crate) fn open(self) -> T {
        self.0
    }
}
