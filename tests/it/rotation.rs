//! A rotation gives a key a new secret and a new expiry, once, whole, and never arms a dead one.

use chrono::TimeDelta;
use futures_util::future::join_all;
use lapsed::{
    domain::{otp::Attempt, rotation::Overlap},
    store::{
        access,
        idempotency::Once,
        key_changes,
        keys::{self, KeyError, NewKey},
        rotation::{self, Proof, RotationError},
    },
};

use crate::{
    on_each_engine,
    support::{
        app::{OPERATOR, TestApp, days},
        secrets::{Secrets, request},
    },
};

/// The number of the only key.
async fn only_key(app: &TestApp) -> i64 {
    app.column("SELECT id FROM api_keys").await[0]
}

async fn actions(app: &TestApp) -> Vec<String> {
    app.column("SELECT action FROM audit_events ORDER BY id").await
}

on_each_engine! {
    async fn a_rotated_key_is_the_same_key_with_another_secret_and_expiry(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let old = secrets.create().await;
        let id = only_key(&app).await;
        app.clock.advance(days(61));
        app.sweep().await;
        assert_eq!(app.notices(id).await, ["created pending", "expiring-30d pending"]);

        let rotated = secrets.rotate(&old).await.unwrap();
        let new = rotated.token.unwrap();
        assert_eq!((new.id, rotated.done.version), (old.id, 2));
        assert_eq!(rotated.done.expires_at, Some(app.now() + days(90)));
        assert_eq!(rotated.done.old_valid_until, app.now() + days(1));
        let notices = app.notices(id).await;
        assert_eq!(notices, ["created pending", "expiring-30d void", "rotated pending"]);
        assert_eq!(app.describe(id).await, "active, next sweep in PT5184000S");
        assert_eq!(actions(&app).await.last().unwrap(), "key.rotated");

        let overlap = [secrets.finding(&old).await, secrets.finding(&new).await];
        assert_eq!(overlap, ["valid", "valid"]);
        app.clock.advance(days(1) - TimeDelta::milliseconds(1));
        assert_eq!(secrets.finding(&old).await, "valid", "to the last moment");
        app.clock.advance(TimeDelta::milliseconds(1));
        let after = [secrets.finding(&old).await, secrets.finding(&new).await];
        assert_eq!(after, ["replaced", "valid"]);
    }
}

on_each_engine! {
    async fn an_overlap_never_outlives_the_old_expiry(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let old = secrets.create().await;
        app.clock.advance(days(90) - TimeDelta::hours(1));
        let asked = lapsed::store::rotation::Request {
            overlap: Some(Overlap::new(days(7)).unwrap()), ..request(&old, Proof::Nothing)
        };
        let rotated = secrets.ask(&asked).await.unwrap();
        assert_eq!(rotated.done.old_valid_until, app.now() + TimeDelta::hours(1));
        app.clock.advance(TimeDelta::hours(1));
        assert_eq!(secrets.finding(&old).await, "replaced");
        assert_eq!(secrets.finding(&rotated.token.unwrap()).await, "valid");
    }
}

on_each_engine! {
    async fn in_the_window_the_old_secret_stays_dead(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let old = secrets.create().await;
        let id = only_key(&app).await;
        app.clock.advance(days(92));
        app.sweep().await;
        assert!(app.describe(id).await.starts_with("window"));
        assert_eq!(secrets.finding(&old).await, "expired");

        let new = secrets.rotate(&old).await.unwrap().token.unwrap();
        assert_eq!([secrets.finding(&old).await, secrets.finding(&new).await], ["replaced", "valid"]);
        assert!(app.describe(id).await.starts_with("active"));
        // Through no other door either.
        assert!(matches!(
            rotation::end_overlap(&app.db, "operator", old.id.as_str()).await,
            Err(RotationError::NoOverlap)
        ));
        secrets.reissue(&old).await.unwrap();
        assert_eq!(secrets.finding(&old).await, "replaced");
        secrets.rotate(&old).await.unwrap();
        assert_eq!(secrets.finding(&old).await, "invalid", "and is forgotten by then");
    }
}

