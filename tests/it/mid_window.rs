//! What happens to a key while its window is open, or while nobody looked: the traps in which
//! others lost keys, or brought dead ones back.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use lapsed::{
    jobs::runner::Runner,
    shutdown::Shutdown,
    store::{
        access,
        otp::OtpError,
        rotation::{Proof, RotationError},
    },
};

use crate::{
    on_each_engine,
    support::{
        app::{self, OPERATOR, days},
        secrets::Secrets,
    },
};

/// Makes a key, and lets it expire so long ago.
async fn expired(secrets: &Secrets<'_>, ago: TimeDelta) -> lapsed::domain::token::Token {
    let key = secrets.create().await;
    let app = secrets.app;
    app.clock.advance(days(90));
    app.pass().await;
    app.clock.advance(ago);
    key
}

on_each_engine! {
    async fn a_second_factor_that_is_required_mid_window_is_asked_for_at_once(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = expired(&secrets, days(1)).await;
        secrets.require_mfa().await;
        let refused = secrets.rotate(&key).await.unwrap_err();
        assert!(matches!(refused, RotationError::Otp(OtpError::NotEnrolled)), "{refused}");
        let seed = secrets.enrol(&[]).await;
        let refused = secrets.rotate(&key).await.unwrap_err();
        assert!(matches!(refused, RotationError::Otp(OtpError::Required)), "{refused}");
        let code = secrets.next_code(&seed);
        secrets.rotate_with(&key, Proof::Otp(&code)).await.unwrap();
        assert_eq!(secrets.finding(&key).await, "replaced");
    }
}

on_each_engine! {
    async fn a_policy_that_is_shortened_mid_window_shortens_no_open_window(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let (first, second) = (secrets.create().await, expired(&secrets, days(5)).await);
        app.execute("UPDATE tenants SET policy = '{\"window_days\": 2}'").await;
        app.pass().await;
        secrets.rotate(&first).await.unwrap();
        app.clock.advance(days(2) - TimeDelta::milliseconds(3));
        secrets.rotate(&second).await.unwrap();
        let third = expired(&secrets, days(2)).await;
        let closed = secrets.rotate(&third).await.unwrap_err();
        assert!(closed.to_string().starts_with("the key could be rotated until"), "{closed}");
    }
}

on_each_engine! {
    async fn an_owner_who_leaves_mid_window_brings_nothing_back(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = expired(&secrets, days(1)).await;
        let (policies, owner) = (secrets.policies().await, secrets.owner().await);
        access::set_end(&app.db, &policies, OPERATOR, &owner, Some(app.now())).await.unwrap();
        let refused = secrets.rotate(&key).await.unwrap_err();
        assert!(refused.to_string().starts_with("the owner's access ended"), "{refused}");
        app.pass().await;
        assert_eq!(secrets.finding(&key).await, "expired", "and it is no secret that it was one");
    }
}

on_each_engine! {
    async fn a_daemon_that_was_down_over_expiry_and_window_gives_the_window_all_the_same(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        app.pass().await;
        app.clock.advance(days(90 + 7 + 20));
        assert_eq!(secrets.finding(&key).await, "expired", "the date needs no daemon");
        app.pass().await;
        let ids: Vec<i64> = app.column("SELECT id FROM api_keys").await;
        let told = app.notices(ids[0]).await;
        assert_eq!(told.iter().filter(|notice| notice.ends_with(" told")).count(), 2, "{told:?}");
        assert!(told.contains(&"expired told".to_owned()), "of many missed reminders, {told:?}");
        app.clock.advance(days(7) - TimeDelta::milliseconds(2));
        secrets.rotate(&key).await.unwrap();
    }
}

on_each_engine! {
    async fn of_two_daemons_on_one_due_key_one_tells_its_owner_once(app: TestApp) {
        app.people().await;
        let other = app.test_db.connect(Arc::new(app.clock.clone())).await;
        let transport = lapsed::mail::transport::Transport::Memory(app.outbox.clone());
        let deps = app::deps(other, app.clock.clone(), transport);
        let second = Runner::new(deps, Duration::from_secs(60), Shutdown::new());
        app.key(1, days(7)).await;
        let job = |name| lapsed::jobs::find(name).unwrap();
        let cause = || lapsed::jobs::runner::Cause::Manual;
        for name in ["sweep", "deliver", "sweep", "deliver"] {
            let both = tokio::join!(app.runner.run(job(name), cause()), second.run(job(name), cause()));
            both.0.unwrap();
            both.1.unwrap();
        }
        assert_eq!(app.notices(1).await, ["expiring-30d superseded", "expiring-7d told"]);
        assert_eq!(app.subjects().len(), 1);
        let versions: Vec<i64> = app.column("SELECT version FROM api_keys").await;
        assert_eq!(versions, [2], "one look");
    }
}
