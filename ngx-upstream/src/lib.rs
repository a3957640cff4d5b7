//! ngx-upstream
