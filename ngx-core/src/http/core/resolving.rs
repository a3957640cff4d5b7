//! `resolver`

use crate::conf::{Args, Problem};
use crate::module::Cx;

