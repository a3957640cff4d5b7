//! Modules: tables of directives, the configurations that they fill, and the evaluation of a
//! file against them.
//!
//! A module is a static table. Its setters write into a [`Conf`] of their own through a [`Slot`];
//! blocks push a [`Scope`] and, when everything is read, turn scopes into [`Slots`] from the
//! outside in, which is when values are inherited.
//!
//! ```
//! use std::path::Path;
//! use ngx_core::conf::{Args, MemorySource, Problem, Setting};
//! use ngx_core::module::{
//!     Arity, Conf, Contexts, Cx, Directive, Level, LoadOptions, Module, Registry, Slot, load,
//! };
//!
//! #[derive(Default)]
//! struct Greeting {
//!     loud: Setting<bool>,
//! }
//!
//! impl Conf for Greeting {
//!     fn merge(&mut self, parent: &Self) -> Result<(), Problem> {
//!         self.loud.merge(&parent.loud);
//!         Ok(())
//!     }
//! }
//!
//! static CONF: Slot<Greeting> = Slot::new(Level::Global);
//!
//! static MODULE: Module = Module {
//!     name: "greeting",
//!     directives: &[Directive {
//!         name: "greet_loudly",
//!         contexts: Contexts::MAIN,
//!         arity: Arity::FLAG,
//!         set: |cx: &mut Cx<'_>, args: &Args<'_>| {
//!             let loud = args.flag(0)?;
//!             cx.conf(&CONF).loud.set(loud, args.span())
//!         },
//!         default: "off",
//!         doc: "Whether to greet in capitals.",
//!     }],
//! };
//!
//! let registry = Registry::new(&[&MODULE])?;
//! let source = MemorySource::new().with_file("/etc/ngx.conf", "greet_loudly on;");
//! let loaded = load(&registry, &source, Path::new("/etc/ngx.conf"), &LoadOptions::default())?;
//! assert!(*CONF.of(&loaded.global).loud);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod contexts;
mod cx;
mod descriptor;
mod load;
mod parts;
mod reference;
mod registry;
mod scope;
mod settings;
mod slots;

pub use contexts::{Arity, Contexts};
pub use cx::{Cx, Watch};
pub use descriptor::{Directive, Module, Setter};
pub use load::{LoadOptions, Loaded, fuzz_config, load, reread};
pub use parts::{Parts, SharedParts};
pub use registry::{Registry, RegistryError, Row};
pub use scope::Scope;
pub use settings::millis;
pub use slots::{Conf, Level, Slot, Slots};
