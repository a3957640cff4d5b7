//! The `ngx` command.
fn main() {}
