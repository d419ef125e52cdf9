//! Times as they are stored: UTC epoch milliseconds. Exact, ordered alike and indexed alike on
//! all engines, which no date type of theirs is.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::store::{Db, StoreError};

/// The stored form of an instant.
pub(crate) fn to_ms(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

/// The instant of a stored form. `None` for a number beyond all dates (the year 262,000).
pub(crate) fn from_ms(ms: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(ms)
}

impl Db {
    /// The time that decides: the database's own, so that replicas cannot disagree; on SQLite,
    /// which has none, this machine's.
    ///
    /// # Errors
    /// As the database is asked, it may be away.
    pub async fn now(&self, conn: &impl ConnectionTrait) -> Result<DateTime<Utc>, StoreError> {
        if let Some(clock) = self.host_clock() {
            return Ok(clock.now());
        }
        let backend = conn.get_database_backend();
        let text = match backend {
            DbBackend::Postgres => "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
            _ => "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
        };
        let during = StoreError::during("read the database's clock");
        let row = conn.query_one_raw(Statement::from_string(backend, text)).await;
        let ms = row.and_then(|row| match row {
            Some(row) => row.try_get_by_index::<i64>(0),
            None => Err(sea_orm::DbErr::RecordNotFound("the time".to_owned())),
        });
        let ms = ms.map_err(during)?;
        from_ms(ms)
            .ok_or(StoreError::Corrupt { what: "the database's clock", found: ms.to_string() })
    }
}
