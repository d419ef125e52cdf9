//! The real program, several times over on one database, stopped and killed in the middle.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{TimeDelta, Utc};
use lapsed::clock::{Clock as _, SystemClock};
use sea_orm::ConnectionTrait as _;
use tokio::sync::watch;

use crate::support::{
    daemon::Site,
    smtp::{Action, Plan, SmtpServer, Step},
};

mod clock_jumps;
mod crashed;
mod feed;
mod killed;
mod lines;
mod outage;
mod ping;
mod plug;
mod schema;
mod share;
mod stop;
mod supervised;
mod unwell;

/// The stages of the keys that [`seed`] and [`seed_ended`] make.
const IN_A_WEEK: i16 = 7;
const PURGED: i16 = -2;

/// Whole numbers from 1 to 99,999 as a table, in words that all engines know.
fn numbers() -> String {
    let digits: Vec<_> = (0..10).map(|digit| format!("SELECT {digit} AS d")).collect();
    let digits = format!("({})", digits.join(" UNION ALL "));
    format!(
        "(SELECT e.d * 10000 + d.d * 1000 + c.d * 100 + b.d * 10 + a.d AS i FROM {digits} a \
         CROSS JOIN {digits} b CROSS JOIN {digits} c CROSS JOIN {digits} d CROSS JOIN {digits} e) n"
    )
}

/// Writes `n_owners` owners of one tenant.
async fn people(site: &Site, n_owners: u32) {
    site.execute(
        "INSERT INTO tenants (id, slug, name, contacts, created_at) \
         VALUES (1, 'acme', 'Acme', '[]', 0)",
    )
    .await;
    site.execute(
        "INSERT INTO environments (id, tenant_id, slug, name, class, contacts, created_at) \
         VALUES (1, 1, 'prod', 'Production', 1, '[]', 0)",
    )
    .await;
    site.execute(&format!(
        "INSERT INTO owners (id, public_id, tenant_id, email, name, kind, time_zone, locale, \
         mail_status, created_at) SELECT i, CONCAT('Owner', 1000000 + i), 1, \
         CONCAT('owner', i, '@acme.example'), CONCAT('Owner ', i), 1, 'UTC', 'en', 1, 0 \
         FROM {} WHERE i BETWEEN 1 AND {n_owners}",
        numbers()
    ))
    .await;
}

/// Writes `n_keys` keys, spread over the owners, that expire in a week. Their turn is now.
async fn seed(site: &Site, n_owners: u32, n_keys: u32) {
    site.execute(&keys(n_owners, n_keys, (1, 1, "NULL"), TimeDelta::days(7))).await;
}

/// Writes keys that expired eight days ago, of which the owners were told at once, and whose
/// window has been over since yesterday. Their turn to be purged is now. The keys and what was
/// told of them appear at once: a purge that saw the keys alone would rightly put them off.
async fn seed_ended(site: &Site, n_owners: u32, n_keys: u32) {
    let day = TimeDelta::days(1);
    let ended = SystemClock.now() - day;
    let told = (SystemClock.now() - day * 8).timestamp_millis();
    let keys = keys(n_owners, n_keys, (2, 2, &ended.timestamp_millis().to_string()), -day * 8);
    let notices = format!(
        "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, status, created_at, \
         due_at, told_at) SELECT id, 1, owner_id, 0, expires_at, 3, {told}, {told}, {told} \
         FROM api_keys"
    );
    let tx = site.db.begin().await.unwrap();
    tx.execute_unprepared(&keys).await.unwrap();
    tx.execute_unprepared(&notices).await.unwrap();
    tx.commit().await.unwrap();
}

/// The statement that writes keys.
fn keys(
    n_owners: u32,
    n_keys: u32,
    (state, job, ends_at): (i16, i16, &str),
    ahead: TimeDelta,
) -> String {
    let now = SystemClock.now();
    let ms = |at: chrono::DateTime<Utc>| at.timestamp_millis();
    let (born, dies) = (ms(now + ahead - TimeDelta::days(90)), ms(now + ahead));
    format!(
        "INSERT INTO api_keys (public_id, tenant_id, environment_id, owner_id, kind, name, ttl_ms, \
         created_at, issued_at, expires_at, state, window_ends_at, next_job, next_action_at, \
         last_stage, version) SELECT CONCAT('KeyNo', 1000000 + i), 1, 1, i % {n_owners} + 1, 1, \
         CONCAT('key ', i), 7776000000, {born}, {born}, {dies}, {state}, {ends_at}, {job}, \
         {} - i % 1000, 30, 1 FROM {} WHERE i BETWEEN 1 AND {n_keys}",
        ms(now),
        numbers()
    )
}

/// A relay that takes so many mails, and keeps everybody waiting for the answer to the next until
/// the gate is opened: whatever a test does meanwhile, it does in the middle of the work.
async fn gated(n_first: usize) -> (SmtpServer, watch::Sender<bool>) {
    let (gate, is_open) = watch::channel(false);
    let n_bodies = std::sync::atomic::AtomicUsize::new(0);
    let plan = Plan::scripted(move |_, step, _| {
        let is_late = || n_bodies.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= n_first;
        match step {
            Step::Body if is_late() => Action::Wait(is_open.clone()),
            _ => Action::Default,
        }
    });
    (plan.start().await, gate)
}

