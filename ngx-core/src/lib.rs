//! ngx-core
