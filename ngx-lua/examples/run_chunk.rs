//! Runs a Lua file, or the text of `-e`, and prints what it returns.
//!
//! ```sh
//! cargo run -p ngx-lua --example run_chunk -- -e 'return _VERSION, jit.version, ...' one two
//! cargo run -p ngx-lua --example run_chunk -- script.lua
//! ```

use std::error::Error;
use std::process::ExitCode;

use ngx_lua::mlua::{MultiValue, Variadic};
use ngx_lua::{ChunkName, Host};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("run_chunk: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments
        .next()
        .ok_or("usage: run_chunk (-e TEXT | FILE) [ARGUMENT...]")?;
    let (name, source) = if first == "-e" {
        let text = arguments.next().ok_or("-e wants the Lua text after it")?;
        (ChunkName::literal("(command line)"), text.into_bytes())
    } else {
        let source = std::fs::read(&first).map_err(|error| format!("{first}: {error}"))?;
        (ChunkName::file(&first), source)
    };

    let host = Host::new()?;
    let chunk = host.load(name, source)?;
    let results: MultiValue = match chunk.run(arguments.collect::<Variadic<String>>()) {
        Ok(results) => results,
        Err(ngx_lua::Error::Runtime { message, traceback }) => {
            return Err(format!("{message}\n{traceback}").into());
        }
        Err(other) => return Err(other.into()),
    };
    for value in results {
        println!("{}", value.to_string()?);
    }
    Ok(())
}
