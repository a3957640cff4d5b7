//! The rows of the table: what is asked of which configuration.

use crate::results::{Goal, Unit};

/// One kind of work.
#[derive(Debug)]
pub(crate) struct Row {
    /// What `--rows` calls it.
    pub(crate) name: &'static str,
    /// What the table calls it.
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
    /// The server block for ngx and nginx.
    pub(crate) conf: &'static str,
    /// The same for HAProxy, if it does such work.
    pub(crate) haproxy: Option<&'static str>,
    /// What is asked for.
    pub(crate) target: &'static str,
    /// Bytes of body that a right answer has.
    pub(crate) body: usize,
    /// So many times the usual number of clients.
    pub(crate) crowd: u32,
    pub(crate) needs: Needs,
    pub(crate) lua: bool,
    pub(crate) goal: Goal,
}

/// What has to run besides the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Needs {
    Nothing,
    Backend,
    Redis,
}

/// The file of one kibibyte and the value in redis.
pub(crate) const KIBIBYTE: usize = 1024;
const LARGE: usize = 10 * 1024 * 1024;

const RETURN: &str = include_str!("conf/return-200.conf");
const STATIC: &str = include_str!("conf/static.conf");
const PROXY: &str = include_str!("conf/proxy.conf");
const HAPROXY_RETURN: &str = include_str!("conf/haproxy-return.cfg");
const HAPROXY_PROXY: &str = include_str!("conf/haproxy-proxy.cfg");

/// All rows, as the table has them.
pub(crate) static ROWS: &[Row] = &[
    Row {
        haproxy: Some(HAPROXY_RETURN),
        body: 13,
        goal: Goal::Ratio(1.10),
        ..row("return-200", "`return 200`", RETURN)
    },
    Row {
        // A server that is quicker than the load generator sleeps between a few clients' requests.
        haproxy: Some(HAPROXY_RETURN),
        body: 13,
        crowd: 8,
        goal: Goal::Ratio(1.10),
        ..row("return-200-crowd", "`return 200`, 512 clients", RETURN)
    },
    Row {
        target: "/1k",
        goal: Goal::Ratio(1.2),
        ..row("static-1k", "static file, 1 KiB", STATIC)
    },
    Row {
        unit: Unit::BytesPerSecond,
        target: "/10m",
        body: LARGE,
        goal: Goal::Ratio(0.95),
        ..row("static-10m", "static file, 10 MiB", STATIC)
    },
    Row {
        haproxy: Some(HAPROXY_PROXY),
        target: "/1k",
        needs: Needs::Backend,
        goal: Goal::Ratio(1.10),
        ..row("proxy-1k", "proxied, 1 KiB, pooled", PROXY)
    },
    Row {
        unit: Unit::BytesPerSecond,
        haproxy: Some(HAPROXY_PROXY),
        target: "/10m",
        body: LARGE,
        needs: Needs::Backend,
        goal: Goal::Ratio(1.5),
        ..row("proxy-10m", "proxied, 10 MiB", PROXY)
    },
    Row {
        body: 13,
        lua: true,
        goal: Goal::Ratio(1.15),
        ..row("say", "`ngx.say`", include_str!("conf/say.conf"))
    },
    Row {
        body: KIBIBYTE + 1,
        needs: Needs::Redis,
        lua: true,
        goal: Goal::Ratio(1.3),
        ..row(
            "redis",
            "cosocket, GET of 1 KiB from redis, pooled",
            include_str!("conf/redis.conf"),
        )
    },
    Row {
        unit: Unit::BytesPerConnection,
        haproxy: Some(HAPROXY_RETURN),
        body: 13,
        goal: Goal::Bytes(1200.0),
        ..row("idle", "idle keepalive connection", RETURN)
    },
];

const fn row(name: &'static str, title: &'static str, conf: &'static str) -> Row {
    Row {
        name,
        title,
        unit: Unit::RequestsPerSecond,
        conf,
        haproxy: None,
        target: "/",
        body: KIBIBYTE,
        crowd: 1,
        needs: Needs::Nothing,
        lua: false,
        goal: Goal::Ratio(1.0),
    }
}

impl Row {
    /// Whether a single request moves so much that a few clients are enough.
    pub(crate) const fn is_large(&self) -> bool {
        self.body == LARGE
    }

    /// Whether a load generator is what measures it.
    pub(crate) fn is_load(&self) -> bool {
        self.unit != Unit::BytesPerConnection
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_different() {
        let names: BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }

    #[test]
    fn rows_say_what_their_configurations_need() {
        for row in ROWS {
            let needs = |mark| row.conf.contains(mark);
            assert_eq!(
                needs("@BACKEND@"),
                row.needs == Needs::Backend,
                "{}",
                row.name
            );
            assert_eq!(needs("@REDIS@"), row.needs == Needs::Redis, "{}", row.name);
            assert_eq!(needs("_by_lua"), row.lua, "{}", row.name);
        }
    }
}
