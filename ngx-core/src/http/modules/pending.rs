//! Directives of the configurations that distributions install whose modules are not there yet:
//! compression and TLS.

use crate::http::module::HttpModule;
use crate::module::{Contexts, Directive, Module};

/// The directives, each of which is warned about once.
pub(in crate::http) static MODULE: HttpModule = HttpModule::new(&DESCRIPTOR);

static DESCRIPTOR: Module = Module {
    name: "pending",
    directives: &[
        Directive::pending("gzip", PLACES.or(Contexts::IF_LOCATION)),
        Directive::pending("gzip_buffers", PLACES),
        Directive::pending("gzip_comp_level", PLACES),
        Directive::pending("gzip_disable", PLACES),
        Directive::pending("gzip_http_version", PLACES),
        Directive::pending("gzip_min_length", PLACES),
        Directive::pending("gzip_proxied", PLACES),
        Directive::pending("gzip_types", PLACES),
        Directive::pending("gzip_vary", PLACES),
        Directive::pending("ssl_certificate", SERVERS),
        Directive::pending("ssl_certificate_key", SERVERS),
        Directive::pending("ssl_ciphers", SERVERS),
        Directive::pending("ssl_dhparam", SERVERS),
        Directive::pending("ssl_ecdh_curve", SERVERS),
        Directive::pending("ssl_prefer_server_ciphers", SERVERS),
        Directive::pending("ssl_protocols", SERVERS),
        Directive::pending("ssl_session_cache", SERVERS),
        Directive::pending("ssl_session_tickets", SERVERS),
        Directive::pending("ssl_session_timeout", SERVERS),
    ],
};

const SERVERS: Contexts = Contexts::HTTP.or(Contexts::SERVER);
const PLACES: Contexts = SERVERS.or(Contexts::LOCATION);
