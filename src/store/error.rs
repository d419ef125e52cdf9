//! What can go wrong with the database, sorted by what the caller does about it.

use sea_orm::{DbErr, RuntimeErr, SqlErr};
use thiserror::Error;

/// An error says what was being done, and whether waiting helps.
#[derive(Debug, Error)]
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
    /// There is one already, where there must not be two.
    #[error("{op}: there is one already")]
    Taken {
        /// What was being done.
        op: &'static str,
        /// The driver's words.
        source: DbErr,
    },
    /// Anything else: a statement or a schema that is wrong, a disk that is full.
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
            Trouble::Taken => Self::Taken { op, source },
            Trouble::Other => Self::Query { op, source },
        }
    }

    /// Whether the same work may succeed later without anybody's doing.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Busy { .. })
    }
}

enum Trouble {
    Away,
    Busy,
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
        sea_orm::sqlx::Error::Database(error) => match error.code().as_deref() {
            // PostgreSQL: connection exceptions, shutting down, starting up, too many clients.
            Some(code) if code.starts_with("08") || code.starts_with("57P") => Trouble::Away,
            Some("53300") => Trouble::Away,
            // PostgreSQL: serialization failure, deadlock, lock not available. MySQL says 40001
            // for a deadlock too, and HY000 (1205) for a lock not had in time. SQLite: BUSY,
            // LOCKED, and BUSY_SNAPSHOT.
            Some("40001" | "40P01" | "55P03" | "5" | "6" | "517") => Trouble::Busy,
            Some("HY000") if error.message().contains("Lock wait timeout") => Trouble::Busy,
            _ => Trouble::Other,
        },
        sea_orm::sqlx::Error::Io(_)
        | sea_orm::sqlx::Error::PoolTimedOut
        | sea_orm::sqlx::Error::PoolClosed
        | sea_orm::sqlx::Error::WorkerCrashed => Trouble::Away,
        _ => Trouble::Other,
    }
}

/// Errors of each kind, for the tests of those who have to tell them apart.
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
