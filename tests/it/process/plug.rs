//! A server that loses its plug: what it has not given to the disk is gone. What lapsed has said
//! is done stays done, and what was half done is done again.

use std::sync::Arc;

use lapsed::clock::SystemClock;

use super::{IN_A_WEEK, check_told, gated, people, seed, until_done};
use crate::support::{
    app::{TestApp, days},
    daemon::Site,
    db::with_db_on,
    server::Server,
};

#[tokio::test]
async fn a_run_that_is_in_the_history_stays_done() {
    let server = &Server::start();
    with_db_on(server, |test_db| async move {
        let app = TestApp::start(test_db.clone()).await;
        app.people().await;
        for n in 1..=100 {
            app.key(n, days(7)).await;
        }
        // Twenty steps.
        let app = app.with(|deps| deps.limits.batch = 5);
        assert_eq!(app.sweep().await.n_changed, 100);
        server.crash();
        server.recover();
        let app = TestApp::start(test_db).await;
        assert_eq!(app.count("job_runs").await, 1);
        assert_eq!(app.count("notices WHERE status = 1").await, 100, "as the run said");
        assert_eq!(app.count("api_keys WHERE version = 2").await, 100);
    })
    .await;
}

#[tokio::test]
async fn in_the_middle_of_a_sweep_nobody_goes_untold() {
    let server = &Server::start();
    with_db_on(server, |test_db| async move {
        let (n_owners, n_keys) = (400, 20_000);
        let (relay, gate) = gated(50).await;
        let mut site = Site::new(&test_db, relay.port).await;
        site.edit("lapsed.toml", "batch = 500", "batch = 100");
        people(&site, n_owners).await;
        let mut daemon = site.fleet(1).await.remove(0);
        seed(&site, n_owners, n_keys).await;
        site.until_count("notices", |n| 0 < n).await;
        server.crash();
        gate.send_replace(true);
        daemon.has_logged("The database cannot be reached").await;
        server.recover();
        site.db = test_db.connect(Arc::new(SystemClock)).await;
        until_done(&site).await;
        daemon.has_logged("The database is back").await;
        daemon.stop().await;
        check_told(&site, &relay, IN_A_WEEK, n_keys).await;
    })
    .await;
}
