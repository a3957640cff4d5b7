//! The local zone comes from the environment, which only a new process can have changed.

use std::process::Command;

const CHILD: &str = "NGX_CORE_TEST_TIME_ZONE";

#[test]
fn the_zone_of_the_environment_is_used() {
    if std::env::var_os(CHILD).is_some() {
        println!(
            "<{}|{}>",
            ngx_core::time::access_time(),
            ngx_core::time::http_date()
        );
        return;
    }
    for (zone, offset) in [
        ("UTC0", "+0000"),
        ("EST5", "-0500"),
        ("<+0530>-5:30", "+0530"),
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "the_zone_of_the_environment_is_used",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .env("TZ", zone)
            .output()
            .unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let line = output.split_once('<').unwrap().1.split_once('>').unwrap().0;
        let (local, http) = line.split_once('|').unwrap();
        assert!(local.ends_with(offset), "{zone}: {local}");
        assert!(http.ends_with(" GMT"), "{http}");
    }
}
