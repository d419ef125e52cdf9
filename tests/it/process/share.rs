//! Work that several daemons share, while one is frozen past its lease and another one killed.

use lapsed::store::{Engine, due};

use super::{IN_A_WEEK, PURGED, check_told, gated, people, seed, seed_ended, until_done};
use crate::support::{
    daemon::{Daemon, LANES, LONG_LEASE, Site, until},
    db::with_db,
    smtp::{Plan, SmtpServer},
};

/// The most mails one daemon holds: in its queue, with its lanes, and in the chunk on the way.
const MOST_HELD: i64 = 500 + 4 * 33 + 250;

/// How the keys, what was told about them, and the trail stand: every row as a text.
async fn ledger(site: &Site) -> Vec<String> {
    let mut rows = Vec::new();
    for (table, columns) in [
        ("api_keys", "state, next_job, next_action_at, last_stage, version"),
        ("notices", "status, message_id, told_at, reason"),
        (
            "messages",
            "status, next_attempt_at, attempts, lease_until, holder, crashes, ambiguous, \
             last_reply, sent_at",
        ),
        ("audit_events", "action, key_id"),
    ] {
        let query =
            format!("SELECT CONCAT_WS('|', '{table}', id, {columns}) FROM {table} ORDER BY id");
        rows.extend(site.column::<String>(&query).await);
    }
    rows
}

/// What `daemon` holds.
fn held_by(daemon: &Daemon) -> String {
    format!("messages WHERE status = 2 AND holder LIKE '{}'", daemon.holder())
}

/// Takes those two of the daemons out of `fleet` that hold the most.
async fn busiest(site: &Site, fleet: &mut Vec<Daemon>) -> (Daemon, Daemon) {
    let busy = until("two daemons hold mails", async || {
        let mut held = Vec::new();
        for (position, daemon) in fleet.iter().enumerate() {
            held.push((site.count(&held_by(daemon)).await, position));
        }
        held.sort_unstable();
        let busy: Vec<_> = held.iter().rev().filter(|(n, _)| *n > 0).take(2).collect();
        (busy.len() == 2).then(|| (busy[0].1, busy[1].1))
    })
    .await;
    let first = fleet.remove(busy.0);
    let second = fleet.remove(if busy.1 > busy.0 { busy.1 - 1 } else { busy.1 });
    (first, second)
}

/// Waits until everything the relay has taken is marked, so that what is in flight is what waits
/// for the relay's answer.
async fn all_is_marked(site: &Site, relay: &SmtpServer, n_mails: usize) {
    until("all that was taken is marked", async || {
        let n_marked = site.count("messages WHERE status = 3").await;
        (n_mails <= relay.n_mails() && usize::try_from(n_marked) == Ok(relay.n_mails()))
            .then_some(())
    })
    .await;
}

async fn some_fall_out(engine: Engine, n_daemons: usize, n_owners: u32, n_keys: u32) {
    with_db(engine, |test_db| async move {
        let (relay, gate) = gated(100).await;
        let site = Site::new(&test_db, relay.port).await;
        people(&site, n_owners).await;
        let mut fleet = site.fleet(n_daemons).await;
        seed(&site, n_owners, n_keys).await;
        all_is_marked(&site, &relay, 100).await;
        let (mut frozen, mut killed) = busiest(&site, &mut fleet).await;
        frozen.signal("STOP");
        killed.kill();
        if fleet.is_empty() {
            // What looks after the processes starts another one.
            fleet.push(site.start());
        }
        gate.send_replace(true);
        until_done(&site).await;

        let before = ledger(&site).await;
        let n_runs = frozen.n_runs("deliver");
        frozen.signal("CONT");
        until("the sleeper ends the run it slept in", async || {
            (frozen.n_runs("deliver") > n_runs).then_some(())
        })
        .await;
        frozen.stop().await;
        let after = ledger(&site).await;
        let changed = before.iter().zip(&after).find(|(before, after)| before != after);
        assert_eq!((changed, before.len()), (None, after.len()), "the sleeper wrote something");

        for daemon in &mut fleet {
            daemon.stop().await;
        }
        let told = check_told(&site, &relay, IN_A_WEEK, n_keys).await;
        assert!(told.n_ambiguous as i64 <= 2 * MOST_HELD, "{told:?}");
        // One mail a connection was waiting for its answer.
        assert!(told.n_copies <= 2 * LANES, "{told:?}");
        assert_eq!(site.count("messages WHERE status = 2").await, 0);
    })
    .await;
}

