//! The history of runs: what each job did, and when it last went well.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    prelude::*,
};

use crate::store::{
    Db, StoreError,
    entity::job_runs::{ActiveModel, Column, Entity, Model},
    from_ms,
    sql::Sql,
    to_ms,
};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// It has not ended, or its daemon died.
    Running,
    /// Everything was done.
    Done,
    /// It ran to its end, but some items failed.
    Partial,
    /// It could not go on.
    Failed,
}

impl RunStatus {
    const CODES: [(Self, i16, &'static str); 4] = [
        (Self::Running, 1, "running"),
        (Self::Done, 2, "done"),
        (Self::Partial, 3, "partial"),
        (Self::Failed, 4, "failed"),
    ];

    /// The word people read.
    pub fn as_str(self) -> &'static str {
        Self::CODES.iter().find(|(status, ..)| *status == self).map_or("", |(.., word)| word)
    }

    fn code(self) -> i16 {
        Self::CODES.iter().find(|(status, ..)| *status == self).map_or(0, |(_, code, _)| *code)
    }

    fn of_code(code: i16) -> Self {
        let found = Self::CODES.iter().find(|(_, known, _)| *known == code);
        found.map_or(Self::Failed, |(status, ..)| *status)
    }
}

/// One run of one job.
#[derive(Clone, Debug)]
pub struct Run {
    /// The job's name.
    pub job: String,
    /// The daemon that ran it.
    pub instance: String,
    /// What set it off.
    pub cause: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub status: RunStatus,
    /// How many items it looked at.
    pub n_examined: u64,
    /// How many it changed.
    pub n_changed: u64,
    /// How many failed.
    pub n_failed: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// Writes down a run that has ended.
///
/// # Errors
/// As the database answers.
pub async fn record(db: &Db, run: &Run) -> Result<(), StoreError> {
    let row = ActiveModel {
        job: Set(run.job.clone()),
        instance: Set(run.instance.clone()),
        cause: Set(run.cause.clone()),
        started_at: Set(to_ms(run.started_at)),
        finished_at: Set(run.finished_at.map(to_ms)),
        status: Set(run.status.code()),
        n_examined: Set(count(run.n_examined)),
        n_changed: Set(count(run.n_changed)),
        n_failed: Set(count(run.n_failed)),
        error: Set(run.error.clone()),
        ..Default::default()
    };
    let done = Entity::insert(row).exec_without_returning(db.conn()).await;
    done.map(|_| ()).map_err(StoreError::during("record a run"))
}

/// The last `limit` runs, newest first; of one job, if one is named.
///
/// # Errors
/// As the database answers.
pub async fn recent(db: &Db, job: Option<&str>, limit: u64) -> Result<Vec<Run>, StoreError> {
    let mut query = Entity::find().order_by_desc(Column::StartedAt).order_by_desc(Column::Id);
    if let Some(job) = job {
        query = query.filter(Column::Job.eq(job));
    }
    let rows = query.limit(limit).all(db.conn()).await;
    let rows = rows.map_err(StoreError::during("list runs"))?;
    Ok(rows.into_iter().map(to_run).collect())
}

/// Deletes up to `limit` runs that began before `before`, and counts them.
///
/// # Errors
/// As the database answers.
pub async fn prune(
    conn: &impl ConnectionTrait,
    before: DateTime<Utc>,
    limit: usize,
) -> Result<u64, StoreError> {
    Sql::new(conn, "delete old runs")
        .delete_oldest("job_runs", "started_at", to_ms(before), limit)
        .execute(conn)
        .await
}

fn to_run(row: Model) -> Run {
    Run {
        job: row.job,
        instance: row.instance,
        cause: row.cause,
        started_at: from_ms(row.started_at).unwrap_or_default(),
        finished_at: row.finished_at.and_then(from_ms),
        status: RunStatus::of_code(row.status),
        n_examined: row.n_examined.unsigned_abs(),
        n_changed: row.n_changed.unsigned_abs(),
        n_failed: row.n_failed.unsigned_abs(),
        error: row.error,
    }
}

/// A count as the database takes it.
fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
