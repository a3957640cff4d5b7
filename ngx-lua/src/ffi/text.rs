//! Values as text.

use std::borrow::Cow;

use mlua::ffi as lua;

use super::Call;
use super::call::index;

impl Call<'_> {
    /// What `tostring` makes of the argument at `at`.
    pub(crate) fn tostring(&self, at: usize) -> Cow<'_, [u8]> {
        self.to_text(at).unwrap_or_else(|| {
            // SAFETY: looks only.
            let pointer = unsafe { lua::lua_topointer(self.state, index(at)) };
            Cow::Owned(format!("{}: {pointer:p}", self.type_name(at)).into_bytes())
        })
    }

    /// The text that a function of ngx works on: nothing of nil and false, else what `tostring` makes.
    pub(crate) fn subject(&self, at: usize) -> Cow<'_, [u8]> {
        if self.boolean(at) {
            self.tostring(at)
        } else {
            Cow::Borrowed(b"")
        }
    }
}
