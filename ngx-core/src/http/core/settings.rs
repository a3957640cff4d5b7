//! The settings of the core module, and the table of its directives.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::amount::{self, Amount};
use super::error_page::{ErrorPage, set_error_page};
use super::file_io::{self, Aio};
use super::keepalive::{self, KeepaliveDisable};
use super::path::{Root, set_alias, set_root, set_temp_path};
use super::types::{Types, set_default_type, set_types};
use super::{LOCATION, SERVER, block, listen, resolving};
use crate::conf::{Args, Problem};
use crate::http::parse::{Limits, RequestOptions};
use crate::module::{Arity, Contexts, Cx, Directive, millis};
use crate::resolver::Resolver;
use crate::{setter, settings};

settings! {
    /// Settings of a server block. Times are milliseconds, sizes are bytes.
    pub struct ServerConf {
        /// Between two reads of a head.
        client_header_timeout: u64 = 60_000,
        /// The first buffer of a head.
        client_header_buffer_size: usize = 1024,
        /// Number and size of the buffers for heads that do not fit into the first.
        large_client_header_buffers: (usize, usize) = (4, 8192),
        /// Fields with odd names are dropped.
        ignore_invalid_headers: bool = true,
        /// `_` is a usual character in the name of a field.
        underscores_in_headers: bool = false,
        /// The most fields a request may have.
        max_headers: usize = 1000,
        /// Several slashes in a row are one.
        merge_slashes: bool = true,
    }
}

settings! {
    /// Settings of a location. Times are milliseconds, sizes are bytes.
    pub struct LocationConf {
        /// Folder of `root`, or target of `alias`.
        root: Root = Root::default(),
        /// Only redirects inside the server come here.
        internal: bool = false,
        /// The media type of files whose ending has none.
        default_type: Bytes = Bytes::from_static(b"text/plain"),
        /// Media types by the endings of names.
        types: Types = Types::default(),
        /// What is answered instead of an error.
        error_pages: Arc<Vec<ErrorPage>> = Arc::default(),
        /// Errors of error pages have error pages too.
        recursive_error_pages: bool = false,
        /// 0 is no limit.
        client_max_body_size: u64 = 1024 * 1024,
        /// Larger bodies go to a temporary file.
        client_body_buffer_size: usize = 16 * 1024,
        /// Between two reads of a body.
        client_body_timeout: u64 = 60_000,
        /// The folder of temporary files for bodies.
        client_body_temp_path: PathBuf = PathBuf::from("client_body_temp"),
        /// Bodies go to files whatever their size, and what becomes of these.
        client_body_in_file_only: InFileOnly = InFileOnly::Off,
        /// Between two writes of a response.
        send_timeout: u64 = 60_000,
        /// How long an idle connection stays open.
        keepalive_timeout: u64 = 75_000,
        /// Seconds announced in a `Keep-Alive` field; 0 announces nothing.
        keepalive_header: u64 = 0,
        /// The most requests of one connection.
        keepalive_requests: u64 = 1000,
        /// The browsers whose connections are not kept.
        keepalive_disable: KeepaliveDisable = KeepaliveDisable::DEFAULT,
        /// The age at which a connection takes no more requests.
        keepalive_time: u64 = 3_600_000,
        /// When what the client still sends is read away before a close.
        lingering_close: LingeringClose = LingeringClose::On,
        /// For how long at most.
        lingering_time: u64 = 30_000,
        /// And how long between two reads.
        lingering_timeout: u64 = 5_000,
        /// Connections that have timed out are reset.
        reset_timedout_connection: bool = false,
        /// Less than this is not written unless a response ends or is flushed.
        postpone_output: u64 = 1460,
        /// Files are sent by the kernel.
        sendfile: bool = false,
        /// The most of one file that is sent in a turn.
        sendfile_max_chunk: u64 = 2 * 1024 * 1024,
        /// Head and beginning of a file leave in one packet.
        tcp_nopush: bool = false,
        /// Small packets are not delayed.
        tcp_nodelay: bool = true,
        /// Number and size of the buffers for files that are not sent by the kernel.
        output_buffers: (usize, usize) = (2, 32 * 1024),
        /// Files of this size and above are read past the page cache.
        directio: u64 = u64::MAX,
        /// What such reads are aligned to at least.
        directio_alignment: u64 = 512,
        /// Who reads files.
        aio: Aio = Aio::Off,
        /// Bytes per second; 0 is no limit.
        limit_rate: Amount = Amount::Fixed(0),
        /// So many bytes are not limited.
        limit_rate_after: Amount = Amount::Fixed(0),
        /// Files have entity tags.
        etag: bool = true,
        /// How `If-Modified-Since` is compared.
        if_modified_since: IfModifiedSince = IfModifiedSince::Exact,
        /// The most ranges of one request; 0 answers none.
        max_ranges: u64 = u64::MAX,
        /// Redirects name scheme and host.
        absolute_redirect: bool = true,
        /// They name the port too.
        port_in_redirect: bool = true,
        /// And the first name of the server instead of what the client asked for.
        server_name_in_redirect: bool = false,
        /// The version is shown.
        server_tokens: bool = true,
        /// Missing files are logged.
        log_not_found: bool = true,
        /// Bodies of unknown length may be chunked.
        chunked_transfer_encoding: bool = true,
        /// Who resolves names at run time.
        resolver: Option<Arc<Resolver>> = None,
        /// How long that may take.
        resolver_timeout: u64 = 30_000,
    }
}

