//! `lua_shared_dict`: shared by workers, kept by reloads, filled once by `init_by_lua`.

mod support;

use support::{Server, Setup};

const PLACES: &str = "
    init_by_lua_block { ngx.shared.kept:incr('inits', 1, 0) }
    server {
        listen 127.0.0.1:{port};
        default_type text/plain;
        location /count { content_by_lua_block {
            ngx.print((ngx.shared.kept:incr('n', 1, 0)))
        } }
        location /inits { content_by_lua_block {
            ngx.print(ngx.shared.kept:get('inits'))
        } }
        location /other { content_by_lua_block {
            local other = ngx.shared.other
            ngx.print(other and tostring((other:add('k', 1))) or 'none')
        } }
        location /generation { return 200 GENERATION; }
    }";

fn places(generation: &str, dicts: &str) -> String {
    dicts.to_owned() + &PLACES.replace("GENERATION", generation)
}

fn text(server: &Server, uri: &str) -> String {
    server.get(uri).expect(200).text()
}

#[test]
fn workers_share_and_reloads_keep_dictionaries() {
    let dicts = "lua_shared_dict kept 1m; lua_shared_dict other 1m;";
    let mut server = Setup::lua(&places("1", dicts)).workers(2).start();
    for n in 1..=20 {
        // A connection each: all workers get some.
        assert_eq!(text(&server, "/count"), n.to_string());
    }
    assert_eq!(text(&server, "/inits"), "1", "once, however many workers");
    assert_eq!(text(&server, "/other"), "true");
    assert_eq!(text(&server, "/other"), "false");

    let dicts = "lua_shared_dict kept 1m; lua_shared_dict other 2m;";
    server.reload(&places("2", dicts), |server| {
        text(server, "/generation") == "2"
    });
    assert_eq!(text(&server, "/count"), "21");
    assert_eq!(text(&server, "/inits"), "2");
    assert_eq!(text(&server, "/other"), "true", "another size is another");
}

#[test]
fn a_dictionary_that_is_wrong_is_an_error() {
    for (line, message) in [
        (
            "lua_shared_dict a 1k;",
            "invalid lua shared dict size \"1k\" in",
        ),
        (
            "lua_shared_dict a 1m; lua_shared_dict a 1m;",
            "lua_shared_dict \"a\" is already defined as \"a\" in",
        ),
    ] {
        let mut setup = Setup::lua(line);
        setup.run(&["-t"]).expect(1, message);
    }
}