on_each_engine! {
    async fn a_key_that_expired_while_no_sweep_came_by_can_be_rotated_in_its_window(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let old = secrets.create().await;
        app.clock.advance(days(97) - TimeDelta::seconds(1));
        let rotated = secrets.rotate(&old).await.unwrap();
        assert_eq!(rotated.done.old_valid_until, app.now() - days(7) + TimeDelta::seconds(1));
        assert_eq!(secrets.finding(&old).await, "replaced");

        let late = secrets.create().await;
        app.clock.advance(days(97));
        let error = secrets.rotate(&late).await.unwrap_err();
        assert!(error.to_string().starts_with("the key could be rotated until 20"), "{error}");
    }
}

on_each_engine! {
    async fn what_is_over_is_not_brought_back_even_with_a_code(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        secrets.require_mfa().await;
        let seed = secrets.enrol(&[]).await;
        let revoked = secrets.create().await;
        let policies = secrets.policies().await;
        key_changes::revoke(&app.db, &policies, OPERATOR, revoked.id.as_str(), None).await.unwrap();
        let code = secrets.next_code(&seed);
        let refused = secrets.rotate_with(&revoked, Proof::Otp(&code)).await.unwrap_err();
        assert_eq!(refused.to_string(), "the key has been revoked");

        let closed = secrets.create().await;
        app.clock.advance(days(90));
        app.sweep().await;
        app.clock.advance(days(7));
        let code = secrets.next_code(&seed);
        let refused = secrets.rotate_with(&closed, Proof::Otp(&code)).await.unwrap_err();
        assert!(refused.to_string().starts_with("the key could be rotated until"), "{refused}");

        let ended = secrets.create().await;
        let (owner, now) = (secrets.owner().await, Some(app.now()));
        access::set_end(&app.db, &policies, OPERATOR, &owner, now).await.unwrap();
        let refused = secrets.rotate_with(&ended, Proof::Otp(&code)).await.unwrap_err();
        assert!(refused.to_string().starts_with("the owner's access ended"), "{refused}");

        let misses: Vec<i64> = app.column("SELECT otp_in_a_row FROM owners").await;
        assert_eq!(misses, [0], "a refusal costs no guess");
        access::set_end(&app.db, &policies, OPERATOR, &owner, None).await.unwrap();
        let fresh = secrets.create().await;
        assert!(secrets.rotate_with(&fresh, Proof::Otp(&code)).await.is_ok(), "and no code");
    }
}

on_each_engine! {
    async fn no_more_than_two_secrets_live_at_a_time(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let first = secrets.create().await;
        let second = secrets.rotate(&first).await.unwrap().token.unwrap();
        let third = secrets.rotate(&first).await.unwrap().token.unwrap();
        let mut findings = Vec::new();
        for token in [&first, &second, &third] {
            findings.push(secrets.finding(token).await);
        }
        assert_eq!(findings, ["invalid", "valid", "valid"], "the older overlap ended at once");
        rotation::end_overlap(&app.db, "operator", first.id.as_str()).await.unwrap();
        assert_eq!(secrets.finding(&second).await, "replaced");
        assert_eq!(secrets.finding(&third).await, "valid");
        assert_eq!(actions(&app).await.last().unwrap(), "key.overlap-ended");
        let again = rotation::end_overlap(&app.db, "operator", first.id.as_str()).await;
        assert!(matches!(again, Err(RotationError::NoOverlap)));
    }
}

