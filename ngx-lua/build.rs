//! Lets modules written in C find Lua's functions in the tests and examples of this package.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg=-rdynamic");
}
