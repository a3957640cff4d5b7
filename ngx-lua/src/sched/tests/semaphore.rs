//! `ngx.semaphore`.

use super::{block_on, line, line_on};
use crate::Host;

#[test]
fn who_waits_longest_goes_on_first() {
    let found = line(
        "local sema = require('ngx.semaphore').new()
         local order, threads = {}, {}
         for n = 1, 3 do
             threads[n] = ngx.thread.spawn(function()
                 assert(sema:wait(5))
                 order[#order + 1] = n
             end)
         end
         local counts = { sema:count() }
         sema:post(2)
         counts[2] = sema:count()
         ngx.sleep(0)
         ngx.sleep(0)
         order[#order + 1] = 'then'
         sema:post()
         for n = 1, 3 do ngx.thread.wait(threads[n]) end
         return table.concat(counts, ','), table.concat(order, ','), sema:count()",
    );
    assert_eq!(found, "-3,-1 1,2,then,3 0");
}

#[test]
fn waiting_ends_in_time() {
    let found = line(
        "local sema = require('ngx.semaphore').new()
         local at_once, why = sema:wait(0)
         local later, after = sema:wait(0.005)
         sema:post()
         return tostring(at_once), why, tostring(later), after, sema:count(), sema:wait(0.005)",
    );
    assert_eq!(found, "nil timeout false timeout 1 true");
}

#[test]
fn a_thread_that_is_killed_leaves_the_queue() {
    let found = line(
        "local sema = require('ngx.semaphore').new()
         local thread = ngx.thread.spawn(function() sema:wait(5) end)
         local before = sema:count()
         ngx.thread.kill(thread)
         sema:post()
         return before, sema:count()",
    );
    assert_eq!(found, "-1 1");
}

#[test]
fn what_was_granted_to_a_thread_that_is_killed_comes_back() {
    // It is killed before it runs again.
    let found = line(
        "local sema = require('ngx.semaphore').new()
         local thread = ngx.thread.spawn(function() sema:wait(5) end)
         sema:post()
         local between = sema:count()
         ngx.thread.kill(thread)
         return between, sema:count()",
    );
    assert_eq!(found, "0 1");
}

#[test]
fn runs_wait_for_one_another() {
    let found = block_on(async {
        let host = Host::new().unwrap();
        line_on(&host, "sema = require('ngx.semaphore').new()").await;
        let (waited, _) = tokio::join!(
            line_on(&host, "return sema:wait(5)"),
            line_on(&host, "ngx.sleep(0.001) sema:post()"),
        );
        waited
    });
    assert_eq!(found, "true");
}

#[test]
fn a_run_that_cannot_wait_takes_what_there_is() {
    let host = Host::new().unwrap();
    let chunk = host.load(
        "take",
        "local sema = require('ngx.semaphore').new(1)
         local ok = sema:wait(1)
         return ok, select(2, sema:wait(1)), sema:count()",
    );
    let found: (bool, String, i32) = chunk.unwrap().run(()).unwrap();
    let why = "API disabled in the context of a run that cannot wait";
    assert_eq!(found, (true, why.to_owned(), 0));
}
