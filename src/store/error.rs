//! What can go wrong with the database, sorted by what the caller does about it.

use sea_orm::{DbErr, RuntimeErr, SqlErr};
use thiserror::Error;

/// An error says what was being done, and whether waiting helps.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// The database is away, restarting, or has no free connection. Trying later may work.
    #[error("{op}: the database cannot be reached")]
    Unavailable {
        /// What was being done.
        op: &'static str,
        /// The driver's words.
        source: DbErr,
    },
    /// Somebody else was quicker: a deadlock, a serialization failure, a lock not had in time.
    /// The same work, begun anew, may well succeed.
    #[error("{op}: the database was busy with the same rows")]
    Busy {
        /// What was being done.
        op: &'static str,
        /// The driver's words.
        source: DbErr,
    },
    /// It answers, but takes no changes: its disk is full, or it is read-only. Somebody has to
    /// mend that; then the same work succeeds.
    #[error("{op}: the database takes no changes (is its disk full, or is it read-only?)")]
    Unwritable {
        /// What was being done.
        op: &'static str,
        /// The driver's words.
        source: DbErr,
    },
    /// There is one already, where there must not be two.
    #[error("{op}: there is one already")]
    Taken {
        /// What was being done.
        op: &'static str,
        /// The driver's words.
        source: DbErr,
    },
    /// It is not any more as the caller saw it.
    #[error("it has been changed since it was read")]
    Stale,
    /// Anything else: a statement or a schema that is wrong.
    #[error("{op}")]
    Query {
        /// What was being done.
        op: &'static str,
        /// The driver's words.
        source: DbErr,
    },
    /// What is stored makes no sense.
    #[error("{what} is `{found}` in the database, which makes no sense")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// How it reads.
        found: String,
    },
    /// The URL or its password is no good. The text never repeats either.
    #[error("database.url {0}")]
    Url(String),
}

impl StoreError {
    /// For `map_err`: names the operation and sorts the driver's error into ours.
    pub(crate) fn during(op: &'static str) -> impl FnOnce(DbErr) -> Self {
        move |source| match trouble(&source) {
            Trouble::Away => Self::Unavailable { op, source },
            Trouble::Busy => Self::Busy { op, source },
            Trouble::Unwritable => Self::Unwritable { op, source },
            Trouble::Taken => Self::Taken { op, source },
            Trouble::Other => Self::Query { op, source },
        }
    }

    /// Whether the same work may succeed later, as it is.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Busy { .. } | Self::Unwritable { .. })
    }
}

enum Trouble {
    Away,
    Busy,
    Unwritable,
    Taken,
    Other,
}

fn trouble(error: &DbErr) -> Trouble {
    if let Some(SqlErr::UniqueConstraintViolation(_)) = error.sql_err() {
        return Trouble::Taken;
    }
    let runtime = match error {
        DbErr::ConnectionAcquire(_) => return Trouble::Away,
        DbErr::Conn(runtime) | DbErr::Exec(runtime) | DbErr::Query(runtime) => runtime,
        _ => return Trouble::Other,
    };
    let RuntimeErr::SqlxError(error) = runtime else { return Trouble::Other };
    match error.as_ref() {
        sea_orm::sqlx::Error::Database(error) => {
            by_code(error.code().as_deref().unwrap_or_default(), error.message())
        }
        sea_orm::sqlx::Error::Io(_)
        | sea_orm::sqlx::Error::Tls(_)
        // The end of the stream in the middle of an answer.
        | sea_orm::sqlx::Error::Protocol(_)
        | sea_orm::sqlx::Error::PoolTimedOut
        | sea_orm::sqlx::Error::PoolClosed
        | sea_orm::sqlx::Error::WorkerCrashed => Trouble::Away,
        _ => Trouble::Other,
    }
}

/// SQLSTATE for PostgreSQL and MariaDB/MySQL, a result code for SQLite.
fn by_code(code: &str, message: &str) -> Trouble {
    match code {
        // Connection exceptions, shutting down, starting up; too many clients; a password, role
        // or database that is wrong for now; put out for having slept in a transaction.
        _ if code.starts_with("08") || code.starts_with("57P") || code.starts_with("28") => {
            Trouble::Away
        }
        "53300" | "3D000" | "25P03" | "70100" => Trouble::Away,
        // Serialization failure (MySQL's word for a deadlock too), deadlock, lock not available;
        // SQLite's BUSY, LOCKED and BUSY_SNAPSHOT.
        "40001" | "40P01" | "55P03" | "5" | "6" | "517" => Trouble::Busy,
        "HY000" if message.contains("Lock wait timeout") => Trouble::Busy,
        // Disk full, out of memory, read-only transaction; SQLite's READONLY and FULL, and its
        // IOERR_WRITE, _FSYNC, _TRUNCATE and _SHMSIZE, which are what a used-up quota ends in.
        "53100" | "53200" | "25006" | "8" | "13" | "778" | "1034" | "1546" | "4874" => {
            Trouble::Unwritable
        }
        "HY000" if message.contains("read-only") || message.contains("is full") => {
            Trouble::Unwritable
        }
        _ => Trouble::Other,
    }
}
#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    fn driver() -> DbErr {
        DbErr::Custom("the driver's words".to_owned())
    }

    pub(crate) fn unavailable() -> StoreError {
        StoreError::Unavailable { op: "begin a transaction", source: driver() }
    }

    pub(crate) fn busy() -> StoreError {
        StoreError::Busy { op: "claim due keys", source: driver() }
    }

    pub(crate) fn refused() -> StoreError {
        StoreError::Query { op: "claim due keys", source: driver() }
    }
}
