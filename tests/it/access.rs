//! When somebody's access ends, so do their keys: all of them, at once, and nothing else.

use lapsed::store::{
    access::{self, Ended, UndoError, Undone},
    owners::{self, Owner},
    policies::PolicyBook,
};

use crate::{
    on_each_engine,
    support::app::{OPERATOR, TestApp, days},
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
        let ended = access::set_end(&app.db, &policies, OPERATOR, &ada, Some(at)).await.unwrap();
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
    async fn a_second_end_does_not_make_a_key_look_revoked(app: TestApp) {
        app.people().await;
        app.key(1, days(60)).await;
        let (policies, ada) = (book(&app).await, owner(&app).await);
        access::set_end(&app.db, &policies, OPERATOR, &ada, Some(app.now())).await.unwrap();
        app.sweep().await;
        assert_eq!(app.describe(1).await, "revoked, next purge in PT259200S");
        app.clock.advance(days(1));
        access::set_end(&app.db, &policies, OPERATOR, &ada, Some(app.now())).await.unwrap();

        app.clock.advance(days(3));
        app.job("purge").await;
        assert_eq!(app.count("tombstones").await, 0, "nobody has been told of its end");
        app.job("deliver").await;
        app.clock.advance(days(4));
        app.job("purge").await;
        let reasons: Vec<i16> = app.column("SELECT reason FROM tombstones").await;
        assert_eq!(reasons, [3], "the access of its owner ended");
    }
}

on_each_engine! {
    async fn what_speaks_of_the_old_end_is_void(app: TestApp) {
        app.people().await;
        app.key(1, days(20)).await;
        app.sweep().await;
        assert_eq!(app.notices(1).await, ["expiring-30d pending"]);
        let at = Some(app.now() + days(3));
        access::set_end(&app.db, &book(&app).await, OPERATOR, &owner(&app).await, at).await.unwrap();
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
        access::set_end(&app.db, &policies, OPERATOR, &owner(&app).await, early).await.unwrap();
        let ended = access::set_end(&app.db, &policies, OPERATOR, &owner(&app).await, None).await.unwrap();
        assert_eq!((ended.n_shortened, ended.n_kept), (0, 1));
        let ends: Vec<i64> = app.column("SELECT expires_at FROM api_keys").await;
        assert_eq!(ends, [(app.now() + days(10)).timestamp_millis()]);
        app.clock.advance(days(10));
        app.sweep().await;
        assert_eq!(app.describe(1).await, "window, next sweep in PT518400S", "but it has a window again");
    }
}

on_each_engine! {
    async fn an_offboarding_is_undone_until_the_purge(app: TestApp) {
        let secrets = crate::support::secrets::Secrets::new(&app).await;
        let (one, two) = (secrets.create().await, secrets.create().await);
        app.pass().await;
        let (policies, ada) = (book(&app).await, owner(&app).await);
        let columns = "SELECT expires_at FROM api_keys ORDER BY id";
        let before: Vec<i64> = app.column(columns).await;
        assert!(matches!(access::undo(&app.db, &policies, "operator", &ada).await, Err(UndoError::Nothing)));
        let later = Some(app.now() + days(30));
        access::set_end(&app.db, &policies, OPERATOR, &ada, later).await.unwrap();
        // Sooner still: what is undone is the whole of it.
        access::set_end(&app.db, &policies, OPERATOR, &ada, Some(app.now())).await.unwrap();
        app.pass().await;
        assert_eq!(secrets.finding(&one).await, "revoked");
        app.clock.advance(days(3) - chrono::TimeDelta::milliseconds(2));
        let ada = owner(&app).await;
        let undone = access::undo(&app.db, &policies, "operator", &ada).await.unwrap();
        assert_eq!(undone, Undone { access_ends_at: None, n_restored: 2, n_late: 0 });
        assert_eq!(app.column::<i64>(columns).await, before);
        assert_eq!([secrets.finding(&one).await, secrets.finding(&two).await], ["valid", "valid"]);
        assert!(app.describe(1).await.starts_with("active, next sweep"), "{}", app.describe(1).await);
        app.pass().await;
        assert_eq!(app.count("api_keys").await, 2, "no purge");
        let actions: Vec<String> = app.column("SELECT action FROM audit_events ORDER BY id").await;
        assert!(actions.ends_with(&["key.restored".to_owned(), "key.restored".to_owned(), "owner.offboard-undone".to_owned()]), "{actions:?}");
        assert!(matches!(access::undo(&app.db, &policies, "operator", &owner(&app).await).await, Err(UndoError::Nothing)));
    }
}

on_each_engine! {
    async fn an_offboarding_is_undone_neither_too_late_nor_for_what_somebody_revoked(app: TestApp) {
        let secrets = crate::support::secrets::Secrets::new(&app).await;
        let key = secrets.create().await;
        let policies = book(&app).await;
        let end = Some(app.now() + days(1));
        access::set_end(&app.db, &policies, OPERATOR, &owner(&app).await, end).await.unwrap();
        lapsed::store::key_changes::revoke(&app.db, &policies, OPERATOR, key.id.as_str(), None).await.unwrap();
        let undone = access::undo(&app.db, &policies, "operator", &owner(&app).await).await.unwrap();
        assert_eq!((undone.n_restored, undone.n_late), (0, 0));
        assert_eq!(secrets.finding(&key).await, "revoked");

        secrets.create().await;
        access::set_end(&app.db, &policies, OPERATOR, &owner(&app).await, Some(app.now())).await.unwrap();
        app.sweep().await;
        app.clock.advance(days(3));
        let late = access::undo(&app.db, &policies, "operator", &owner(&app).await).await;
        assert!(matches!(late, Err(UndoError::Late { .. })), "{late:?}");
    }
}
