//! Leases: one holder at a time, by the database's time, for exactly one term.

use chrono::TimeDelta;
use lapsed::store::leases::{give_back, renew, take};

use crate::{on_each_engine, support::app::noon};

const TTL: TimeDelta = TimeDelta::seconds(15);
const SECOND: TimeDelta = TimeDelta::seconds(1);

on_each_engine! {
    async fn one_holds_a_lease_until_its_term_ends(app: TestApp) {
        let first = take(&app.db, "prune", "a", TTL).await.unwrap().unwrap();
        assert_eq!(first.expires_at, noon() + TTL);
        assert_eq!(take(&app.db, "prune", "b", TTL).await.unwrap(), None);
        assert!(take(&app.db, "other", "b", TTL).await.unwrap().is_some());
        app.clock.advance(TTL - SECOND);
        let renewed = renew(&app.db, &first, TTL).await.unwrap().unwrap();
        assert_eq!(renewed.expires_at, noon() + TTL + TTL - SECOND);
        app.clock.advance(TTL);
        assert_eq!(renew(&app.db, &renewed, TTL).await.unwrap(), None, "the term has ended");
        assert!(take(&app.db, "prune", "b", TTL).await.unwrap().is_some());
    }
}

on_each_engine! {
    async fn a_sleeper_cannot_touch_the_next_term(app: TestApp) {
        let slept = take(&app.db, "prune", "a", TTL).await.unwrap().unwrap();
        app.clock.advance(TTL);
        let next = take(&app.db, "prune", "a", TTL).await.unwrap().unwrap();
        assert_eq!(renew(&app.db, &slept, TTL).await.unwrap(), None);
        assert!(!give_back(&app.db, &slept).await.unwrap());
        assert!(renew(&app.db, &next, TTL).await.unwrap().is_some());
        assert!(give_back(&app.db, &next).await.unwrap());
        assert!(take(&app.db, "prune", "b", TTL).await.unwrap().is_some(), "at once");
    }
}

on_each_engine! {
    async fn of_four_that_ask_at_once_one_gets_it(app: TestApp) {
        let mut daemons = Vec::new();
        for _ in 0..4 {
            daemons.push(app.test_db.connect(std::sync::Arc::new(app.clock.clone())).await);
        }
        for round in 0..5 {
            let asked = daemons.iter().enumerate().map(|(n, db)| async move {
                take(db, "prune", &format!("daemon {n}"), TTL).await.unwrap()
            });
            let terms = futures_util::future::join_all(asked).await;
            assert_eq!(terms.iter().flatten().count(), 1, "round {round}");
            app.clock.advance(TTL);
        }
    }
}