#[tokio::test]
async fn four_daemons_lose_two_on_postgres() {
    some_fall_out(Engine::Postgres, 4, 4_000, 20_000).await;
}

#[tokio::test]
async fn four_daemons_lose_two_on_mariadb() {
    some_fall_out(Engine::MariaDb, 4, 1_200, 3_600).await;
}

#[tokio::test]
async fn two_daemons_are_lost_and_replaced_on_postgres() {
    some_fall_out(Engine::Postgres, 2, 1_200, 2_400).await;
}

#[tokio::test]
async fn two_daemons_are_lost_and_replaced_on_mariadb() {
    some_fall_out(Engine::MariaDb, 2, 1_200, 2_400).await;
}

#[tokio::test]
async fn one_daemon_is_killed_and_started_again_on_sqlite() {
    with_db(Engine::Sqlite, |test_db| async move {
        let (relay, gate) = gated(50).await;
        let site = Site::new(&test_db, relay.port).await;
        people(&site, 300).await;
        let mut daemon = site.fleet(1).await.remove(0);
        seed(&site, 300, 1_200).await;
        all_is_marked(&site, &relay, 50).await;
        daemon.kill();
        let n_held = site.count("messages WHERE status = 2").await;
        gate.send_replace(true);
        let mut daemon = site.start_with(&[LONG_LEASE]);
        until_done(&site).await;
        daemon.stop().await;
        let told = check_told(&site, &relay, IN_A_WEEK, 1_200).await;
        assert_eq!(told.n_ambiguous as i64, n_held, "{told:?}");
        assert!(told.n_copies <= LANES, "{told:?}");
    })
    .await;
}

async fn each_key_is_purged_once(engine: Engine) {
    with_db(engine, |test_db| async move {
        let n_keys = 2_000;
        let relay = Plan::new().start().await;
        let site = Site::new(&test_db, relay.port).await;
        people(&site, 200).await;
        let mut fleet = site.fleet_with(4, &[LONG_LEASE]).await;
        seed_ended(&site, 200, n_keys).await;
        site.until_count("tombstones", |n| n == i64::from(n_keys)).await;
        until_done(&site).await;
        for daemon in &mut fleet {
            daemon.stop().await;
        }
        assert_eq!(site.count("api_keys").await, 0);
        let unique = "(SELECT DISTINCT key_id FROM tombstones) AS buried";
        assert_eq!(site.count(unique).await, i64::from(n_keys));
        let trail = "audit_events WHERE action = 'key.purged'";
        assert_eq!(site.count(trail).await, i64::from(n_keys));
        let told = check_told(&site, &relay, PURGED, n_keys).await;
        assert_eq!((told.n_copies, told.n_ambiguous), (0, 0), "{told:?}");
    })
    .await;
}

#[tokio::test]
async fn four_daemons_purge_each_key_once_on_postgres() {
    each_key_is_purged_once(Engine::Postgres).await;
}

#[tokio::test]
async fn four_daemons_purge_each_key_once_on_mariadb() {
    each_key_is_purged_once(Engine::MariaDb).await;
}

async fn a_transaction_freezes(engine: Engine) {
    with_db(engine, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::new(&test_db, relay.port).await;
        people(&site, 10).await;
        seed(&site, 10, 100).await;
        // What a daemon leaves open that is stopped between two statements.
        let frozen = site.db.begin().await.unwrap();
        let now = site.db.now(&*frozen).await.unwrap();
        let claim = due::claim(&*frozen, lapsed::store::turn::BEGINNING, now, 50).await.unwrap();
        assert_eq!(claim.len(), 50);
        let mut fleet = site.fleet(2).await;
        site.until_count("notices WHERE status = 3", |n| n == 50).await;
        until_done(&site).await;
        for daemon in &mut fleet {
            assert_eq!(daemon.n_errors(), 0);
            daemon.stop().await;
        }
        assert!(frozen.commit().await.is_err(), "the server has put it out");
        check_told(&site, &relay, IN_A_WEEK, 100).await;
    })
    .await;
}

#[tokio::test]
async fn a_frozen_transaction_is_put_out_by_postgres() {
    a_transaction_freezes(Engine::Postgres).await;
}

#[tokio::test]
async fn a_frozen_transaction_is_put_out_by_mariadb() {
    a_transaction_freezes(Engine::MariaDb).await;
}
