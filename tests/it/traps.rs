//! Traps that others fell into, each tried as it was met. `docs/rotation.md` has the whole list.

use futures_util::{StreamExt as _, stream};
use lapsed::{
    domain::{
        identity::{KeyKind, PublicId, Role},
        otp::{Attempt, RecoveryCode},
        token::{Brand, Class, Token},
    },
    store::{
        otp::{self, OtpError},
        rotation::{Proof, RotationError},
    },
};
use serde_json::json;

use crate::{
    api::{Face, new_key, own, text},
    canary::dump,
    links::enable,
    on_each_engine,
    pages::{Site, newest_link, secret_in},
    support::{
        app::days,
        secrets::{Secrets, request},
    },
};

on_each_engine! {
    async fn through_every_door_an_expired_key_gets_a_new_life_and_its_old_secret_none(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let seed = secrets.enrol(&[]).await;
        let mut face = Face::with(&app, secrets.keyring.clone()).await;
        let mut keys = Vec::new();
        for _ in 0..4 {
            keys.push(face.key().await);
        }
        app.clock.advance(days(90));
        let link = newest_link(&app).await;
        app.clock.advance(days(1));
        face.root = face.token(Role::Admin, None).await.1;

        // An administrator, the program itself with a code, the owner by a link, the command line.
        let by_admin = face.root("POST", &format!("/v1/keys/{}/rotate", keys[0].0), json!({})).await;
        let code = own::next_code(&face, &seed);
        let by_itself = own::rotate(&face, &keys[1].1, Some(&code)).await.json();
        let site = Site::open(&secrets).await;
        let rotate = format!("/k/{}/{}/rotate", link.expose(), keys[2].0);
        let by_link = site.post(&rotate, "").await;
        let token = Token::parse(secrets.brand, &keys[3].1).unwrap();
        let by_hand = secrets.ask(&request(&token, Proof::Nothing)).await.unwrap();
        site.close().await;

        let new = [
            text(&by_admin["secret"]),
            text(&by_itself["secret"]),
            secret_in(&by_link.body).unwrap_or_else(|| panic!("{}", by_link.body)).to_owned(),
            by_hand.token.unwrap().expose().to_owned(),
        ];
        for ((_, old), new) in keys.iter().zip(&new) {
            assert_eq!((face.verify(old).await, face.verify(new).await), ("replaced".into(), "valid".into()));
        }
        let now = app.now().timestamp_millis();
        let ends: Vec<i64> = app.column("SELECT expires_at FROM api_keys WHERE kind = 1").await;
        let long = days(89).num_milliseconds()..=days(90).num_milliseconds();
        assert!(ends.iter().all(|end| long.contains(&(end - now))), "all lie ahead: {ends:?}, {now}");
    }
}

on_each_engine! {
    async fn nothing_but_a_rotation_arms_an_expired_key(app: TestApp) {
        let mut face = Face::new(&app).await;
        let (id, key) = face.key().await;
        app.clock.advance(days(90));
        face.root = face.token(Role::Admin, None).await.1;
        // Before a sweep has seen it, and after.
        for _ in 0..2 {
            let path = format!("/v1/keys/{id}");
            for life in [json!({ "days": 30 }), json!({ "until": "2040-01-01T00:00:00Z" }), json!({ "never": true })] {
                let refused = face.call(&face.root, "PATCH", &path, json!({ "life": life })).await;
                assert!([409, 422].contains(&refused.status), "{refused:?}");
            }
            face.root("PUT", &format!("{path}/hold"), json!({ "reason": "test" })).await;
            face.root("DELETE", &format!("{path}/hold"), None).await;
            face.root("POST", &format!("{path}/suspend"), json!({})).await;
            face.root("POST", &format!("{path}/unsuspend"), json!({})).await;
            face.root("PATCH", &format!("{path}/policy"), json!({ "set": { "window_days": 3 } })).await;
            let owner = format!("/v1/owners/{}/access", face.ada().await);
            face.root("PUT", &owner, json!({ "ends_at": app.now() + days(400) })).await;
            face.root("PUT", &owner, json!({ "ends_at": null })).await;
            let lost = face.call(&face.root, "POST", &format!("{path}/reissue"), None).await;
            assert_eq!(lost.status, 409, "{lost:?}");
            assert_eq!(face.verify(&key).await, "expired");
            app.pass().await;
        }
    }
}

