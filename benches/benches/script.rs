//! Strings with variables: compiled once, evaluated for every request.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

mod timing;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ngx_core::script::{Cells, Context, Template, VarId, Variable, VariableTable, Variables};

/// The default access log, but for its time.
const COMBINED: &str = "$remote_addr - $remote_user [21/Nov/2026:02:14:28 +0000] \"$request\" \
                        $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

struct Request {
    table: VariableTable<Self>,
    cells: Cells,
}

impl Context for Request {
    fn variable(&self, id: VarId, out: &mut Vec<u8>) -> bool {
        self.cells.read(&self.table, id, self, out)
    }

    fn capture(&self, _n: usize, _out: &mut Vec<u8>) -> bool {
        false
    }
}

fn variables() -> Variables<Request> {
    let mut variables = Variables::new();
    for name in [
        "remote_addr",
        "remote_user",
        "request",
        "status",
        "body_bytes_sent",
        "http_referer",
        "http_user_agent",
    ] {
        let variable = Variable::new(name, |_: &Request, out: &mut Vec<u8>| {
            out.extend_from_slice(b"a value of a usual length");
            true
        });
        variables.register(variable).unwrap();
    }
    variables
}

fn templates(c: &mut Criterion) {
    let mut group = c.benchmark_group("script");
    group.bench_function("compile", |b| {
        let mut variables = variables();
        b.iter(|| Template::compile(black_box(COMBINED), &mut variables).unwrap());
    });

    let mut variables = variables();
    let template = Template::compile(COMBINED, &mut variables).unwrap();
    let table = variables.freeze().unwrap();
    let cells = Cells::new(table.len());
    let request = Request { table, cells };
    let mut line = Vec::new();
    group.bench_function("evaluate 7 variables", |b| {
        b.iter(|| {
            line.clear();
            black_box(&template).eval(&request, &mut line);
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = timing::short(500, 2);
    targets = templates
}
criterion_main!(benches);
