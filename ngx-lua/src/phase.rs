//! Where Lua runs: what a run is for, and what it may do there.

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A chunk of a program's own.
    Chunk,
    Timer,
    #[cfg(feature = "http")]
    Init,
    #[cfg(feature = "http")]
    InitWorker,
    #[cfg(feature = "http")]
    ExitWorker,
    #[cfg(feature = "http")]
    Set,
    #[cfg(feature = "http")]
    ServerRewrite,
    #[cfg(feature = "http")]
    Rewrite,
    #[cfg(feature = "http")]
    Access,
    #[cfg(feature = "http")]
    Content,
    #[cfg(feature = "http")]
    HeaderFilter,
    #[cfg(feature = "http")]
    BodyFilter,
    #[cfg(feature = "http")]
    Log,
}

impl Phase {
    /// How error messages call it: `API disabled in the context of rewrite_by_lua*`.
    pub(crate) fn context(self) -> &'static str {
        match self {
            Self::Chunk => "a run that cannot wait",
            Self::Timer => "ngx.timer",
            #[cfg(feature = "http")]
            Self::Init => "init_by_lua*",
            #[cfg(feature = "http")]
            Self::InitWorker => "init_worker_by_lua*",
            #[cfg(feature = "http")]
            Self::ExitWorker => "exit_worker_by_lua*",
            #[cfg(feature = "http")]
            Self::Set => "set_by_lua*",
            #[cfg(feature = "http")]
            Self::ServerRewrite => "server_rewrite_by_lua*",
            #[cfg(feature = "http")]
            Self::Rewrite => "rewrite_by_lua*",
            #[cfg(feature = "http")]
            Self::Access => "access_by_lua*",
            #[cfg(feature = "http")]
            Self::Content => "content_by_lua*",
            #[cfg(feature = "http")]
            Self::HeaderFilter => "header_filter_by_lua*",
            #[cfg(feature = "http")]
            Self::BodyFilter => "body_filter_by_lua*",
            #[cfg(feature = "http")]
            Self::Log => "log_by_lua*",
        }
    }

    /// What `ngx.get_phase` answers.
    #[cfg(feature = "http")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chunk => "chunk",
            Self::Timer => "timer",
            Self::Init => "init",
            Self::InitWorker => "init_worker",
            Self::ExitWorker => "exit_worker",
            Self::Set => "set",
            Self::ServerRewrite => "server_rewrite",
            Self::Rewrite => "rewrite",
            Self::Access => "access",
            Self::Content => "content",
            Self::HeaderFilter => "header_filter",
            Self::BodyFilter => "body_filter",
            Self::Log => "log",
        }
    }
}