on_each_engine! {
    async fn never_and_zero_and_nothing_are_three_things_on_create_and_on_change(app: TestApp) {
        let face = Face::new(&app).await;
        let create = async |kind: &str, life: serde_json::Value| {
            let mut new = new_key();
            (new["kind"], new["life"]) = (json!(kind), life);
            face.call(&face.root, "POST", "/v1/keys", new).await
        };
        assert_eq!(create("user", json!({ "never": true })).await.code(), "policy-violation");
        assert_eq!(create("user", json!({ "days": 366 })).await.code(), "policy-violation");
        assert_eq!(create("user", json!({ "days": 0 })).await.code(), "policy-violation", "it would end at once");
        for nonsense in [json!({ "days": "30" }), json!({ "hours": 5 }), json!(null), json!(30)] {
            let refused = create("user", nonsense.clone()).await;
            assert_eq!(refused.code(), "malformed", "{nonsense}: {refused:?}");
        }
        let nothing = create("user", json!({})).await;
        assert_eq!(text(&nothing.json()["expires_at"])[..10], (app.now() + days(90)).to_rfc3339()[..10]);
        let server = create("application", json!({ "never": true })).await.json();
        assert_eq!(server["expires_at"], json!(null));
        face.root("PATCH", "/v1/tenants/acme/policy", json!({ "kind": "application", "set": { "max_ttl_days": 180 } })).await;
        assert_eq!(create("application", json!({ "never": true })).await.code(), "policy-violation");
        let short = create("application", json!({ "days": 10 })).await.json();
        let change = async |life: serde_json::Value| {
            let path = format!("/v1/keys/{}", text(&short["id"]));
            face.call(&face.root, "PATCH", &path, json!({ "life": life })).await
        };
        assert_eq!(change(json!({ "never": true })).await.code(), "policy-violation");
        assert_eq!(change(json!({ "days": 181 })).await.code(), "policy-violation");
        assert_eq!(change(json!({ "days": 180 })).await.status, 200);
    }
}

on_each_engine! {
    async fn after_three_days_away_the_tightest_reminder_is_told_and_none_is_lost(app: TestApp) {
        app.people().await;
        // Away over no rung, over one, over two, over the expiry, and over rung and expiry.
        for (id, ahead) in [(1, 20), (2, 9), (3, 31), (4, 3), (5, 2)] {
            app.key(id, days(ahead)).await;
        }
        app.pass().await;
        let before = app.subjects().len();
        app.clock.advance(days(3));
        app.pass().await;
        let of = |notices: Vec<String>| notices.last().cloned().unwrap_or_default();
        let mut last = Vec::new();
        for id in 1..=5 {
            last.push(of(app.notices(id).await));
        }
        let told = ["expiring-30d", "expiring-7d", "expiring-30d", "expired", "expired"];
        assert_eq!(last, told.map(|stage| format!("{stage} told")));
        assert_eq!(app.subjects().len(), before + 1, "one mail for all of it");
        assert_eq!(app.notices(5).await[2], "expiring-1d superseded", "recorded, not lost");
        app.pass().await;
        assert_eq!(app.subjects().len(), before + 1);
    }
}

on_each_engine! {
    async fn twelve_hundred_due_keys_are_done_in_one_run(app: TestApp) {
        app.people().await;
        let (now, end) = (app.now().timestamp_millis(), (app.now() + days(7)).timestamp_millis());
        let row = |id: i64| format!(
            "({id}, 'key{id:09}', 1, 1, 1, 1, 'key {id}', 7776000000, 1, 1, {end}, 1, 1, {now}, 1)"
        );
        let rows: Vec<String> = (1..=1200).map(row).collect();
        app.execute(&format!(
            "INSERT INTO api_keys (id, public_id, tenant_id, environment_id, owner_id, kind, name, \
             ttl_ms, created_at, issued_at, expires_at, state, next_job, next_action_at, version) \
             VALUES {}", rows.join(", ")
        )).await;
        let outcome = app.sweep().await;
        assert_eq!((outcome.n_examined, outcome.n_changed, outcome.n_failed), (1200, 1200, 0));
        assert_eq!(app.count("notices WHERE status = 1").await, 1200);
        assert_eq!(app.sweep().await.n_examined, 0);
    }
}

on_each_engine! {
    async fn a_reminder_that_waited_past_the_expiry_is_not_sent(app: TestApp) {
        app.people().await;
        app.key(1, days(1)).await;
        app.sweep().await;
        assert_eq!(app.notices(1).await.last().unwrap(), "expiring-1d pending");
        app.clock.advance(days(1));
        app.job("deliver").await;
        assert_eq!(app.subjects(), Vec::<String>::new(), "a dead key does not expire soon");
        app.pass().await;
        assert_eq!(app.subjects().len(), 1);
        assert!(app.subjects()[0].contains("expired"), "{:?}", app.subjects());
    }
}

