//! The database: the only room with SQL.
//!
//! One file per table or per hot statement. *SQL narrows, the domain decides, the `WHERE` guards*:
//! a read returns what may be due, a write repeats its condition and says how many rows it met.
//! Batches are written by set-based statements ([`sql`]) whose text never grows with the batch.
//!
//! A future of this room must not be dropped half-way: a cancelled `begin` leaves an open
//! transaction behind (sqlx 0.9.0). Callers run to the end, in tasks that nobody aborts.

pub mod access;
pub mod admin_tokens;
mod amend;
pub mod approval;
pub mod approvals;
pub mod audit;
pub mod brake;
pub mod channel;
pub mod clock;
mod codes;
mod connect;
pub mod due;
mod entity;
pub mod environments;
mod error;
pub mod flags;
pub mod gauges;
pub mod health;
pub mod history;
pub mod idempotency;
pub mod import;
pub mod invariants;
pub mod key_changes;
pub mod key_list;
pub mod keys;
pub mod last_use;
pub mod leases;
pub mod letters;
mod lines;
pub mod links;
pub mod messages;
pub mod notices;
pub mod otp;
pub mod outbox;
pub mod overview;
pub mod owner_sessions;
pub mod owners;
pub mod parked;
pub mod policies;
pub mod purge;
pub mod rekey;
pub mod retry;
pub mod rotation;
pub(crate) mod row;
pub mod runs;
pub mod schema;
pub mod second;
pub mod seen;
pub mod sessions;
pub mod sql;
pub mod suspension;
pub mod tenants;
mod time;
pub mod timeline;
pub mod tombstones;
pub mod turn;
pub mod unused;
pub mod verify;
pub mod who;

pub use codes::{MessageStatus, NoticeStatus};
pub use connect::{Db, Engine, Settings, Tx};
pub use error::StoreError;
#[cfg(test)]
pub(crate) use error::samples;
pub use row::CorruptKey;
pub(crate) use time::{from_ms, to_ms};
