//! Keys made, prolonged and revoked by somebody.

use chrono::{DateTime, Utc};
use lapsed::{
    domain::{
        identity::{KeyKind, PublicId},
        life::Ask,
        token::Mac,
    },
    store::{
        key_changes, key_list,
        keys::{self, KeyError, NewKey},
        policies::PolicyBook,
    },
};

use crate::{
    on_each_engine,
    support::app::{OPERATOR, TestApp, days},
};

async fn book(app: &TestApp) -> PolicyBook {
    PolicyBook::load(&app.db, (*app.deps.policies).clone()).await.unwrap()
}

async fn create(app: &TestApp, ask: Ask) -> Result<Option<DateTime<Utc>>, KeyError> {
    let (mac, name) = (Mac { bytes: [9; 32], pepper: 7 }, "deploy".parse().unwrap());
    let new = NewKey {
        public_id: PublicId::from_random([5; 12]),
        mac: &mac,
        tenant_id: 1,
        environment_id: 1,
        owner_id: 1,
        kind: KeyKind::User,
        name: &name,
        ask,
    };
    keys::create(&app.db, &book(app).await, OPERATOR, &new).await
}

on_each_engine! {
    async fn a_new_key_is_remembered_and_announced(app: TestApp) {
        app.people().await;
        let expires_at = create(&app, Ask::Default).await.unwrap();
        assert_eq!(expires_at, Some(app.now() + days(90)));
        let id: i64 = app.column("SELECT id FROM api_keys").await[0];
        assert_eq!(app.describe(id).await, "active, next sweep in PT5184000S");
        assert_eq!(app.notices(id).await, ["created pending"]);
        let actions: Vec<String> = app.column("SELECT action FROM audit_events").await;
        assert_eq!(actions, ["key.created"]);
        let macs: Vec<Vec<u8>> = app.column("SELECT mac FROM key_secrets").await;
        assert_eq!(macs, [vec![9; 32]]);

        let again = create(&app, Ask::Default).await.unwrap_err();
        assert!(matches!(again, KeyError::Store(lapsed::store::StoreError::Taken { .. })), "{again}");
        assert_eq!(app.count("notices").await, 1, "and nothing of it is left");
    }
}

on_each_engine! {
    async fn no_key_is_made_for_whoever_has_no_access(app: TestApp) {
        app.people().await;
        let ended = app.now().timestamp_millis();
        app.execute(&format!("UPDATE owners SET access_ends_at = {ended}")).await;
        let error = create(&app, Ask::Default).await.unwrap_err();
        assert_eq!(error.to_string(), "the owner's access ended at 2027-01-15 08:00 UTC");
        assert_eq!(app.count("api_keys").await, 0);
    }
}

on_each_engine! {
    async fn an_extended_key_is_announced_again(app: TestApp) {
        app.people().await;
        app.key(1, days(5)).await;
        app.sweep().await;
        let policies = book(&app).await;
        let ask = Ask::For(days(20));
        let expires_at =
            key_changes::extend(&app.db, &policies, "operator", "key000000001", ask).await.unwrap();
        assert_eq!(expires_at, Some(app.now() + days(20)));
        assert_eq!(app.notices(1).await, ["expiring-30d superseded", "expiring-7d void"]);
        app.sweep().await;
        assert_eq!(app.notices(1).await[2..], ["expiring-30d pending"]);
        assert_eq!(app.describe(1).await, "active, next sweep in PT1123200S");
    }
}

on_each_engine! {
    async fn an_expired_key_cannot_be_extended(app: TestApp) {
        app.people().await;
        app.key(1, days(0)).await;
        let extend = async || {
            let ask = Ask::For(days(20));
            let policies = book(&app).await;
            key_changes::extend(&app.db, &policies, "operator", "key000000001", ask)
                .await
                .unwrap_err()
                .to_string()
        };
        assert_eq!(extend().await, "the key expired at 2027-01-15 08:00 UTC", "by the clock");
        app.sweep().await;
        assert_eq!(extend().await, "the key expired at 2027-01-15 08:00 UTC", "and by its state");
    }
}

on_each_engine! {
    async fn a_revoked_key_goes_after_the_time_for_an_undo(app: TestApp) {
        app.people().await;
        app.key(1, days(20)).await;
        app.sweep().await;
        let policies = book(&app).await;
        let revoke = || key_changes::revoke(&app.db, &policies, OPERATOR, "key000000001", Some("leaked"));
        assert_eq!(revoke().await.unwrap(), app.now() + days(3));
        assert_eq!(app.describe(1).await, "revoked, next purge in PT259200S");
        assert_eq!(app.notices(1).await, ["expiring-30d void"]);
        assert!(matches!(revoke().await.unwrap_err(), KeyError::Revoked));
        app.clock.advance(days(3));
        app.pass().await;
        assert_eq!(app.describe(1).await, "gone");
    }
}

on_each_engine! {
    async fn keys_are_listed_page_by_page(app: TestApp) {
        app.people().await;
        for id in 1..=5 {
            app.key(id, days(id)).await;
        }
        let mut filter = key_list::Filter { tenant: Some("acme".to_owned()), ..Default::default() };
        let page = key_list::list(&app.db, &filter, 2, 2).await.unwrap();
        let ids: Vec<i64> = page.iter().map(|key| key.id).collect();
        assert_eq!(ids, [3, 4]);
        assert_eq!(page[0].owner, (1, "ada@acme.example".to_owned()));
        filter.expires_by = Some(app.now() + days(3));
        filter.kind = Some(KeyKind::User);
        filter.state = Some(key_list::State::Active);
        assert_eq!(key_list::list(&app.db, &filter, 0, 10).await.unwrap().len(), 3);
        filter.owner = Some("nobody@acme.example".to_owned());
        assert_eq!(key_list::list(&app.db, &filter, 0, 10).await.unwrap().len(), 0);
    }
}

on_each_engine! {
    async fn a_damaged_row_is_listed_as_such(app: TestApp) {
        app.people().await;
        app.key(1, days(5)).await;
        app.execute("UPDATE api_keys SET state = 9").await;
        let key = key_list::find(app.db.conn(), "key000000001").await.unwrap().unwrap();
        assert_eq!(key.state_word(app.now()), "damaged");
        assert_eq!(key.key.unwrap_err().to_string(), "key 1: state is 9, which is no state of a key");
    }
}
