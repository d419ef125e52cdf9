//! The references: the very same writes by hand, over one connection, with nothing in between.
//!
//! Everything is decided inside the database: no row travels to us and back. On PostgreSQL a batch
//! is one statement; the other engines cannot write in a `WITH`, so there a table in memory holds
//! the batch.

use chrono::{DateTime, SecondsFormat};
use lapsed::{
    clock::{Clock as _, SystemClock},
    store::Engine,
};
use sea_orm::{
    DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
};

use crate::place::Place;

mod purge;
mod sweep;
mod whole;

pub(crate) use purge::purge;
pub(crate) use sweep::sweep;
pub(crate) use whole::whole;

/// Begins a transaction that writes, as the daemon does.
async fn begin(place: &Place) -> anyhow::Result<DatabaseTransaction> {
    let mut options = TransactionOptions::default();
    if place.engine == Engine::Sqlite {
        options.sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
    }
    Ok(place.conn.begin_with_options(options).await?)
}

/// A table in memory for the rows of a batch.
async fn make_batch_table(place: &Place, columns: &str) -> anyhow::Result<()> {
    let memory = if place.engine == Engine::MariaDb { " ENGINE = MEMORY" } else { "" };
    place.execute("DROP TABLE IF EXISTS batch").await?;
    place.execute(&format!("CREATE TEMPORARY TABLE batch ({columns}){memory}")).await
}

/// An instant as the trail has it.
fn iso(ms: i64) -> String {
    let at = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// This machine's time.
fn now() -> i64 {
    SystemClock.now().timestamp_millis()
}