on_each_engine! {
    async fn a_secret_that_nobody_saw_is_replaced_without_a_new_expiry(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let first = secrets.create().await;
        app.clock.advance(days(10));
        let lost = secrets.rotate(&first).await.unwrap();
        app.clock.advance(TimeDelta::hours(1));
        let again = secrets.reissue(&first).await.unwrap();
        assert_eq!((again.done.version, again.done.expires_at), (3, lost.done.expires_at));
        let token = again.token.unwrap();
        assert_eq!(secrets.finding(&lost.token.unwrap()).await, "invalid");
        assert_eq!(secrets.finding(&first).await, "valid", "the overlap goes on");
        assert_eq!(again.done.old_valid_until, lost.done.old_valid_until, "and the answer says so");
        assert_eq!(secrets.finding(&token).await, "valid");

        secrets.verifier.uses.flush(&app.db).await.unwrap();
        let refused = secrets.reissue(&first).await.unwrap_err();
        assert!(matches!(refused, RotationError::NotReissuable), "it has been used: {refused}");

        let unused = secrets.rotate(&first).await.unwrap().token.unwrap();
        app.clock.advance(TimeDelta::hours(24));
        assert!(matches!(secrets.reissue(&first).await, Err(RotationError::NotReissuable)));
        assert_eq!(secrets.finding(&unused).await, "valid");
    }
}

on_each_engine! {
    async fn a_lost_answer_is_given_again_without_the_secret(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        let once = Once { scope: "key.rotate operator", key: "a-b-c", request: "overlap 24h" };
        let asked = rotation::Request { once: Some(once), ..request(&key, Proof::Nothing) };
        let first = secrets.ask(&asked).await.unwrap();
        app.clock.advance(days(1));
        let again = secrets.ask(&asked).await.unwrap();
        assert_eq!(again.done, first.done);
        assert!(first.token.is_some() && again.token.is_none());

        let other = Once { request: "overlap 1h", ..once };
        let asked = rotation::Request { once: Some(other), ..request(&key, Proof::Nothing) };
        assert!(matches!(secrets.ask(&asked).await, Err(RotationError::Mismatch)));
        app.job("prune").await;
        assert_eq!(app.count("idempotency_keys").await, 1, "for a day");
        let stranger = Once { scope: "key.rotate owner:1", ..once };
        let asked = rotation::Request { once: Some(stranger), ..request(&key, Proof::Nothing) };
        assert_eq!(secrets.ask(&asked).await.unwrap().done.version, 3, "their key is another one");
        app.clock.advance(TimeDelta::milliseconds(1));
        app.job("prune").await;
        assert_eq!(app.count("idempotency_keys").await, 1, "and no longer");
    }
}

on_each_engine! {
    async fn one_key_is_made_however_often_it_is_asked_for(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let (policies, name) = (secrets.policies().await, "deploy".parse().unwrap());
        let once = Once { scope: "key.create operator", key: "1", request: "deploy" };
        let make = async |once: Once<'static>| {
            let token = lapsed::domain::token::Mac { bytes: rand::random(), pepper: 7 };
            let new = NewKey {
                public_id: lapsed::domain::identity::PublicId::from_random(rand::random()),
                mac: &token,
                tenant_id: 1,
                environment_id: 1,
                owner_id: 1,
                kind: lapsed::domain::identity::KeyKind::User,
                name: &name,
                ask: lapsed::domain::life::Ask::Default,
            };
            keys::create_once(&app.db, &policies, OPERATOR, &new, &once).await
        };
        let made = join_all((0..8).map(|_| make(once))).await;
        let made: Vec<_> = made.into_iter().filter_map(Result::ok).collect();
        assert_eq!(made.iter().filter(|made| !made.is_replay).count(), 1);
        let again = make(once).await.unwrap();
        assert!(again.is_replay);
        assert!(made.iter().all(|made| made.id == again.id));
        assert_eq!(app.count("api_keys").await, 1);
        let other = make(Once { request: "other", ..once }).await;
        assert!(matches!(other, Err(KeyError::Once(_))));
    }
}

