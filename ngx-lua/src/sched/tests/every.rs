//! `ngx.timer.every`.

use std::time::Duration;

use super::{block_on, line, line_on};
use crate::{Host, Settings};

#[test]
fn it_fires_until_the_program_ends() {
    let found = block_on(async {
        let host = Host::new().unwrap();
        let set = "n, last = 0, nil
                   return ngx.timer.every(0.002, function(premature, by, what)
                       last = tostring(premature) .. what
                       n = n + by
                       -- Longer than the delay: the next one does not wait for it.
                       ngx.sleep(60)
                   end, 2, 'x')";
        assert_eq!(line_on(&host, set).await, "1");
        assert_eq!(host.pending_timers(), 1);
        while host.lua().globals().get::<u32>("n").unwrap() < 6 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(host.running_timers() >= 3);
        let before = line_on(&host, "return last").await;
        host.shut_down();
        let told = || host.lua().globals().get::<String>("last").unwrap() == "truex";
        while !told() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let n = line_on(&host, "return n").await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(line_on(&host, "return n").await, n, "it has ended");
        assert_eq!(host.pending_timers(), 0);
        before
    });
    assert_eq!(found, "falsex");
}

#[test]
fn a_callback_that_fails_is_called_again() {
    let found = block_on(async {
        let host = Host::new().unwrap();
        let set = "n = 0 ngx.timer.every(0.001, function() n = n + 1 error('again') end)";
        line_on(&host, set).await;
        while host.lua().globals().get::<u32>("n").unwrap() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        host.shut_down();
        host.running_timers()
    });
    assert_eq!(found, 0);
}

#[test]
fn it_counts_as_one_that_waits() {
    let settings = Settings {
        max_pending_timers: 1,
        ..Settings::default()
    };
    let found = block_on(async {
        let host = Host::with_settings(settings).unwrap();
        line_on(
            &host,
            "ngx.timer.every(60, function() end)
             return select(2, ngx.timer.every(60, function() end)), ngx.timer.pending_count()",
        )
        .await
    });
    assert_eq!(found, "too many pending timers 1");
}

#[test]
fn it_wants_a_delay() {
    for (call, why) in [
        ("0, function() end", "delay cannot be zero"),
        ("1", "expecting at least 2 arguments but got 1"),
        ("1, print", "Lua function expected"),
    ] {
        let found = line(&format!("return pcall(ngx.timer.every, {call})"));
        assert!(
            found.starts_with("false ") && found.contains(why),
            "{found}"
        );
    }
}
