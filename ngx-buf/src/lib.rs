//! ngx-buf
