//! Variables and templates together.

use std::cell::{Cell, RefCell};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::conf::Span;

/// A request as small as it can be.
struct Request {
    table: VariableTable<Self>,
    cells: Cells,
    args: RefCell<Vec<u8>>,
    evaluated: Cell<u32>,
}

impl Request {
    fn new(variables: Variables<Self>) -> Self {
        let table = variables.freeze().unwrap();
        let cells = Cells::new(table.len());
        Self {
            table,
            cells,
            args: RefCell::new(b"a=1".to_vec()),
            evaluated: Cell::new(0),
        }
    }

    fn text(&self, template: &Template) -> String {
        String::from_utf8(template.eval_bytes(self).to_vec()).unwrap()
    }
}

impl Context for Request {
    fn variable(&self, id: VarId, out: &mut Vec<u8>) -> bool {
        self.cells.read(&self.table, id, self, out)
    }

    fn capture(&self, n: usize, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(format!("<{n}>").as_bytes());
        n < 3
    }
}

fn counter(name: &'static str) -> Variable<Request> {
    Variable::new(name, |r: &Request, out| {
        r.evaluated.set(r.evaluated.get() + 1);
        out.extend_from_slice(r.evaluated.get().to_string().as_bytes());
        true
    })
}

fn variables() -> Variables<Request> {
    let mut variables = Variables::new();
    let args = Variable::new("Args", |r: &Request, out| {
        out.extend_from_slice(&r.args.borrow());
        true
    });
    let args = args
        .with_flags(VariableFlags::CHANGEABLE | VariableFlags::NOCACHEABLE)
        .with_set(|r, value| *r.args.borrow_mut() = value.to_vec());
    variables.register(args).unwrap();
    variables.register(counter("count")).unwrap();
    variables
        .register(counter("fresh").with_flags(VariableFlags::NOCACHEABLE))
        .unwrap();
    variables
        .register(counter("cheap").with_flags(VariableFlags::CHEAP))
        .unwrap();
    let nothing = Variable::new("nothing", |r: &Request, out| {
        r.evaluated.set(r.evaluated.get() + 1);
        out.extend_from_slice(b"half a value");
        false
    });
    variables.register(nothing).unwrap();
    variables.register_prefix("http_", |rest| {
        let rest = rest.to_owned();
        Variable::new("", move |_: &Request, out| {
            out.extend_from_slice(format!("[{rest}]").as_bytes());
            true
        })
    });
    variables.register_prefix("http_x_", |_| Variable::new("", |_: &Request, _| false));
    variables
}

#[test]
fn templates_are_compiled() {
    use Part::{Capture, Literal, Variable};
    let mut variables = variables();
    let a = variables.index("a");
    let b = variables.index("b_2");
    let literal = |text: &'static str| Literal(Bytes::from_static(text.as_bytes()));
    let table = [
        ("", vec![literal("")]),
        ("a b", vec![literal("a b")]),
        ("$a", vec![Variable(a)]),
        ("$A$b_2", vec![Variable(a), Variable(b)]),
        ("x${a}y", vec![literal("x"), Variable(a), literal("y")]),
        (
            "$a-$b_2.",
            vec![Variable(a), literal("-"), Variable(b), literal(".")],
        ),
        (
            "$1$23${4}",
            vec![Capture(1), Capture(2), literal("3"), Capture(4)],
        ),
        (
            "\u{e4}$a\u{f6}",
            vec![literal("\u{e4}"), Variable(a), literal("\u{f6}")],
        ),
        ("$a}", vec![Variable(a), literal("}")]),
    ];
    for (text, parts) in table {
        let template = Template::compile(text, &mut variables).unwrap();
        assert_eq!(template.parts().collect::<Vec<_>>(), parts, "{text}");
        assert_eq!(template.literal().is_some(), !text.contains('$'), "{text}");
        assert_eq!(
            template.uses_captures(),
            parts.iter().any(|p| matches!(p, Capture(_)))
        );
    }
}

