//! Every point at which a pass can end without a word, one after the other: around each commit,
//! each statement that writes, and each step of SMTP (`src/crash.rs`). One more pass must mend
//! whatever was left, and that is checked after each.

use std::os::unix::process::ExitStatusExt as _;

use lapsed::store::Engine;

use super::feed::Feed;
use crate::support::{
    daemon::{LANES, Site},
    db::with_db,
    smtp::Plan,
};

const SIGABRT: i32 = 6;
/// At least so many points there are: fewer would mean that they are not found.
const LEAST: usize = 30;

async fn aborted_at_every_point(engine: Engine) {
    with_db(engine, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::new(&test_db, relay.port).await;
        let mut feed = Feed::new(&site).await;
        let (mut n_points, mut n_copies) = (0, 0);
        loop {
            feed.add(&site, 1).await;
            let at = (n_points + 1).to_string();
            let ended = site.run_with("sweep", &[("CRASH_AT", &at)]);
            if ended.status.success() {
                break;
            }
            assert_eq!(ended.status.signal(), Some(SIGABRT), "{ended:?}");
            n_points += 1;
            // As though the lease of the dead were over.
            site.execute("UPDATE messages SET next_attempt_at = 0 WHERE status = 2").await;
            let mended = site.run("sweep");
            assert!(mended.status.success(), "after point {n_points}: {mended:?}");
            let told = feed.check(&site, &relay).await;
            assert!(told.n_copies - n_copies <= LANES, "after point {n_points}: {told:?}");
            n_copies = told.n_copies;
        }
        tell(engine, n_points);
        assert!(LEAST <= n_points, "{n_points} points");
        feed.check(&site, &relay).await;
    })
    .await;
}

#[expect(clippy::print_stderr, reason = "for whoever wants to know how many there are")]
fn tell(engine: Engine, n_points: usize) {
    eprintln!("{n_points} points at which a pass on {engine:?} can end");
}

// The relay answers while the test waits for the program.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn aborted_at_every_point_on_sqlite() {
    aborted_at_every_point(Engine::Sqlite).await;
}

// The relay answers while the test waits for the program.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn aborted_at_every_point_on_postgres() {
    aborted_at_every_point(Engine::Postgres).await;
}

// The relay answers while the test waits for the program.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn aborted_at_every_point_on_mariadb() {
    aborted_at_every_point(Engine::MariaDb).await;
}
