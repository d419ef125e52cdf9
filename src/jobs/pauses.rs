//! What operators hold, and one line in the log when that changes.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::info;

use crate::{
    jobs::{Job, runner::Cause},
    store::{Db, StoreError, flags},
};

/// The pauses as the last runs found them.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    all: AtomicBool,
    purge: AtomicBool,
}

impl Pauses {
    /// Whether an operator has paused `job`. A run that somebody asks for by hand is held by a
    /// pause of purges alone.
    ///
    /// # Errors
    /// As the database answers.
    pub(super) async fn hold(&self, db: &Db, job: &Job, cause: Cause) -> Result<bool, StoreError> {
        if job.is_destructive && is_on(db, flags::PAUSE_PURGE, &self.purge).await? {
            return Ok(true);
        }
        Ok(cause != Cause::Manual && is_on(db, flags::PAUSE_ALL, &self.all).await?)
    }
}

/// Asks for one pause, and tells if it is not as it was.
async fn is_on(db: &Db, name: &str, was_on: &AtomicBool) -> Result<bool, StoreError> {
    let flag = flags::get(db, name).await?;
    let (what, end) = match name {
        flags::PAUSE_PURGE => ("purges", "lapsed resume --purge"),
        _ => ("all jobs", "lapsed resume"),
    };
    match (&flag, was_on.swap(flag.is_some(), Ordering::Relaxed)) {
        (Some(flag), false) => info!(by = flag.set_by, "Paused {what} until `{end}`"),
        (None, true) => info!("Resumed {what}"),
        _ => {}
    }
    Ok(flag.is_some())
}
