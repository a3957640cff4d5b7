//! Names at run time.
