//! A value of a configuration that knows whether and where it was set.

use std::ops::Deref;

use super::diagnostics::Problem;
use super::span::{Mark, Span};

/// A value with a default, which a directive may set once.
///
/// It reads as the value itself; an unset one is its default, so nobody unwraps anything.
///
/// ```
/// use ngx_core::conf::{Setting, Span};
///
/// let mut http = Setting::new(60);
/// let mut server = http;
/// http.set(75, Span::NOWHERE).unwrap();
/// server.merge(&http);
/// assert_eq!(*server, 75);
/// assert!(http.set(80, Span::NOWHERE).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Setting<T> {
    value: T,
    set_at: Option<Mark>,
}

impl<T> Setting<T> {
    /// An unset value.
    #[must_use]
    pub const fn new(default: T) -> Self {
        Self {
            value: default,
            set_at: None,
        }
    }

    /// Sets the value, `span` being the directive that does.
    ///
    /// # Errors
    ///
    /// `"NAME" directive is duplicate` when it is set already.
    pub fn set(&mut self, value: T, span: Span) -> Result<(), Problem> {
        if let Some(first) = self.set_at {
            let problem = Problem::of_directive(span, "is duplicate");
            return Err(problem.with_note(first.span(), "first set"));
        }
        self.value = value;
        self.set_at = Some(Mark::of(span));
        Ok(())
    }

    /// Whether a directive, here or further out, has set it.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.set_at.is_some()
    }

    /// The directive that set it: where its name begins. [`SourceMap::complete`] has the rest of
    /// the span.
    ///
    /// [`SourceMap::complete`]: super::SourceMap::complete
    #[must_use]
    pub fn set_at(&self) -> Option<Span> {
        self.set_at.map(Mark::span)
    }

    /// Changes the value without counting as a directive: for values that follow from others.
    pub fn adjust(&mut self, value: T) {
        self.value = value;
    }

    /// The value for adding to it: for directives that may be repeated.
    pub fn set_mut(&mut self, span: Span) -> &mut T {
        self.set_at.get_or_insert_with(|| Mark::of(span));
        &mut self.value
    }
}

impl<T: Clone> Setting<T> {
    /// Takes over the value of the enclosing block unless this one is set.
    pub fn merge(&mut self, parent: &Self) {
        if !self.is_set() {
            self.clone_from(parent);
        }
    }
}

impl<T> Deref for Setting<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_value_wins_and_the_outer_one_is_inherited() {
        let mut outer = Setting::new(vec![1]);
        outer.set_mut(Span::NOWHERE).push(2);
        let mut inner = Setting::new(vec![]);
        inner.merge(&outer);
        assert_eq!(*inner, [1, 2]);
        assert!(inner.is_set());

        let mut own = Setting::new(vec![]);
        own.set(vec![9], Span::NOWHERE).unwrap();
        own.merge(&outer);
        assert_eq!(*own, [9]);
    }

    #[test]
    fn a_second_directive_is_a_duplicate_and_changes_nothing() {
        let mut flag = Setting::new(false);
        flag.set(true, Span::NOWHERE).unwrap();
        let mut problem = flag.set(false, Span::NOWHERE).unwrap_err();
        problem.complete("gzip");
        assert_eq!(problem.message, "\"gzip\" directive is duplicate");
        assert!(*flag);
        assert_eq!(flag.set_at(), Some(Span::NOWHERE));
    }
}