/// Looks until nothing is left to be done: no key is due, no notice waits, every mail is sent.
async fn until_done(site: &Site) {
    let now = SystemClock.now().timestamp_millis();
    site.until_count(&format!("api_keys WHERE next_action_at <= {now}"), |n| n == 0).await;
    site.until_count("notices WHERE status IN (1, 2)", |n| n == 0).await;
    site.until_count("messages WHERE status <> 3", |n| n == 0).await;
}

/// The Message-ID of a mail, without its brackets.
fn message_id(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace("\r\n ", " ");
    let id = text.split("Message-ID: <").nth(1).and_then(|rest| rest.split('>').next());
    id.unwrap().to_owned()
}

/// What the relay has taken: for each Message-ID the keys it tells of, and how many copies came.
fn taken(relay: &SmtpServer) -> BTreeMap<String, (BTreeSet<String>, usize)> {
    let mut taken = BTreeMap::<_, (BTreeSet<String>, usize)>::new();
    for mail in relay.seen().mails {
        let id = message_id(&mail.bytes);
        let text = String::from_utf8(mail.bytes).unwrap().replace("=\r\n", "");
        let keys = text.split("KeyNo").skip(1).map(|rest| format!("KeyNo{}", &rest[..7]));
        let (known, n_copies) = taken.entry(id).or_default();
        let keys = keys.collect();
        assert!(*n_copies == 0 || *known == keys, "every copy says the same");
        (*known, *n_copies) = (keys, *n_copies + 1);
    }
    taken
}

/// What came out of all the work.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    n_mails: usize,
    /// Copies beyond the first.
    n_copies: usize,
    /// Mails the database counts as possibly delivered without our knowing.
    n_ambiguous: usize,
}

/// Checks that each of the `n_keys` was told `stage` exactly once, as the database says and as the
/// relay saw it, and that only mails came twice that the database knows may have.
async fn check_told(site: &Site, relay: &SmtpServer, stage: i16, n_keys: u32) -> Told {
    let of_stage = format!("notices WHERE stage = {stage}");
    assert_eq!(site.count(&of_stage).await, i64::from(n_keys), "one notice for each key");
    let told = format!("{of_stage} AND status = 3 AND told_at > 0 AND message_id > 0");
    assert_eq!(site.count(&told).await, i64::from(n_keys), "each told in a mail");
    check_mails(site, relay).await
}

/// Compares what the relay has taken with what the database says: every mail that was written was
/// taken, went to whom it is for, and tells of the keys it was written for; none came more often
/// than the database knows that it may have.
async fn check_mails(site: &Site, relay: &SmtpServer) -> Told {
    assert_eq!(site.count("messages WHERE status <> 3").await, 0, "nothing is left in the outbox");
    let pairs: Vec<String> = site
        .column(
            "SELECT CONCAT(m.header_id, ' ', k.public_id) FROM notices n \
             JOIN messages m ON m.id = n.message_id JOIN (SELECT id, public_id FROM api_keys \
             UNION ALL SELECT key_id, public_id FROM tombstones) k ON k.id = n.key_id",
        )
        .await;
    let mut written = BTreeMap::<_, BTreeSet<_>>::new();
    for pair in &pairs {
        let (id, key) = pair.split_once(' ').unwrap();
        written.entry(id.to_owned()).or_default().insert(key.to_owned());
    }
    let n_notices = site.count("notices WHERE message_id IS NOT NULL").await;
    assert_eq!(usize::try_from(n_notices), Ok(pairs.len()), "each notice is of a key");

    let taken = taken(relay);
    let told: BTreeMap<_, _> =
        taken.iter().map(|(id, (keys, _))| (id.clone(), keys.clone())).collect();
    assert!(told == written, "every mail was taken, and tells of the keys it was written for");
    let recipients: Vec<String> =
        site.column("SELECT CONCAT(header_id, ' ', recipients) FROM messages").await;
    let recipients: BTreeMap<&str, &str> =
        recipients.iter().filter_map(|line| line.split_once(' ')).collect();
    for mail in relay.seen().mails {
        let to = serde_json::to_string(&mail.to).unwrap();
        assert_eq!(recipients[message_id(&mail.bytes).as_str()], to, "to somebody else");
    }
    let ambiguous: Vec<String> = site
        .column("SELECT CONCAT(header_id, ' ', ambiguous) FROM messages WHERE ambiguous > 0")
        .await;
    let ambiguous: BTreeMap<&str, usize> = ambiguous
        .iter()
        .filter_map(|line| line.split_once(' '))
        .map(|(id, n)| (id, n.parse().unwrap()))
        .collect();
    for (id, (_, n_copies)) in &taken {
        let n_doubts = ambiguous.get(id.as_str()).copied().unwrap_or(0);
        assert!(*n_copies <= 1 + n_doubts, "{id}: {n_copies} copies, {n_doubts} doubts");
    }
    let n_copies = taken.values().map(|(_, n_copies)| n_copies - 1).sum();
    Told { n_mails: taken.len(), n_copies, n_ambiguous: ambiguous.len() }
}
