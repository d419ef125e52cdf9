//! Keys that come in a few at a time while daemons die, and what must have become of each.

use chrono::TimeDelta;
use lapsed::clock::{Clock as _, SystemClock};
use sea_orm::ConnectionTrait as _;

use super::{IN_A_WEEK, PURGED, Told, check_mails, people};
use crate::support::{daemon::Site, smtp::SmtpServer};

const N_OWNERS: u32 = 40;
const EXPIRED: i16 = 0;

/// What is due about a key. The number is the first digit of its id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Its owner is to be reminded: it expires in a week.
    Reminder = 1,
    /// It has just expired.
    Expiry = 2,
    /// Its window is over, and its owner has known for a week: it is to be purged.
    Purge = 3,
}

/// The keys so far: as many of each kind.
pub(super) struct Feed {
    n_each: u32,
}

impl Feed {
    /// No keys yet, and their owners.
    pub(super) async fn new(site: &Site) -> Self {
        people(site, N_OWNERS).await;
        Self { n_each: 0 }
    }

    /// Adds so many keys of each kind, at once.
    pub(super) async fn add(&mut self, site: &Site, n: u32) {
        let (from, to) = (self.n_each, self.n_each + n);
        self.n_each = to;
        let rows: Vec<_> = (from..to)
            .flat_map(|i| [Due::Reminder, Due::Expiry, Due::Purge].map(|due| row(due, i)))
            .collect();
        let keys = format!(
            "INSERT INTO api_keys (public_id, owner_id, expires_at, state, window_ends_at, \
             next_job, last_stage, issued_at, created_at, next_action_at, tenant_id, \
             environment_id, kind, name, ttl_ms, version) VALUES {}",
            rows.join(", ")
        );
        // A key whose owner was not told would rightly not be purged.
        let ended: Vec<_> = (from..to).map(|i| format!("'{}'", id(Due::Purge, i))).collect();
        let told = format!(
            "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, status, \
             created_at, due_at, told_at) SELECT id, 1, owner_id, 0, expires_at, 3, expires_at, \
             expires_at, expires_at FROM api_keys WHERE public_id IN ({})",
            ended.join(", ")
        );
        let tx = site.db.begin().await.unwrap();
        tx.execute_unprepared(&keys).await.unwrap();
        tx.execute_unprepared(&told).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Checks that what was due about each key came about once, whole, and was told to its owner,
    /// and that nothing else came about.
    pub(super) async fn check(&self, site: &Site, relay: &SmtpServer) -> Told {
        let n = i64::from(self.n_each);
        let week = TimeDelta::days(7).num_milliseconds();
        for (from, expected) in [
            ("api_keys WHERE state = 1 AND public_id LIKE 'KeyNo1%'".to_owned(), n),
            ("api_keys WHERE state = 2 AND public_id LIKE 'KeyNo2%'".to_owned(), n),
            (format!("api_keys WHERE state = 2 AND window_ends_at < expires_at + {week}"), 0),
            ("api_keys".to_owned(), 2 * n),
            ("tombstones WHERE public_id LIKE 'KeyNo3%'".to_owned(), n),
            ("tombstones".to_owned(), n),
            (format!("notices WHERE stage = {IN_A_WEEK} AND message_id > 0"), n),
            (format!("notices WHERE stage = {EXPIRED} AND message_id > 0"), n),
            (format!("notices WHERE stage = {PURGED} AND message_id > 0"), n),
            ("notices WHERE status = 3 AND told_at > 0".to_owned(), 4 * n),
            ("notices".to_owned(), 4 * n),
            ("audit_events WHERE action = 'key.expired'".to_owned(), n),
            ("audit_events WHERE action = 'key.purged'".to_owned(), n),
        ] {
            assert_eq!(site.count(&from).await, expected, "{from}");
        }
        check_mails(site, relay).await
    }
}

/// The id of the `i`th key of a kind.
fn id(due: Due, i: u32) -> String {
    format!("KeyNo{}", 1_000_000 * (due as u32) + i)
}

/// A key as it is written. Its turn is now.
fn row(due: Due, i: u32) -> String {
    let day = TimeDelta::days(1);
    let now = SystemClock.now();
    let (ahead, state, job, last_stage) = match due {
        Due::Reminder => (day * 7, 1, 1, 30),
        Due::Expiry => (TimeDelta::zero(), 1, 1, 1),
        Due::Purge => (-day * 8, 2, 2, -1),
    };
    let window_ends_at = match due {
        Due::Purge => (now - day).timestamp_millis().to_string(),
        _ => "NULL".to_owned(),
    };
    let expires_at = (now + ahead).timestamp_millis();
    let born = (now + ahead - day * 90).timestamp_millis();
    let (id, owner, now) = (id(due, i), i % N_OWNERS + 1, now.timestamp_millis());
    format!(
        "('{id}', {owner}, {expires_at}, {state}, {window_ends_at}, {job}, {last_stage}, {born}, \
         {born}, {now}, 1, 1, 1, 'key {i}', 7776000000, 1)"
    )
}
