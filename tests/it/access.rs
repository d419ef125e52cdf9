//! When somebody's access ends, so do their keys: all of them, at once, and nothing else.

use lapsed::store::{
    access::{self, Ended},
    owners::{self, Owner},
    policies::PolicyBook,
};

use crate::{
    on_each_engine,
    support::app::{TestApp, days},
};

async fn book(app: &TestApp) -> PolicyBook {
    PolicyBook::load(&app.db, (*app.deps.policies).clone()).await.unwrap()
}

async fn owner(app: &TestApp) -> Owner {
    owners::find(app.db.conn(), 1, "ada@acme.example").await.unwrap().unwrap()
}

on_each_engine! {
    async fn all_keys_end_with_their_owners_access(app: TestApp) {
        app.people().await;
        app.owner(2, "bob@acme.example").await;
        for (id, ahead) in [(1, 60), (2, 5), (3, 60)] {
            app.key(id, days(ahead)).await;
        }
        app.key_of(2, 4, days(60)).await;
        app.sweep().await;

        let at = app.now() + days(10);
        let (policies, ada) = (book(&app).await, owner(&app).await);
        let ended = access::set_end(&app.db, &policies, "operator", &ada, Some(at)).await.unwrap();
        assert_eq!(ended, Ended { n_shortened: 2, n_kept: 1, n_corrupt: 0 });
        let ends: Vec<i64> = app.column("SELECT expires_at FROM api_keys ORDER BY id").await;
        let ends: Vec<i64> = ends.iter().map(|ms| (ms - app.now().timestamp_millis()) / 86_400_000).collect();
        assert_eq!(ends, [10, 5, 10, 60]);
        assert_eq!(owner(&app).await.access_ends_at, Some(at));

        app.pass().await;
        assert_eq!(
            app.notices(1).await,
            ["expiring-30d told"],
            "the new end is told"
        );
        app.clock.advance(days(10));
        app.sweep().await;
        assert_eq!(app.describe(1).await, "revoked, next purge in PT259200S", "and there is no window");
        assert!(app.describe(4).await.starts_with("active"), "Bob's key goes on");
    }
}

on_each_engine! {
    async fn what_speaks_of_the_old_end_is_void(app: TestApp) {
        app.people().await;
        app.key(1, days(20)).await;
        app.sweep().await;
        assert_eq!(app.notices(1).await, ["expiring-30d pending"]);
        let at = Some(app.now() + days(3));
        access::set_end(&app.db, &book(&app).await, "operator", &owner(&app).await, at).await.unwrap();
        assert_eq!(app.notices(1).await, ["expiring-30d void"]);
        app.sweep().await;
        assert_eq!(
            app.notices(1).await,
            ["expiring-30d void", "expiring-30d superseded", "expiring-7d pending"]
        );
    }
}

on_each_engine! {
    async fn a_later_end_brings_no_key_back(app: TestApp) {
        app.people().await;
        app.key(1, days(60)).await;
        let policies = book(&app).await;
        let early = Some(app.now() + days(10));
        access::set_end(&app.db, &policies, "operator", &owner(&app).await, early).await.unwrap();
        let ended = access::set_end(&app.db, &policies, "operator", &owner(&app).await, None).await.unwrap();
        assert_eq!((ended.n_shortened, ended.n_kept), (0, 1));
        let ends: Vec<i64> = app.column("SELECT expires_at FROM api_keys").await;
        assert_eq!(ends, [(app.now() + days(10)).timestamp_millis()]);
        app.clock.advance(days(10));
        app.sweep().await;
        assert_eq!(app.describe(1).await, "window, next sweep in PT518400S", "but it has a window again");
    }
}
