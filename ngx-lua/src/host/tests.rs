use super::*;

fn run<R: FromLuaMulti>(source: &str) -> Result<R, Error> {
    let host = Host::new()?;
    host.load(
        ChunkName::directive("content_by_lua", "nginx.conf", 12),
        source,
    )?
    .run(())
}

/// Message and traceback of a chunk that must raise.
fn failure(source: &str) -> (String, String) {
    match run::<MultiValue>(source) {
        Err(Error::Runtime { message, traceback }) => (message, traceback),
        other => panic!("expected a runtime error, got {other:?}"),
    }
}

#[test]
fn arguments_go_in_and_results_come_out() {
    let host = Host::new().unwrap();
    let chunk = host
        .load("sum", "local a, b = ... return a + b, a .. b, nil")
        .unwrap();
    let (sum, text, nothing): (i64, String, Option<bool>) = chunk.run((40, 2)).unwrap();
    assert_eq!((sum, text.as_str(), nothing), (42, "402", None));
    assert_eq!(chunk.name().to_string(), "sum");
}

#[test]
fn a_chunk_runs_many_times_over_one_state() {
    let host = Host::new().unwrap();
    let chunk = host.load("count", "n = (n or 0) + 1 return n").unwrap();
    let counts: Vec<u32> = (0..3).map(|_| chunk.run(()).unwrap()).collect();
    assert_eq!(counts, [1, 2, 3]);
    assert_eq!(host.lua().globals().get::<u32>("n").unwrap(), 3);
}

#[test]
fn strings_are_bytes() {
    let host = Host::new().unwrap();
    let chunk = host
        .load("bytes", b"return '\xff\0' .. ...".as_slice())
        .unwrap();
    let bytes: mlua::LuaString = chunk.run("z").unwrap();
    assert_eq!(&*bytes.as_bytes(), b"\xff\0z");
}

#[test]
fn it_is_luajit_with_the_extensions_of_5_2() {
    assert!(
        run::<String>("return jit.version")
            .unwrap()
            .starts_with("LuaJIT 2.1")
    );
    // `#` asks __len of a table only in 5.2.
    let length: i64 = run("return #setmetatable({}, { __len = function() return 7 end })").unwrap();
    assert_eq!(length, 7);
}

#[test]
fn a_syntax_error_names_chunk_and_line() {
    let error = run::<()>("local a = 1\nthis is not Lua").unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to load inlined Lua code: \
         content_by_lua(nginx.conf:12):2: '=' expected near 'is'"
    );
}

#[test]
fn bytecode_is_refused() {
    let error = run::<()>("\x1bLJ\x02").unwrap_err();
    assert!(matches!(error, Error::Syntax { .. }), "{error:?}");
}

#[test]
fn a_runtime_error_names_the_line_and_shows_the_stack() {
    let (message, traceback) = failure(
        "local function inner() error('no luck') end\n\
         local function outer() inner() return 1 end\n\
         outer()",
    );
    assert_eq!(message, "content_by_lua(nginx.conf:12):1: no luck");
    assert!(traceback.starts_with("stack traceback:"), "{traceback}");
    for line in [1, 2, 3] {
        assert!(traceback.contains(&format!("content_by_lua(nginx.conf:12):{line}:")));
    }
}

#[test]
fn an_error_of_the_vm_itself_is_a_runtime_error() {
    let (message, _) = failure("local t = nil\nreturn t.x");
    assert!(
        message.starts_with("content_by_lua(nginx.conf:12):2: attempt to index"),
        "{message}"
    );
}

#[test]
fn error_objects_that_are_not_strings() {
    let text = |source| failure(source).0;
    assert_eq!(
        text("error({ code = 404 })"),
        "(error object is a table value)"
    );
    assert_eq!(text("error(print)"), "(error object is a function value)");
    assert_eq!(text("error(nil)"), "nil");
    assert_eq!(text("error(true)"), "true");
    assert_eq!(
        text("error(setmetatable({}, { __tostring = function() return 'a cat' end }))"),
        "a cat"
    );
    assert_eq!(
        text("error(setmetatable({}, { __tostring = function() error('worse') end }))"),
        "(error object is a table value)"
    );
}

#[test]
fn an_error_of_a_rust_function_keeps_its_words() {
    let host = Host::new().unwrap();
    let fails = host.lua().create_function(|_, ()| -> mlua::Result<()> {
        Err(mlua::Error::external("the disk is full"))
    });
    let chunk = host.load("save", "local save = ...\nsave()").unwrap();
    let error = chunk.run::<_, ()>(fails.unwrap()).unwrap_err();
    let Error::Runtime { message, traceback } = error else {
        panic!("{error:?}")
    };
    assert_eq!(message, "the disk is full");
    assert!(traceback.contains("save:2:"), "{traceback}");
}

#[test]
fn runaway_recursion_is_an_error() {
    let host = Host::new().unwrap();
    for source in [
        "local function f(n) return 1 + f(n + 1) end return f(1)",
        // With a C function on every level.
        "local function f() table.sort({ 1, 2, 3 }, function() f() end) end f()",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k + 1] .. '' end return t[1]",
    ] {
        let error = host
            .load("deep", source)
            .unwrap()
            .run::<_, ()>(())
            .unwrap_err();
        assert!(error.to_string().contains("stack overflow"), "{error}");
    }
    let after: i64 = host.load("after", "return 1").unwrap().run(()).unwrap();
    assert_eq!(after, 1, "the VM goes on");
}

#[test]
fn results_of_another_type_are_an_error() {
    let error = run::<i64>("return 'many'").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the results of content_by_lua(nginx.conf:12)")
    );
}

#[test]
fn scripts_cannot_break_the_error_path() {
    let (message, traceback) = failure("xpcall, pcall, error = nil, nil, nil\nerror('x')");
    assert!(
        message.contains(":2: attempt to call global 'error'"),
        "{message}"
    );
    assert!(!traceback.is_empty());
}

#[test]
fn what_breaks_memory_safety_is_absent() {
    let found: bool = run("return debug ~= nil or ffi ~= nil or pcall(require, 'ffi')").unwrap();
    assert!(!found);
}

#[test]
fn errors_may_leave_the_thread() {
    fn assert_send<T: Send + Sync + 'static>() {}
    assert_send::<Error>();
}