/// When a lingering close is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LingeringClose {
    /// Never.
    Off,
    /// When the client may still be sending.
    On,
    /// At every close.
    Always,
}

/// Whether request bodies go to files that have names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InFileOnly {
    /// Large bodies go to files without names.
    Off,
    /// All bodies go to files, which stay.
    On,
    /// All bodies go to files, which are removed after the request.
    Clean,
}

/// How `If-Modified-Since` is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IfModifiedSince {
    /// The field is ignored.
    Off,
    /// The very same time.
    Exact,
    /// That time or an earlier one.
    Before,
}

impl ServerConf {
    /// What the parser of request heads has to know.
    pub(crate) fn request_options(&self) -> RequestOptions {
        let (number, size) = *self.large_client_header_buffers;
        RequestOptions {
            limits: Limits {
                first: *self.client_header_buffer_size,
                number,
                size,
            },
            max_headers: *self.max_headers,
            ignore_invalid_headers: *self.ignore_invalid_headers,
            underscores_in_headers: *self.underscores_in_headers,
        }
    }
}

const HTTP_SERVER: Contexts = Contexts::HTTP.or(Contexts::SERVER);
const ALL: Contexts = HTTP_SERVER.or(Contexts::LOCATION);
const ALL_AND_IF: Contexts = ALL.or(Contexts::IF_LOCATION);

/// A row of the table.
macro_rules! row {
    ($name:literal, $contexts:expr, $arity:expr, $default:literal, $doc:literal, $set:expr) => {
        Directive {
            name: $name,
            contexts: $contexts,
            arity: $arity,
            set: $set,
            default: $default,
            doc: $doc,
        }
    };
}

const ONE: Arity = Arity::exact(1);

