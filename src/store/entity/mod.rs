//! The rows as sea-orm sees them: private to this room.

pub(crate) mod admin_tokens;
pub(crate) mod api_keys;
pub(crate) mod approvals;
pub(crate) mod audit_events;
pub(crate) mod environments;
pub(crate) mod flags;
pub(crate) mod idempotency_keys;
pub(crate) mod job_runs;
pub(crate) mod key_secrets;
pub(crate) mod leases;
pub(crate) mod owners;
pub(crate) mod recovery_codes;
pub(crate) mod tenants;
pub(crate) mod tombstones;