on_each_engine! {
    async fn of_rotations_at_the_same_moment_each_wins_whole_or_loses_whole(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        let results = join_all((0..12).map(|_| secrets.rotate(&key))).await;
        let mut won = Vec::new();
        for result in results {
            match result {
                Ok(rotated) => won.push((rotated.done.version, rotated.token.unwrap())),
                Err(RotationError::Conflict) => {}
                Err(error) => panic!("{error}"),
            }
        }
        won.sort_by_key(|(version, _)| *version);
        let versions: Vec<i64> = won.iter().map(|(version, _)| *version).collect();
        let expected: Vec<i64> = (2..).take(won.len()).collect();
        assert!(!won.is_empty());
        assert_eq!(versions, expected, "no version twice, none left out");
        let stored: Vec<i64> = app.column("SELECT version FROM key_secrets ORDER BY version").await;
        assert_eq!(stored, [won.len() as i64, won.len() as i64 + 1], "the newest and the one before");
        assert_eq!(secrets.finding(&won.last().unwrap().1).await, "valid");
        let n = actions(&app).await.iter().filter(|action| *action == "key.rotated").count();
        assert_eq!(n, won.len());
    }
}

on_each_engine! {
    async fn of_a_rotation_and_the_purge_one_wins_whole(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let mut keys = Vec::new();
        // Few enough that the brake lets a tenant lose them all.
        for _ in 0..4 {
            keys.push(secrets.create().await);
        }
        app.pass().await;
        app.clock.advance(days(90));
        app.pass().await;
        app.clock.advance(days(6));
        app.pass().await;
        app.clock.advance(days(1) - TimeDelta::milliseconds(3));

        let rotations = join_all(keys.iter().map(|key| secrets.rotate(key)));
        let purge = async {
            app.clock.advance(TimeDelta::milliseconds(3));
            app.job("purge").await;
        };
        let (rotated, ()) = tokio::join!(rotations, purge);
        app.job("purge").await;
        for (key, rotated) in keys.iter().zip(rotated) {
            let query = |table: &str| {
                format!("SELECT COUNT(*) FROM {table} WHERE public_id = '{}'", key.id)
            };
            let n_keys: i64 = app.column(&query("api_keys")).await[0];
            let n_tombstones: i64 = app.column(&query("tombstones")).await[0];
            match rotated {
                Ok(rotated) => {
                    assert_eq!((n_keys, n_tombstones), (1, 0));
                    assert_eq!(secrets.finding(&rotated.token.unwrap()).await, "valid");
                }
                Err(_) => assert_eq!((n_keys, n_tombstones), (0, 1)),
            }
            assert_ne!(secrets.finding(key).await, "valid");
        }
    }
}

on_each_engine! {
    async fn no_rotation_reaches_beyond_the_owners_access_or_the_policy(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        app.execute("UPDATE tenants SET policy = '{\"max_ttl_days\": 30}'").await;
        let rotated = secrets.rotate(&key).await.unwrap();
        assert_eq!(rotated.done.expires_at, Some(app.now() + days(30)), "cut, not refused");
        app.execute("UPDATE tenants SET policy = NULL").await;
        let rotated = secrets.rotate(&key).await.unwrap();
        assert_eq!(rotated.done.expires_at, Some(app.now() + days(90)), "and not forgotten");

        let (policies, owner) = (secrets.policies().await, secrets.owner().await);
        let end = app.now() + days(10);
        access::set_end(&app.db, &policies, OPERATOR, &owner, Some(end)).await.unwrap();
        let rotated = secrets.rotate(&key).await.unwrap();
        assert_eq!(rotated.done.expires_at, Some(end));
    }
}

on_each_engine! {
    async fn a_wrong_code_refuses_even_where_none_is_asked_for(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        let wrong = Attempt::parse("000000").unwrap();
        let error = secrets.rotate_with(&key, Proof::Otp(&wrong)).await.unwrap_err();
        assert_eq!(error.to_string(), "a code is required, but the owner has set up no second factor");
        assert!(secrets.rotate(&key).await.is_ok());
    }
}
