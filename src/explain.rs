//! Why a key is where it is, and what comes next: read from the trail, the notices and the rules.
//! For the command line and for the pages of administrators.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    domain::{brake::Destruction, doubt::Doubt, key::KeyId},
    store::{
        Db, StoreError, brake, flags,
        history::{self, NoticeFilter},
        key_list::KeyView,
        policies::PolicyBook,
    },
};

mod approval;
mod next;
mod past;

pub use self::{approval::approval, next::Next, past::Line};

/// The most lines of a history.
const LINES: u64 = 500;

/// What has happened to a key that lives, in order, and what comes next if nobody acts.
///
/// `min_notice` is how long before a purge its owner must have been told.
///
/// # Errors
/// As the database answers.
pub async fn key(
    db: &Db,
    policies: &PolicyBook,
    view: &KeyView,
    min_notice: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(Vec<Line>, Next), StoreError> {
    let notices = notices(db, view.id).await?;
    let next = next::next(policies, view, &notices, min_notice, now);
    Ok((past::lines(events(db, view.id).await?, notices), next))
}

/// What keeps the daemon from doing what is due, whatever key it is about.
///
/// # Errors
/// As the database answers.
pub async fn obstacles(db: &Db, doubt: Option<Doubt>) -> Result<Vec<String>, StoreError> {
    let mut obstacles = Vec::new();
    for (flag, what) in
        [(flags::PAUSE_ALL, "all jobs are paused"), (flags::PAUSE_PURGE, "purges are paused")]
    {
        if let Some(flag) = flags::get(db, flag).await? {
            obstacles.push(format!("{what}, by {}: {}", flag.set_by, flag.value));
        }
    }
    if let Some(doubt) = doubt {
        obstacles.push(format!("nothing is destroyed while the clock is in doubt: {doubt}"));
    }
    for what in Destruction::ALL {
        if let Some(on) = brake::get(db, what).await? {
            let (n, what, reason) = (on.n, what.as_str(), on.reason);
            obstacles.push(format!("the brake holds back {n} keys to {what}: {reason}"));
        }
    }
    Ok(obstacles)
}

/// What happened to the key that had this number, in order.
///
/// # Errors
/// As the database answers.
pub async fn past(db: &Db, id: i64) -> Result<Vec<Line>, StoreError> {
    Ok(past::lines(events(db, id).await?, notices(db, id).await?))
}

async fn events(db: &Db, id: i64) -> Result<Vec<history::Event>, StoreError> {
    history::events(db, Some(KeyId(id)), 0, LINES).await
}

async fn notices(db: &Db, id: i64) -> Result<Vec<history::NoticeView>, StoreError> {
    let filter = NoticeFilter { key: Some(KeyId(id)), ..Default::default() };
    history::notices(db, filter, LINES).await
}