#[rustfmt::skip]
pub(super) static DIRECTIVES: &[Directive] = &[
    row!("http", Contexts::MAIN, Arity::exact(0).block(), "", "The HTTP server.", block::set_http),
    row!("server", Contexts::HTTP, Arity::exact(0).block(), "", "A virtual server.", block::set_server),
    row!("location", Contexts::SERVER.or(Contexts::LOCATION), Arity::range(1, 2).block(), "", "What applies to some paths.", block::set_location),
    row!("listen", Contexts::SERVER, Arity::at_least(1), "*:80 or *:8000", "An address the server accepts connections on.", listen::set_listen),
    row!("server_name", Contexts::SERVER, Arity::at_least(1), "\"\"", "The names the server goes by.", listen::set_server_name),

    row!("client_header_timeout", HTTP_SERVER, ONE, "60s", "How long a request head may take.", setter!(SERVER, client_header_timeout, msec)),
    row!("client_header_buffer_size", HTTP_SERVER, ONE, "1k", "The first buffer of a request head.", setter!(SERVER, client_header_buffer_size, size)),
    row!("large_client_header_buffers", HTTP_SERVER, Arity::exact(2), "4 8k", "Number and size of the buffers of large request heads.", set_large_buffers),
    row!("ignore_invalid_headers", HTTP_SERVER, ONE, "on", "Drop header fields with invalid names.", setter!(SERVER, ignore_invalid_headers, flag)),
    row!("underscores_in_headers", HTTP_SERVER, ONE, "off", "Take header fields with underscores in their names.", setter!(SERVER, underscores_in_headers, flag)),
    row!("max_headers", HTTP_SERVER, ONE, "1000", "The most header fields of a request.", set_max_headers),
    row!("merge_slashes", HTTP_SERVER, ONE, "on", "Take several slashes in a row for one.", setter!(SERVER, merge_slashes, flag)),

    row!("root", ALL_AND_IF, ONE, "html", "The folder of files.", set_root),
    row!("alias", Contexts::LOCATION, ONE, "", "What replaces the name of the location in names of files.", set_alias),
    row!("internal", Contexts::LOCATION, Arity::exact(0), "", "Only redirects inside the server come here.", set_internal),
    row!("types", ALL, Arity::exact(0).block(), "text/html html; image/gif gif; image/jpeg jpg;", "Media types by the endings of names.", set_types),
    row!("default_type", ALL, ONE, "text/plain", "The media type of everything else.", set_default_type),
    row!("error_page", ALL_AND_IF, Arity::at_least(2), "", "What is answered instead of an error.", set_error_page),
    row!("recursive_error_pages", ALL, ONE, "off", "Errors of error pages have error pages too.", setter!(LOCATION, recursive_error_pages, flag)),

    row!("client_max_body_size", ALL, ONE, "1m", "The largest request body; 0 is no limit.", setter!(LOCATION, client_max_body_size, offset)),
    row!("client_body_buffer_size", ALL, ONE, "16k", "Larger request bodies go to a temporary file.", setter!(LOCATION, client_body_buffer_size, size)),
    row!("client_body_timeout", ALL, ONE, "60s", "The time between two reads of a request body.", setter!(LOCATION, client_body_timeout, msec)),
    row!("client_body_temp_path", ALL, ONE, "client_body_temp", "The folder of temporary files for request bodies.", set_temp_path),
    row!("client_body_in_file_only", ALL, ONE, "off", "Write request bodies to files whatever their size, and keep these or remove them after the request.", set_in_file_only),
    row!("client_body_in_single_buffer", ALL, ONE, "off", "Checked, and not needed: a request body in memory is in one buffer always.", check_flag),
    row!("send_timeout", ALL, ONE, "60s", "The time between two writes of a response.", setter!(LOCATION, send_timeout, msec)),
    row!("keepalive_timeout", ALL, Arity::range(1, 2), "75s", "How long an idle connection stays open, and what the client is told.", set_keepalive_timeout),
    row!("keepalive_requests", ALL, ONE, "1000", "The most requests of one connection.", setter!(LOCATION, keepalive_requests, number)),
    row!("keepalive_disable", ALL, Arity::at_least(1), "msie6", "The browsers whose connections are not kept.", keepalive::set_keepalive_disable),
    row!("keepalive_time", ALL, ONE, "1h", "The age at which a connection takes no more requests.", setter!(LOCATION, keepalive_time, msec)),
    row!("lingering_close", ALL, ONE, "on", "Read away what the client still sends before closing.", set_lingering_close),
    row!("lingering_time", ALL, ONE, "30s", "For how long at most.", setter!(LOCATION, lingering_time, msec)),
    row!("lingering_timeout", ALL, ONE, "5s", "How long to wait for more of it.", setter!(LOCATION, lingering_timeout, msec)),

    row!("reset_timedout_connection", ALL, ONE, "off", "Reset connections that have timed out, so that the kernel forgets them at once.", setter!(LOCATION, reset_timedout_connection, flag)),
    row!("postpone_output", ALL, ONE, "1460", "Collect so many bytes before writing, unless the response ends.", setter!(LOCATION, postpone_output, bytes)),
    row!("sendfile", ALL_AND_IF, ONE, "off", "Let the kernel send files.", setter!(LOCATION, sendfile, flag)),
    row!("sendfile_max_chunk", ALL, ONE, "2m", "The most that is sent of one response before others have their turn.", setter!(LOCATION, sendfile_max_chunk, bytes)),
    row!("tcp_nopush", ALL, ONE, "off", "Send the head and the beginning of a file in one packet. Always so where files are sent by the kernel.", setter!(LOCATION, tcp_nopush, flag)),
    row!("tcp_nodelay", ALL, ONE, "on", "Do not delay small packets.", setter!(LOCATION, tcp_nodelay, flag)),
    row!("output_buffers", ALL, Arity::exact(2), "2 32k", "Number and size of the buffers for reading files.", set_output_buffers),
    row!("directio", ALL, ONE, "off", "Read files of this size and above past the page cache, and do not have the kernel send them.", file_io::set_directio),
    row!("directio_alignment", ALL, ONE, "512", "What such reads are aligned to; more if the file system wants more.", setter!(LOCATION, directio_alignment, offset)),
    row!("aio", ALL, ONE, "off", "Have threads read the files that the kernel does not send, so that a slow disk holds up nobody. All values but off mean threads: those of the pool \"default\", or of the one that \"threads=NAME\" names, which may have variables.", file_io::set_aio),
    row!("limit_rate", ALL_AND_IF, ONE, "0", "Bytes per second of a response.", |cx, args| amount::set(cx, args, |conf| &mut conf.limit_rate)),
    row!("limit_rate_after", ALL_AND_IF, ONE, "0", "So many bytes are sent without that limit.", |cx, args| amount::set(cx, args, |conf| &mut conf.limit_rate_after)),

    row!("etag", ALL, ONE, "on", "Files have entity tags.", setter!(LOCATION, etag, flag)),
    row!("if_modified_since", ALL, ONE, "exact", "How If-Modified-Since is compared.", set_if_modified_since),
    row!("max_ranges", ALL, ONE, "", "The most ranges of one request.", setter!(LOCATION, max_ranges, number)),
    row!("absolute_redirect", ALL, ONE, "on", "Redirects name scheme and host.", setter!(LOCATION, absolute_redirect, flag)),
    row!("port_in_redirect", ALL, ONE, "on", "They name the port too.", setter!(LOCATION, port_in_redirect, flag)),
    row!("server_name_in_redirect", ALL, ONE, "off", "They name the server by its first name.", setter!(LOCATION, server_name_in_redirect, flag)),
    row!("server_tokens", ALL, ONE, "on", "Show the version.", set_server_tokens),
    row!("log_not_found", ALL, ONE, "on", "Log missing files.", setter!(LOCATION, log_not_found, flag)),
    row!("chunked_transfer_encoding", ALL, ONE, "on", "Bodies of unknown length may be chunked.", setter!(LOCATION, chunked_transfer_encoding, flag)),
    row!("resolver", ALL, Arity::at_least(1), "", "The name servers asked at run time.", resolving::set_resolver),
    row!("resolver_timeout", ALL, ONE, "30s", "How long resolving a name may take.", setter!(LOCATION, resolver_timeout, msec)),

    row!("types_hash_max_size", ALL, ONE, "1024", "Checked, and not needed: hash tables here size themselves.", check_number),
    row!("types_hash_bucket_size", ALL, ONE, "64", "Checked, and not needed: hash tables here size themselves.", check_number),
    row!("server_names_hash_max_size", Contexts::HTTP, ONE, "512", "Checked, and not needed: hash tables here size themselves.", check_number),
    row!("server_names_hash_bucket_size", Contexts::HTTP, ONE, "64", "Checked, and not needed: hash tables here size themselves.", check_number),
    row!("variables_hash_max_size", Contexts::HTTP, ONE, "1024", "Checked, and not needed: hash tables here size themselves.", check_number),
    row!("variables_hash_bucket_size", Contexts::HTTP, ONE, "64", "Checked, and not needed: hash tables here size themselves.", check_number),
    row!("connection_pool_size", HTTP_SERVER, ONE, "512", "Checked, and not needed: connections have no memory pool.", check_pool),
    row!("request_pool_size", HTTP_SERVER, ONE, "4k", "Checked, and not needed: requests have no memory pool.", check_pool),
];