on_each_engine! {
    async fn no_reminder_is_due_at_birth(app: TestApp) {
        let face = Face::new(&app).await;
        for days in [1, 5, 7, 8, 30, 31] {
            let mut new = new_key();
            new["life"] = json!({ "days": days });
            face.root("POST", "/v1/keys", new).await;
        }
        app.sweep().await;
        let created = lapsed::domain::stage::Stage::Created.code();
        let early = format!("notices WHERE stage <> {created}");
        assert_eq!(app.count(&early).await, 0);
        app.clock.advance(days(1) - chrono::TimeDelta::milliseconds(1));
        app.sweep().await;
        assert_eq!(app.count(&early).await, 0);
    }
}

on_each_engine! {
    async fn a_wrong_secret_of_an_expired_key_is_told_nothing_and_writes_nothing(app: TestApp) {
        let face = Face::new(&app).await;
        let (id, _) = face.key().await;
        let made_up = |id: PublicId| {
            let brand = Brand::new("lp").unwrap();
            let token = Token::new(brand, KeyKind::User, Class::Live, id, &rand::random());
            token.expose().to_owned()
        };
        let wrong = made_up(id.parse().unwrap());
        let absent = made_up(PublicId::from_random(rand::random()));
        app.clock.advance(days(91));
        app.pass().await;
        face.api.flush().await;
        // As a set: which index a table is read along is the engine's business.
        let rows = async || {
            let mut rows: Vec<String> = dump(&app).await.lines().map(str::to_owned).collect();
            rows.sort_unstable();
            rows
        };
        let before = rows().await;
        let mut told = Vec::new();
        for key in [&wrong, &absent] {
            let ask = [("x-api-key", key.as_str())];
            let verified = face.send("POST", "/v1/keys/verify", &[], Some(&json!({ "key": key }))).await;
            let gate = face.send("GET", "/v1/forward-auth", &ask, None).await;
            let own = face.call(key, "GET", "/v1/self", None).await;
            let rotated = own::rotate(&face, key, Some("123456")).await;
            told.push([verified, gate, own, rotated].map(|reply| (reply.status, reply.text)));
        }
        assert_eq!(told[0], told[1]);
        face.api.flush().await;
        let after = rows().await;
        let written: Vec<_> = after.iter().filter(|row| !before.contains(row)).collect();
        assert!(before == after, "something was written: {written:?}");
    }
}

on_each_engine! {
    async fn of_five_thousand_guesses_at_once_five_are_looked_at(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        secrets.require_mfa().await;
        secrets.enrol(&[]).await;
        let key = secrets.create().await;
        let guess = Attempt::parse("000000").unwrap();
        let guesses = (0..5_000).map(|_| secrets.rotate_with(&key, Proof::Otp(&guess)));
        let results = stream::iter(guesses).buffer_unordered(200).collect::<Vec<_>>().await;
        let looked_at = |result: &&Result<_, RotationError>| {
            matches!(result, Err(RotationError::Otp(OtpError::Invalid)))
        };
        assert_eq!(results.iter().filter(looked_at).count(), 5);
        assert!(results.iter().all(Result::is_err));
        assert_eq!(app.column::<i64>("SELECT otp_in_a_row FROM owners WHERE id = 1").await, [5]);
    }
}

on_each_engine! {
    async fn all_doors_share_one_throttle(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let seed = secrets.enrol(&[RecoveryCode::new([1; 10])]).await;
        let (key, owner) = (secrets.create().await, secrets.owner().await);
        let face = Face::with(&app, secrets.keyring.clone()).await;
        face.policy(json!({ "self_rotate": true })).await;
        let wrong = Attempt::parse("000000").unwrap();
        let renew = async |attempt: &Attempt| {
            otp::renew(&app.db, &secrets.keyring, "operator", &owner, attempt, &[]).await
        };
        // Two at a rotation, two at the recovery codes, one by the program itself.
        for _ in 0..2 {
            assert!(secrets.rotate_with(&key, Proof::Otp(&wrong)).await.is_err());
            assert!(matches!(renew(&wrong).await, Err(OtpError::Invalid)));
        }
        assert_eq!(own::rotate(&face, key.expose(), Some("000000")).await.code(), "otp-invalid");
        // From now on a good code has to wait as well, whichever door it comes to.
        let good = Attempt::Code(seed.code_at(app.now() + chrono::TimeDelta::seconds(30)).unwrap());
        let waits = |error: &OtpError| matches!(error, OtpError::Wait { .. });
        assert!(renew(&good).await.is_err_and(|error| waits(&error)));
        let rotated = secrets.rotate_with(&key, Proof::Otp(&good)).await;
        assert!(matches!(rotated, Err(RotationError::Otp(error)) if waits(&error)));
        assert_eq!(own::rotate(&face, key.expose(), Some("111111")).await.status, 429);
    }
}
