use super::{block_on, echo, line_on};
use crate::Host;

/// Runs code in a timer, which keeps the sockets that it makes; its results as one line. Its argument
/// is `port`.
async fn in_timer(host: &Host, source: &str, port: u16) -> String {
    let source = format!(
        "local port = ...
         local said
         ngx.timer.at(0, function()
             said = {{ pcall(function() {source} end) }}
         end)
         while not said do ngx.sleep(0.001) end
         return unpack(said, 2)"
    );
    line_on(host, &source, port).await
}

#[test]
fn what_a_run_leaves_begins_anew() {
    block_on(async {
        let port = echo().await;
        let host = Host::new().unwrap();
        let left = "s = ngx.socket.tcp()
            assert(s:connect('127.0.0.1', port))
            s:send('left\\n')
            return type(s), type(s[1])";
        assert_eq!(in_timer(&host, left, port).await, "table|number");
        // The memory of that one is this one's, which nobody else can read.
        let other = "local mine = ngx.socket.tcp()
            assert(mine:connect('127.0.0.1', port))
            mine:send('mine\\n')
            local _, err = s:receive()
            return err, s ~= mine, mine:receive()";
        assert_eq!(in_timer(&host, other, port).await, "closed|true|mine");
        let again = "assert(s:connect('127.0.0.1', port))
            s:send('again\\n')
            return s:receive()";
        for _ in 0..3 {
            assert_eq!(in_timer(&host, again, port).await, "again");
        }
    });
}

#[test]
fn a_socket_in_use_is_nobody_elses() {
    block_on(async {
        let port = echo().await;
        let source = "local port = ...
            local s
            ngx.timer.at(0, function()
                s = ngx.socket.tcp()
                assert(s:connect('127.0.0.1', port))
                ngx.sleep(60)
            end)
            while not s do ngx.sleep(0.001) end
            ngx.sleep(0.01)
            local ok, err = pcall(s.send, s, 'x')
            return ok, err";
        let said = line_on(&Host::new().unwrap(), source, port).await;
        assert!(
            said.starts_with("false|") && said.ends_with("bad request"),
            "{said}"
        );
    });
}

#[test]
fn a_run_may_have_more_sockets_than_it_keeps() {
    block_on(async {
        let port = echo().await;
        let source = "local all, sum = {}, 0
            for i = 1, 20 do
                all[i] = ngx.socket.tcp()
                assert(all[i]:connect('127.0.0.1', port))
                all[i]:send(i .. '\\n')
            end
            for i = 1, 20 do sum = sum + assert(all[i]:receive()) end
            return sum, type(all[1][1]), type(all[20][1])";
        let host = Host::new().unwrap();
        for _ in 0..2 {
            let said = in_timer(&host, source, port).await;
            assert_eq!(said, "210|number|userdata");
        }
    });
}

#[test]
fn tables_with_other_numbers_are_no_sockets() {
    block_on(async {
        let source = "local sock = ngx.socket.tcp()
            local said = {}
            for _, number in ipairs { 1, -1, 0.5, 2^31, 2^51, 2^53, 1/0, 0/0 } do
                local ok, err = pcall(sock.receive, { number })
                said[#said + 1] = ok == false and err:match('socket expected') or tostring(err)
            end
            return #said, table.concat(said, ','):gsub('socket expected', '')";
        let said = in_timer(&Host::new().unwrap(), source, 0).await;
        assert_eq!(said, "8|,,,,,,,|8");
    });
}
