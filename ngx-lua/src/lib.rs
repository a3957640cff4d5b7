//! ngx-lua
