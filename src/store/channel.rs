//! A mail channel that has failed: remembered as a flag, so that all daemons rest it together, and
//! none that is started anew asks a relay at once that has just turned everybody away.
//!
//! Not in the trail: nothing of anybody's changes by it.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};

use crate::{
    domain::retry::channel_pause,
    store::{StoreError, Tx, flags, sql::Sql, to_ms},
};

const FLAG: &str = "mail.channel";
/// Characters that are kept of what a relay said.
const MAX_WHY: usize = 500;

/// A channel that has failed, and has taken no mail since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelDown {
    /// How many times in a row it has.
    pub n_failures: u32,
    /// When it did first.
    pub since: DateTime<Utc>,
    /// Until when nothing is sent.
    pub rests_until: DateTime<Utc>,
    /// What it said last.
    pub why: String,
    /// Whether that was the refusal of several different recipients, each as a matter of policy:
    /// then one alone shows nothing.
    pub by_policy: bool,
}

impl ChannelDown {
    /// Whether nothing is to be sent at `now`. A clock that is set back makes no pause longer than
    /// pauses are.
    pub fn is_resting(&self, now: DateTime<Utc>) -> bool {
        now < self.rests_until && self.rests_until <= now + channel_pause(u32::MAX)
    }
}

/// How the channel failed, if it took no mail since.
///
/// # Errors
/// As the database answers.
pub async fn get(conn: &impl ConnectionTrait) -> Result<Option<ChannelDown>, StoreError> {
    let flag = flags::get_by(conn, FLAG).await?;
    // A value that cannot be read is no reason to keep owners waiting.
    Ok(flag.and_then(|flag| serde_json::from_str(&flag.value).ok()))
}

/// Notes at `now` that the channel failed, and returns for how long it rests. What fails while it
/// rests is part of the failure that is known.
///
/// # Errors
/// As the database answers.
pub async fn failed(
    tx: &Tx,
    actor: &str,
    (why, by_policy): (&str, bool),
    now: DateTime<Utc>,
) -> Result<ChannelDown, StoreError> {
    let before = get(&**tx).await?;
    if let Some(down) = before.as_ref().filter(|down| down.is_resting(now)) {
        return Ok(down.clone());
    }
    let n_failures = before.as_ref().map_or(0, |down| down.n_failures).saturating_add(1);
    let down = ChannelDown {
        n_failures,
        since: before.map_or(now, |down| down.since),
        rests_until: now + channel_pause(n_failures),
        why: why.chars().take(MAX_WHY).collect(),
        by_policy,
    };
    put(&**tx, actor, &down, now).await?;
    Ok(down)
}

/// Notes that the channel took a mail. Returns whether it was known to have failed.
///
/// # Errors
/// As the database answers.
pub async fn worked(conn: &impl ConnectionTrait) -> Result<bool, StoreError> {
    flags::remove(conn, FLAG).await
}

/// Notes that a mail went out by another way than the outbox: what was put off with the channel is
/// due now. Returns whether the channel was known to have failed.
///
/// # Errors
/// As the database answers.
pub async fn lift(conn: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let Some(down) = get(conn).await? else { return Ok(false) };
    wake(conn, &down, now).await?;
    worked(conn).await
}

/// Ends the pause, though not the doubt: the next delivery tries the channel with few mails. For
/// whoever may have mended it.
///
/// # Errors
/// As the database answers.
pub async fn end_pause(
    conn: &impl ConnectionTrait,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(down) = get(conn).await? else { return Ok(()) };
    wake(conn, &down, now).await?;
    put(conn, actor, &ChannelDown { rests_until: now, ..down }, now).await
}

/// Makes the messages due that were put off until the end of the pause.
async fn wake(
    conn: &impl ConnectionTrait,
    down: &ChannelDown,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    Sql::new(conn, "end the pause of messages")
        .push("UPDATE messages SET next_attempt_at = ")
        .bind(to_ms(now))
        .push(" WHERE status = 1 AND next_attempt_at = ")
        .bind(to_ms(down.rests_until))
        .execute(conn)
        .await
        .map(drop)
}

async fn put(
    conn: &impl ConnectionTrait,
    actor: &str,
    down: &ChannelDown,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // A value made of texts and numbers can always be written.
    let value = serde_json::to_string(down).unwrap_or_default();
    flags::put(conn, actor, FLAG, &value, now).await
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_pause_ends_and_a_clock_set_back_makes_it_no_longer() {
        let noon = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let rests_until = noon + TimeDelta::minutes(2);
        let (n_failures, why, by_policy) = (2, String::new(), false);
        let down = ChannelDown { n_failures, since: noon, rests_until, why, by_policy };
        assert!(down.is_resting(noon));
        assert!(down.is_resting(rests_until - TimeDelta::milliseconds(1)));
        assert!(!down.is_resting(rests_until));
        assert!(down.is_resting(rests_until - TimeDelta::minutes(30)));
        assert!(!down.is_resting(noon - TimeDelta::days(300)));
    }
}
