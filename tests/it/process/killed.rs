//! `kill -9` at any time: before it has started, in the middle of a statement or of a mail, two
//! hundred times in a row. In the end what the relay took is compared with what the database says.
//!
//! `LAPSED_KILLS=n` kills so often on each engine, and `LAPSED_SEED=x` draws the same lengths of
//! life again; what a process has come to by then is up to the machine.

use std::time::Instant;

use lapsed::store::Engine;

use super::{feed::Feed, until_done};
use crate::support::{
    chance::{Chance, seed, wanted},
    daemon::{LANES, Site, until},
    db::with_db,
    smtp::Plan,
};

/// Keys of each kind that become due for each life.
const N_KEYS: u32 = 2;

async fn killed_at_random(engine: Engine, n_kills: u64) {
    let n_kills = wanted("LAPSED_KILLS").unwrap_or(n_kills);
    with_db(engine, |test_db| async move {
        let mut chance = Chance::new(seed());
        let relay = Plan::new().start().await;
        let site = Site::new(&test_db, relay.port).await;
        let mut feed = Feed::new(&site).await;
        feed.add(&site, N_KEYS).await;
        // So long is a life on this machine until its first mail is out.
        let began = Instant::now();
        let mut first = site.start();
        until("a mail is out", async || (relay.n_mails() > 0).then_some(())).await;
        first.kill();
        let usual = began.elapsed();
        for _ in 1..n_kills {
            feed.add(&site, N_KEYS).await;
            let life = usual.mul_f64((20 + chance.below(180)) as f64 / 100.0);
            site.start().kill_after(life).await;
        }

        let mut daemon = site.start();
        let now = lapsed::clock::Clock::now(&lapsed::clock::SystemClock).timestamp_millis();
        site.until_count(&format!("api_keys WHERE next_action_at <= {now}"), |n| n == 0).await;
        site.until_count("notices WHERE status = 1", |n| n == 0).await;
        site.until_count("messages WHERE status IN (1, 2)", |n| n == 0).await;
        if site.count("messages WHERE status = 6").await > 0 {
            // Put aside, because three daemons died with it; an operator has looked.
            let retried = site.run("notices retry --all");
            assert!(retried.status.success(), "{retried:?}");
        }
        until_done(&site).await;
        // Whoever is asked to stop before it listens for that is not stopped in order.
        daemon.has_logged("Started lapsed").await;
        daemon.stop().await;
        let told = feed.check(&site, &relay).await;
        assert!(told.n_copies as u64 <= n_kills * LANES as u64, "{told:?}");
        let verified = site.run("audit verify");
        assert!(verified.status.success(), "{verified:?}");
    })
    .await;
}

#[tokio::test]
async fn killed_at_random_on_sqlite() {
    killed_at_random(Engine::Sqlite, 100).await;
}

#[tokio::test]
async fn killed_at_random_on_postgres() {
    killed_at_random(Engine::Postgres, 50).await;
}

#[tokio::test]
async fn killed_at_random_on_mariadb() {
    killed_at_random(Engine::MariaDb, 50).await;
}