#[test]
fn bad_templates_are_refused() {
    let table = [
        ("$", "invalid variable name in \"$\""),
        ("a$", "invalid variable name in \"a$\""),
        ("a$$b", "invalid variable name in \"a$$b\""),
        ("a$-b", "invalid variable name in \"a$-b\""),
        ("${}", "invalid variable name in \"${}\""),
        ("${", "invalid variable name in \"${\""),
        ("${ab", "the closing bracket in \"ab\" variable is missing"),
        ("${a-b}", "the closing bracket in \"a\" variable is missing"),
        ("$\u{e4}", "invalid variable name in \"$\u{e4}\""),
    ];
    for (text, message) in table {
        let error = Template::compile(text, &mut variables()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn values_are_kept_as_their_flags_say() {
    let mut variables = variables();
    let twice = |name: &str, variables: &mut Variables<Request>| {
        Template::compile(format!("${name},${name}"), variables).unwrap()
    };
    let count = twice("count", &mut variables);
    let fresh = twice("fresh", &mut variables);
    let cheap = twice("cheap", &mut variables);
    let nothing = twice("nothing", &mut variables);

    let request = Request::new(variables);
    assert_eq!(request.text(&count), "1,1");
    assert_eq!(request.text(&fresh), "2,3");
    assert_eq!(request.text(&cheap), "4,5");
    assert_eq!(request.text(&nothing), ",");
    assert_eq!(
        request.evaluated.get(),
        6,
        "that there is no value is kept too"
    );

    let id = request.table.find("COUNT").unwrap();
    assert_eq!(request.cells.get(id), Some(Bytes::from_static(b"1")));
    request.cells.forget(id);
    assert_eq!(request.text(&count), "7,7");
    request.cells.clear();
    assert_eq!(request.text(&count), "8,8");
}

#[test]
fn set_fills_a_cell_or_calls_the_setter() {
    let mut variables = variables();
    let x = variables.define("X").unwrap();
    let args = variables.define("args").unwrap();
    let template = Template::compile("$x?$args", &mut variables).unwrap();
    let request = Request::new(variables);

    assert!(request.table.is_cell(x) && !request.table.is_cell(args));
    assert!(request.table.is_changeable(x) && request.table.is_changeable(args));
    assert_eq!(request.text(&template), "?a=1");

    assert!(!request.table.set(x, &request, b"1"));
    request.cells.set(x, Some(Bytes::from_static(b"/path")));
    assert!(request.table.set(args, &request, b"b=2"));
    assert_eq!(request.text(&template), "/path?b=2");

    request.cells.set(x, None);
    assert_eq!(request.text(&template), "?b=2");
}

#[test]
fn definitions_clash_or_replace() {
    let mut variables = variables();
    let error = variables.define("Count").unwrap_err();
    assert_eq!(error.to_string(), "the duplicate \"count\" variable");
    assert!(variables.register(counter("count")).is_err());

    // What `set` has made, `map` may define; a weak definition does not undo that.
    let x = variables.define("x").unwrap();
    let of = |text: &'static str, flags| {
        let variable = Variable::new("x", move |_: &Request, out: &mut Vec<u8>| {
            out.extend_from_slice(text.as_bytes());
            true
        });
        variable.with_flags(VariableFlags::CHANGEABLE | flags)
    };
    variables.register(of("map", VariableFlags::NONE)).unwrap();
    variables.register(of("weak", VariableFlags::WEAK)).unwrap();
    assert_eq!(variables.define("x"), Ok(x));

    let template = Template::compile("$x", &mut variables).unwrap();
    assert_eq!(Request::new(variables).text(&template), "map");
}

#[test]
fn prefixes_make_what_nobody_has_defined() {
    let mut variables = variables();
    let text = "$http_host$http_x_a$HTTP_Host";
    let template = Template::compile(text, &mut variables).unwrap();
    let own = variables.define("http_own").unwrap();
    let request = Request::new(variables);

    assert_eq!(request.text(&template), "[host][host]");
    assert!(request.table.is_cell(own));
    assert_eq!(request.table.len(), 3);
    assert_eq!(request.table.name(VarId(0)), "http_host");
}

#[test]
fn names_are_found_at_run_time() {
    let mut variables = variables();
    variables.index("count");
    let request = Request::new(variables);
    let eval = |name: &str| {
        let mut out = b"=".to_vec();
        let found = request.table.eval_name(name, &request, &mut out);
        (found, String::from_utf8(out).unwrap())
    };

    assert_eq!(
        request.table.len(),
        1,
        "what the configuration does not use has no cell"
    );
    assert_eq!(eval("ARGS"), (true, "=a=1".into()));
    assert_eq!(eval("http_Cookie"), (true, "=[cookie]".into()));
    assert_eq!(eval("nothing"), (false, "=".into()));
    assert_eq!(eval("nobody"), (false, "=".into()));
    let args = request.table.find("args").unwrap();
    assert!(!request.table.is_cacheable(args));
    request.cells.set(args, Some(Bytes::new()));
    assert_eq!(request.cells.get(args), None, "there is no cell to fill");
}

#[test]
fn unknown_names_are_reported_with_their_first_use() {
    let mut variables = variables();
    variables.set_place(Some(on_line(3)));
    Template::compile("$count$nobody", &mut variables).unwrap();
    variables.set_place(Some(on_line(7)));
    Template::compile("$nobody$cuont", &mut variables).unwrap();

    let unknown = variables.freeze().unwrap_err();
    let report: Vec<_> = unknown
        .iter()
        .map(|u| (u.to_string(), u.place.unwrap().line, u.meant.as_deref()))
        .collect();
    assert_eq!(
        report,
        [
            ("unknown \"nobody\" variable".to_owned(), 3, None),
            ("unknown \"cuont\" variable".to_owned(), 7, Some("count"))
        ]
    );
}

fn on_line(line: u32) -> Span {
    Span {
        line,
        ..Span::NOWHERE
    }
}

#[test]
fn a_cycle_ends() {
    let mut variables = Variables::<Request>::new();
    let a = variables.index("a");
    let cyclic = Variable::new("a", move |r: &Request, out| {
        out.push(b'x');
        r.variable(a, out)
    });
    variables.register(cyclic).unwrap();
    let template = Template::compile("<$a>", &mut variables).unwrap();
    assert_eq!(Request::new(variables).text(&template), "<>");
}

proptest! {
    #[test]
    fn compiling_never_panics(text in "\\PC{0,40}|[${}a-c1_ -]{0,40}") {
        fuzz_template(text.as_bytes());
    }

    #[test]
    fn names_go_in_and_values_come_out(names in prop::collection::vec("[a-z_][a-z0-9_]{0,8}", 0..6)) {
        let mut variables = Variables::<Request>::new();
        for name in &names {
            let value = name.clone();
            let flags = VariableFlags::CHANGEABLE;
            let variable = Variable::new(name.clone(), move |_: &Request, out: &mut Vec<u8>| {
                out.extend_from_slice(value.as_bytes());
                true
            });
            variables.register(variable.with_flags(flags)).unwrap();
        }
        let text: String = names.iter().map(|name| format!("${{{name}}}/")).collect();
        let template = Template::compile(&text, &mut variables).unwrap();
        let expected: String = names.iter().map(|name| format!("{name}/")).collect();
        prop_assert_eq!(Request::new(variables).text(&template), expected);
    }
}

#[test]
fn what_is_configured_is_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<VariableTable<Request>>();
    shared::<Variables<Request>>();
    shared::<Template>();
}
