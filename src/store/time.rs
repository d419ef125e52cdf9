//! Times as they are stored: UTC epoch milliseconds. Exact, ordered alike and indexed alike on
//! all engines, which no date type of theirs is.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, Statement};

use crate::store::{Db, Engine, StoreError};

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
        match self.host_clock() {
            Some(clock) => Ok(clock.now()),
            None => self.ask(conn, format!("SELECT {}", self.now_column())).await,
        }
    }

    /// The same at the beginning of a transaction, whose commit PostgreSQL then answers before it is
    /// on the disk: see [`Db::begin_step`].
    pub(super) async fn now_of_step(
        &self,
        conn: &impl ConnectionTrait,
    ) -> Result<DateTime<Utc>, StoreError> {
        if self.engine() != Engine::Postgres {
            return self.now(conn).await;
        }
        let off = "set_config('synchronous_commit', 'off', true)";
        self.ask(conn, format!("SELECT {}, {off}", self.now_column())).await
    }

    /// Asks for the time by a query that begins with [`Db::now_column`].
    async fn ask(
        &self,
        conn: &impl ConnectionTrait,
        text: String,
    ) -> Result<DateTime<Utc>, StoreError> {
        let row =
            conn.query_one_raw(Statement::from_string(conn.get_database_backend(), text)).await;
        let ms = row.and_then(|row| match row {
            Some(row) => row.try_get_by_index::<Option<i64>>(0),
            None => Err(sea_orm::DbErr::RecordNotFound("the time".to_owned())),
        });
        self.now_of(ms.map_err(StoreError::during("read the database's clock"))?)
    }

    /// What a query selects to learn the time that decides along with its rows: for [`Db::now_of`].
    pub(super) fn now_column(&self) -> &'static str {
        match (self.host_clock(), self.engine()) {
            (None, Engine::Postgres) => "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
            (None, _) => "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
            (Some(_), Engine::Postgres) => "NULL::bigint",
            (Some(_), _) => "NULL",
        }
    }

    /// The time that decides, for use within a condition: the same all through a statement, so
    /// that an index can be searched with it. `None` where [`Db::host_clock`] says the time.
    pub(super) fn now_in_statement(&self) -> Option<&'static str> {
        match (self.host_clock(), self.engine()) {
            (Some(_), _) => None,
            (None, Engine::Postgres) => {
                Some("(extract(epoch FROM statement_timestamp()) * 1000)::bigint")
            }
            (None, _) => Some("CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"),
        }
    }

    /// The time that decides, of what [`Db::now_column`] selected.
    pub(super) fn now_of(&self, selected: Option<i64>) -> Result<DateTime<Utc>, StoreError> {
        if let Some(clock) = self.host_clock() {
            return Ok(clock.now());
        }
        selected.and_then(from_ms).ok_or_else(|| StoreError::Corrupt {
            what: "the database's clock",
            found: selected.map_or_else(|| "nothing".to_owned(), |ms| ms.to_string()),
        })
    }
}