fn set_internal(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    cx.conf(&LOCATION).internal.set(true, args.span())
}

fn set_large_buffers(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let value = args.buffers(0)?;
    cx.conf(&SERVER)
        .large_client_header_buffers
        .set(value, args.span())
}

fn set_output_buffers(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let value = args.buffers(0)?;
    cx.conf(&LOCATION).output_buffers.set(value, args.span())
}

fn set_max_headers(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let number = args.number_in(0, 1..=1_000_000)?;
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    cx.conf(&SERVER).max_headers.set(number, args.span())
}

fn set_keepalive_timeout(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let timeout = millis(args.time(0)?);
    let header = if args.values().len() > 1 {
        args.seconds(1)?.as_secs()
    } else {
        0
    };
    let conf = cx.conf(&LOCATION);
    conf.keepalive_timeout.set(timeout, args.span())?;
    conf.keepalive_header.set(header, args.span())
}

fn set_lingering_close(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    use LingeringClose::{Always, Off, On};
    let value = args.choice(0, &[("off", Off), ("on", On), ("always", Always)])?;
    cx.conf(&LOCATION).lingering_close.set(value, args.span())
}

fn set_if_modified_since(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    use IfModifiedSince::{Before, Exact, Off};
    let value = args.choice(0, &[("off", Off), ("exact", Exact), ("before", Before)])?;
    cx.conf(&LOCATION).if_modified_since.set(value, args.span())
}

fn set_in_file_only(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    use InFileOnly::{Clean, Off, On};
    let value = args.choice(0, &[("off", Off), ("on", On), ("clean", Clean)])?;
    cx.conf(&LOCATION)
        .client_body_in_file_only
        .set(value, args.span())
}

fn set_server_tokens(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    // There are no names of builds, without which nginx takes "build" for "on".
    let value = args.choice(0, &[("on", true), ("off", false), ("build", true)])?;
    cx.conf(&LOCATION).server_tokens.set(value, args.span())
}

fn check_flag(_: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    args.flag(0).map(|_| ())
}

fn check_number(_: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    args.number(0).map(|_| ())
}

/// The size of a memory pool: the limits of nginx.
fn check_pool(_: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let size = args.size(0)?;
    if size < 112 {
        return Err(args.problem_at(0, "the pool size must be no less than 112"));
    }
    if !size.is_multiple_of(16) {
        return Err(args.problem_at(0, "the pool size must be a multiple of 16"));
    }
    Ok(())
}
