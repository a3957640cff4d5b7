//! The usual configuration of a module: fields with defaults, inherited one by one.

/// Makes a [`Conf`](crate::module::Conf) out of a list of fields, each a
/// [`Setting`](crate::conf::Setting) with its default. `warn = function` behind the list is what
/// [`Conf::warn`](crate::module::Conf::warn) does.
///
/// ```
/// use ngx_core::module::{Level, Slot};
///
/// ngx_core::settings! {
///     /// What a location says about buffering.
///     pub struct Buffering {
///         /// `proxy_buffering`
///         on: bool = true,
///         /// `proxy_buffer_size`, in bytes
///         size: usize = 4096,
///     }
/// }
///
/// static BUFFERING: Slot<Buffering> = Slot::new(Level::Location);
/// assert!(*Buffering::default().on);
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$doc:meta])* $field:ident: $type:ty = $default:expr ),* $(,)?
        }
        $( warn = $warn:path )?
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $( $(#[$doc])* pub $field: $crate::conf::Setting<$type>, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $crate::conf::Setting::new($default), )* }
            }
        }

        impl $crate::module::Conf for $name {
            fn merge(&mut self, parent: &Self) -> Result<(), $crate::conf::Problem> {
                $( self.$field.merge(&parent.$field); )*
                Ok(())
            }

            $(
                fn warn(&self, parent: &Self, report: &mut dyn FnMut($crate::conf::Problem)) {
                    $warn(self, parent, report);
                }
            )?

            fn places(&self, tell: &mut dyn FnMut($crate::conf::Span)) {
                $(
                    if let Some(place) = self.$field.set_at() {
                        tell(place);
                    }
                )*
            }
        }
    };
}

/// A setter that puts one parsed argument into one field:
/// `setter!(SLOT, field, size)` is `SLOT.field = args.size(0)?`.
///
/// The third word is a method of [`Args`](crate::conf::Args); times become milliseconds with
/// `msec`, seconds with `sec`.
#[macro_export]
macro_rules! setter {
    ($slot:expr, $field:ident, msec) => {
        |cx, args| {
            let value = $crate::module::millis(args.time(0)?);
            cx.conf(&$slot).$field.set(value, args.span())
        }
    };
    ($slot:expr, $field:ident, $parse:ident) => {
        |cx, args| {
            let value = args.$parse(0)?;
            cx.conf(&$slot).$field.set(value, args.span())
        }
    };
}

/// A duration in whole milliseconds, as timers count.
#[must_use]
pub fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::conf::Span;
    use crate::module::Conf as _;

    crate::settings! {
        struct Two {
            one: u32 = 1,
            two: &'static str = "two",
        }
    }

    #[test]
    fn fields_are_inherited_one_by_one() {
        let mut outer = Two::default();
        outer.one.set(10, Span::NOWHERE).unwrap();
        outer.two.set("zwei", Span::NOWHERE).unwrap();
        let mut inner = Two::default();
        inner.one.set(100, Span::NOWHERE).unwrap();
        inner.merge(&outer).unwrap();
        assert_eq!((*inner.one, *inner.two), (100, "zwei"));
        let mut places = 0;
        inner.places(&mut |_| places += 1);
        Two::default().places(&mut |_| places += 10);
        assert_eq!(places, 2, "one for each that is set");
    }
}
