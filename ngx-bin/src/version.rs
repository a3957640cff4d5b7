//! What `-v` and `-V` print.

use ngx_core::http::NGINX_VERSION;
use ngx_core::module::Registry;

/// The version of nginx whose behaviour this is, and ours.
pub(crate) fn version() -> String {
    let ours = env!("CARGO_PKG_VERSION");
    format!("nginx version: nginx/{NGINX_VERSION} (ngx {ours})")
}

/// The modules as arguments of nginx's `configure`, which test suites and scripts look at to know
/// what they can ask for.
pub(crate) fn configure_arguments(registry: &Registry) -> String {
    let has = |module: &str, directive: &str| {
        registry.has_module(&format!("ngx_{module}")) || !registry.lookup(directive).is_empty()
    };
    let mut line = "configure arguments:".to_owned();
    for (module, directive) in BY_DEFAULT {
        if !has(module, directive) {
            line.push_str(&format!(" --without-{module}"));
        }
    }
    for (module, directive) in ON_DEMAND {
        if has(module, directive) {
            line.push_str(&format!(" --with-{module}"));
        }
    }
    line
}

/// What nginx is built with unless told otherwise, and a directive by which it is known here;
/// nothing where directives are taken without effect, which does not make the module.
const BY_DEFAULT: &[(&str, &str)] = &[
    ("http", "http"),
    ("http-cache", "proxy_cache_path"),
    ("http_charset_module", "charset_map"),
    ("http_gzip_module", ""),
    ("http_ssi_module", "ssi"),
    ("http_userid_module", "userid"),
    ("http_access_module", "allow"),
    ("http_auth_basic_module", "auth_basic"),
    ("http_mirror_module", "mirror"),
    ("http_autoindex_module", "autoindex"),
    ("http_geo_module", "geo"),
    ("http_map_module", "map"),
    ("http_split_clients_module", "split_clients"),
    ("http_referer_module", "valid_referers"),
    ("http_rewrite_module", "rewrite"),
    ("http_proxy_module", "proxy_pass"),
    ("http_fastcgi_module", "fastcgi_pass"),
    ("http_uwsgi_module", "uwsgi_pass"),
    ("http_scgi_module", "scgi_pass"),
    ("http_grpc_module", "grpc_pass"),
    ("http_tunnel_module", "tunnel_pass"),
    ("http_memcached_module", "memcached_pass"),
    ("http_limit_conn_module", "limit_conn"),
    ("http_limit_req_module", "limit_req"),
    ("http_empty_gif_module", "empty_gif"),
    ("http_browser_module", "modern_browser"),
    ("http_upstream_hash_module", "hash"),
    ("http_upstream_ip_hash_module", "ip_hash"),
    ("http_upstream_least_conn_module", "least_conn"),
    ("http_upstream_least_time_module", "least_time"),
    ("http_upstream_random_module", "random"),
    ("http_upstream_keepalive_module", "keepalive"),
    ("http_upstream_zone_module", "zone"),
    ("http_upstream_sticky_module", "sticky"),
    ("mail_pop3_module", "pop3_auth"),
    ("mail_imap_module", "imap_auth"),
    ("mail_smtp_module", "smtp_auth"),
    ("stream_limit_conn_module", "stream"),
    ("stream_access_module", "stream"),
    ("stream_geo_module", "stream"),
    ("stream_map_module", "stream"),
    ("stream_split_clients_module", "stream"),
    ("stream_return_module", "stream"),
    ("stream_pass_module", "stream"),
    ("stream_set_module", "stream"),
    ("stream_upstream_hash_module", "stream"),
    ("stream_upstream_least_conn_module", "stream"),
    ("stream_upstream_least_time_module", "stream"),
    ("stream_upstream_random_module", "stream"),
    ("stream_upstream_zone_module", "stream"),
];

/// What nginx is built with when told to, and a directive by which it is known here.
const ON_DEMAND: &[(&str, &str)] = &[
    ("http_ssl_module", ""),
    ("http_v2_module", "http2"),
    ("http_v3_module", "http3"),
    ("http_realip_module", "set_real_ip_from"),
    ("http_addition_module", "add_before_body"),
    ("http_xslt_module", "xslt_stylesheet"),
    ("http_image_filter_module", "image_filter"),
    ("http_geoip_module", "geoip_country"),
    ("http_sub_module", "sub_filter"),
    ("http_dav_module", "dav_methods"),
    ("http_flv_module", "flv"),
    ("http_mp4_module", "mp4"),
    ("http_gunzip_module", "gunzip"),
    ("http_gzip_static_module", "gzip_static"),
    ("http_auth_request_module", "auth_request"),
    ("http_random_index_module", "random_index"),
    ("http_secure_link_module", "secure_link"),
    ("http_slice_module", "slice"),
    ("http_stub_status_module", "stub_status"),
    ("mail", "mail"),
    ("stream", "stream"),
];
