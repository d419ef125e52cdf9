//! A stop is safe at any time: what is under way is finished or given back.

use lapsed::{
    clock::{Clock as _, SystemClock},
    store::Engine,
};

use super::{IN_A_WEEK, check_told, gated, people, seed, until_done};
use crate::support::{
    daemon::{Daemon, LANES, LONG_LEASE, Site, until},
    db::{TestDb, with_db},
    smtp::{Action, Plan, SmtpServer, Step},
};

/// More than a daemon holds at a time, so that its claims wait too.
const N_OWNERS: u32 = 1_000;

async fn busy_daemon(
    test_db: &TestDb,
    relay: &SmtpServer,
    options: &[(&str, &str)],
) -> (Site, Daemon) {
    let site = Site::new(test_db, relay.port).await;
    people(&site, N_OWNERS).await;
    seed(&site, N_OWNERS, N_OWNERS).await;
    let daemon = site.start_with(options);
    site.until_count("messages WHERE status = 2", |n| n > 250).await;
    (site, daemon)
}

/// Checks that nothing belongs to anybody, and that all that was not sent is due.
async fn all_is_given_back(site: &Site) {
    assert_eq!(site.count("messages WHERE status = 2").await, 0, "nothing is held");
    let now = SystemClock.now().timestamp_millis();
    let put_off =
        format!("messages WHERE status <> 3 AND next_attempt_at > {now} AND ambiguous = 0");
    assert_eq!(site.count(&put_off).await, 0, "everything is due");
    assert!(site.count("messages WHERE status = 1").await > 0, "it was in the middle");
}

async fn under_load(engine: Engine) {
    with_db(engine, |test_db| async move {
        let (relay, gate) = gated(20).await;
        let (site, mut daemon) = busy_daemon(&test_db, &relay, &[LONG_LEASE]).await;
        until("the relay has taken some", async || (relay.n_mails() >= 20).then_some(())).await;
        daemon.signal("TERM");
        daemon.has_logged("Stopping on SIGTERM").await;
        gate.send_replace(true);
        assert_eq!(daemon.end().await.code(), Some(0), "in good time, too: 30 s are its limit");
        assert_eq!(daemon.n_logged("everything was finished"), 1);
        all_is_given_back(&site).await;

        let mut daemon = site.start_with(&[LONG_LEASE]);
        until_done(&site).await;
        daemon.stop().await;
        let told = check_told(&site, &relay, IN_A_WEEK, N_OWNERS).await;
        assert_eq!((told.n_copies, told.n_ambiguous), (0, 0), "nobody was in doubt");
    })
    .await;
}

#[tokio::test]
async fn a_stop_under_load_on_sqlite() {
    under_load(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_stop_under_load_on_postgres() {
    under_load(Engine::Postgres).await;
}

#[tokio::test]
async fn a_stop_under_load_on_mariadb() {
    under_load(Engine::MariaDb).await;
}

/// A relay that does not say another word once it is to get a message.
async fn stalled() -> SmtpServer {
    Plan::scripted(|_, step, _| if step == Step::Data { Action::Stall } else { Action::Default })
        .start()
        .await
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_relay_that_is_silent() {
    with_db(Engine::Postgres, |test_db| async move {
        let relay = stalled().await;
        let (site, mut daemon) = busy_daemon(&test_db, &relay, &[]).await;
        daemon.stop().await;
        all_is_given_back(&site).await;
        assert_eq!(site.count("messages WHERE ambiguous > 0 OR attempts > 0").await, 0);
        assert_eq!(relay.n_mails(), 0);
    })
    .await;
}

async fn a_second_signal(engine: Engine) {
    with_db(engine, |test_db| async move {
        let (relay, gate) = gated(0).await;
        let (site, mut daemon) = busy_daemon(&test_db, &relay, &[]).await;
        daemon.signal("TERM");
        daemon.has_logged("Stopping on SIGTERM").await;
        daemon.signal("TERM");
        assert_eq!(daemon.end().await.code(), Some(1), "it did not finish");
        assert_eq!(daemon.n_logged("Stopped before everything was finished"), 1);
        assert!(site.count("messages WHERE status = 2").await > 0);

        gate.send_replace(true);
        let mut daemon = site.start();
        until_done(&site).await;
        daemon.stop().await;
        let told = check_told(&site, &relay, IN_A_WEEK, N_OWNERS).await;
        assert!(told.n_copies <= LANES, "{told:?}");
    })
    .await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once_on_sqlite() {
    a_second_signal(Engine::Sqlite).await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once_on_postgres() {
    a_second_signal(Engine::Postgres).await;
}
