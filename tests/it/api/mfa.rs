//! Administrators show a second factor where a policy asks them for one: their own, each code once,
//! and with one budget of guesses over all doors.

use futures_util::future::join_all;
use lapsed::{
    domain::{
        identity::Role,
        otp::{Attempt, Seed},
    },
    store::{
        admin_tokens::{Holder, TENANT},
        key_changes, otp,
        owners::{self, Filter, Owner},
        policies::PolicyBook,
    },
};
use serde_json::{Value, json};

use crate::{
    api::{Face, Reply, new_key, own::next_code, text},
    on_each_engine,
    support::app::{OPERATOR, days},
};

/// An administrator with a token of her own and a second factor.
pub struct Grace {
    pub token: String,
    pub seed: Seed,
}

/// The owner of tokens with this address.
pub async fn holder(face: &Face<'_>, email: &str) -> Owner {
    let filter = Filter {
        tenant: Some(TENANT.to_owned()),
        email: Some(email.to_owned()),
        ..Filter::default()
    };
    owners::list(&face.app.db, &filter, 0, 1).await.unwrap().pop().unwrap()
}

/// Sets a second factor up. The code of this moment is used up by it.
pub async fn enrol(face: &Face<'_>, owner: &Owner) -> Seed {
    let (db, seed) = (&face.app.db, Seed::new(rand::random()));
    let given = (&seed, &rand::random());
    otp::begin(db, &face.keyring, "operator", owner, given).await.unwrap();
    let code = Attempt::Code(seed.code_at(face.app.now()).unwrap());
    otp::confirm(db, &face.keyring, "operator", owner, &code, &[]).await.unwrap();
    seed
}

pub async fn grace(face: &Face<'_>) -> Grace {
    let mail = "grace@acme.example";
    let (_, token) = face.token_of(Holder::Mail(mail), Role::Admin, None).await;
    let seed = enrol(face, &holder(face, mail).await).await;
    Grace { token, seed }
}

/// Asks with a code.
pub async fn with_code(
    face: &Face<'_>,
    (token, code): (&str, &str),
    (method, path): (&str, &str),
    body: Option<&Value>,
) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("x-otp", code)];
    face.send(method, path, &headers, body).await
}

/// What the trail says of the second factor in the last row of `action`.
pub async fn mfa_of(face: &Face<'_>, action: &str) -> Value {
    let query =
        format!("SELECT detail FROM audit_events WHERE action = '{action}' ORDER BY id DESC");
    let details: Vec<String> = face.app.column(&query).await;
    serde_json::from_str::<Value>(&details[0]).unwrap()["mfa"].clone()
}

/// Has everything of acme's that can need a code of an administrator need one.
async fn demand(face: &Face<'_>) {
    face.policy(json!({ "mfa_required_for": ["create", "revoke", "policy"] })).await;
}

on_each_engine! {
    async fn what_an_administrator_does_needs_a_code_of_the_owner_of_their_token(app: TestApp) {
        let face = Face::new(&app).await;
        let grace = grace(&face).await;
        let (id, key) = face.key().await;
        demand(&face).await;
        let revoke = format!("/v1/keys/{id}/revoke");
        let own = format!("/v1/keys/{id}/policy");
        let (why, set) = (json!({ "reason": "leaked" }), json!({ "set": { "window_days": 3 } }));
        let deeds = [
            ("POST", "/v1/keys", new_key(), "key.created"),
            ("PATCH", "/v1/tenants/acme/policy", set.clone(), "policy.changed"),
            ("PATCH", &own, set, "policy.changed"),
            ("POST", &revoke, why.clone(), "key.revoked"),
        ];
        let trail = "SELECT COUNT(*) FROM audit_events";
        let before: Vec<i64> = app.column(trail).await;
        for (method, path, body, _) in &deeds {
            let none = face.call(&grace.token, method, path, body.clone()).await;
            assert_eq!((none.status, none.code()), (403, "otp-required".to_owned()), "{path}: {none:?}");
            let detail = text(&none.json()["detail"]);
            assert!(detail.starts_with("the owner of your token: "), "{detail}");
            let wrong = with_code(&face, (&grace.token, "000000"), (method, path), Some(body)).await;
            assert_eq!(wrong.code(), "otp-invalid", "{path}");
            // Nobody's token has no second factor, unless somebody sets one up for all of them.
            let nobody = face.call(&face.root, method, path, body.clone()).await;
            assert_eq!(nobody.code(), "mfa-enrolment-required", "{path}: {nobody:?}");
        }
        assert_eq!(app.column::<i64>(trail).await, before, "nothing was done");
        assert_eq!(face.verify(&key).await, "valid");
        let mut used = String::new();
        for (method, path, body, action) in &deeds {
            if !used.is_empty() {
                let again = with_code(&face, (&grace.token, &used), (method, path), Some(body)).await;
                assert_eq!(again.code(), "otp-replayed", "{path}: one code does one thing");
            }
            used = next_code(&face, &grace.seed);
            let done = with_code(&face, (&grace.token, &used), (method, path), Some(body)).await;
            assert!(done.status < 300, "{path}: {done:?}");
            let step = app.now().timestamp() / 30;
            assert_eq!(mfa_of(&face, action).await, json!({ "method": "totp", "step": step }));
        }
        assert_eq!(face.verify(&key).await, "revoked");
        // What is refused anyway costs neither a code nor a guess.
        let code = next_code(&face, &grace.seed);
        let late = with_code(&face, (&grace.token, &code), ("POST", &revoke), Some(&why)).await;
        assert_eq!(late.code(), "key-revoked");
        let made = with_code(&face, (&grace.token, &code), ("POST", "/v1/keys"), Some(&new_key())).await;
        assert_eq!(made.status, 201, "{made:?}");
        let trail: Vec<String> = app.column("SELECT detail FROM audit_events").await;
        assert!(trail.iter().all(|detail| !detail.contains(&code)), "a code is in the trail");
    }
}

on_each_engine! {
    async fn a_purge_is_approved_with_the_code_that_a_revocation_needs(app: TestApp) {
        let face = Face::new(&app).await;
        let grace = grace(&face).await;
        let (id, _) = face.key().await;
        face.root("POST", &format!("/v1/keys/{id}/revoke"), json!({})).await;
        face.policy(json!({ "mfa_required_for": ["revoke"], "purge_mode": "manual" })).await;
        app.clock.advance(days(4));
        let (path, why) = (format!("/v1/keys/{id}/approve-purge"), json!({ "reason": "seen" }));
        let none = face.call(&grace.token, "POST", &path, why.clone()).await;
        assert_eq!((none.status, none.code()), (403, "otp-required".to_owned()), "{none:?}");
        let wrong = with_code(&face, (&grace.token, "000000"), ("POST", &path), Some(&why)).await;
        assert_eq!(wrong.code(), "otp-invalid");
        let misses: Vec<i64> = app.column("SELECT otp_in_a_row FROM owners WHERE email = 'grace@acme.example'").await;
        assert_eq!(misses, [1], "it stays counted");
        app.job("purge").await;
        let left = "SELECT COUNT(*) FROM api_keys WHERE kind = 1";
        assert_eq!(app.column::<i64>(left).await, [1]);
        let code = next_code(&face, &grace.seed);
        let done = with_code(&face, (&grace.token, &code), ("POST", &path), Some(&why)).await;
        assert_eq!(done.status, 200, "{done:?}");
        assert_eq!(mfa_of(&face, "key.purge_approved").await["method"], "totp");
        // What is refused anyway costs neither a code nor a guess.
        let code = next_code(&face, &grace.seed);
        let again = with_code(&face, (&grace.token, &code), ("POST", &path), Some(&why)).await;
        assert_eq!(again.code(), "not-awaited");
        let made = with_code(&face, (&grace.token, &code), ("POST", "/v1/keys"), Some(&new_key())).await;
        assert_eq!(made.status, 201, "{made:?}");
        app.job("purge").await;
        assert_eq!(app.column::<i64>(left).await, [1], "the new one alone");
    }
}

on_each_engine! {
    async fn whoever_suspends_a_key_is_asked_for_nothing(app: TestApp) {
        let face = Face::new(&app).await;
        let (id, key) = face.key().await;
        face.policy(json!({ "mfa_required_for": ["create", "rotate", "window_rotate", "revoke", "policy"] })).await;
        face.root("POST", &format!("/v1/keys/{id}/suspend"), json!({})).await;
        assert_eq!(face.verify(&key).await, "suspended");
    }
}

on_each_engine! {
    async fn whoever_is_at_the_machine_needs_none_and_the_trail_says_so(app: TestApp) {
        let face = Face::new(&app).await;
        let ((one, _), (other, _)) = (face.key().await, face.key().await);
        let policies = async || PolicyBook::load(&app.db, (*app.deps.policies).clone()).await.unwrap();
        let revoke = async |id: &str| {
            key_changes::revoke(&app.db, &policies().await, OPERATOR, id, None).await.unwrap();
        };
        revoke(&one).await;
        assert_eq!(mfa_of(&face, "key.revoked").await, json!({ "method": "none" }));
        demand(&face).await;
        revoke(&other).await;
        assert_eq!(mfa_of(&face, "key.revoked").await, json!({ "method": "local" }));
    }
}

on_each_engine! {
    async fn guesses_at_all_doors_of_administrators_have_one_budget(app: TestApp) {
        let face = Face::new(&app).await;
        let grace = grace(&face).await;
        let (id, _) = face.key().await;
        let (own, own_token) = face.token_of(Holder::Mail("grace@acme.example"), Role::Viewer, None).await;
        demand(&face).await;
        let (revoke, rotate) = (format!("/v1/keys/{id}/revoke"), format!("/v1/keys/{own}/rotate"));
        let (new, set, nothing) = (new_key(), json!({ "set": { "window_days": 3 } }), json!({}));
        let doors = [
            ("POST", "/v1/keys", &new),
            ("POST", &revoke, &nothing),
            ("PATCH", "/v1/tenants/acme/policy", &set),
            // Her own token is a key of hers.
            ("POST", &rotate, &nothing),
        ];
        let guesses = (0..40).map(|n| {
            let (method, path, body) = doors[n % 4];
            with_code(&face, (&grace.token, "000000"), (method, path), Some(body))
        });
        let replies = join_all(guesses).await;
        let looked_at = replies.iter().filter(|reply| reply.code() == "otp-invalid").count();
        assert!((1..=5).contains(&looked_at), "{looked_at}");
        let allowed = [403, 409, 429, 503];
        assert!(replies.iter().all(|reply| allowed.contains(&reply.status)), "{replies:?}");
        let misses: Vec<i64> = app.column("SELECT otp_in_a_row FROM owners WHERE email = 'grace@acme.example'").await;
        assert_eq!(misses, [i64::try_from(looked_at).unwrap()], "what was no guess was given back");
        assert_eq!(face.verify(&own_token).await, "valid");
    }
}

on_each_engine! {
    async fn of_parallel_deeds_with_one_good_code_one_is_done(app: TestApp) {
        let face = Face::new(&app).await;
        let grace = grace(&face).await;
        demand(&face).await;
        let code = next_code(&face, &grace.seed);
        let new = new_key();
        let made = (0..20).map(|_| with_code(&face, (&grace.token, &code), ("POST", "/v1/keys"), Some(&new)));
        let replies = join_all(made).await;
        let won = replies.iter().filter(|reply| reply.status == 201).count();
        assert_eq!(won, 1, "{:?}", replies.iter().map(Reply::code).collect::<Vec<_>>());
        assert!(replies.iter().all(|reply| reply.status < 500 || reply.status == 503), "{replies:?}");
        assert_eq!(app.column::<i64>("SELECT COUNT(*) FROM api_keys WHERE kind = 1").await, [1]);
    }
}

on_each_engine! {
    async fn an_answer_that_was_lost_is_given_again_without_a_code(app: TestApp) {
        let face = Face::new(&app).await;
        let grace = grace(&face).await;
        demand(&face).await;
        let (bearer, code) = (format!("Bearer {}", grace.token), next_code(&face, &grace.seed));
        let once = [("authorization", bearer.as_str()), ("idempotency-key", "k"), ("x-otp", &code)];
        let made = face.send("POST", "/v1/keys", &once, Some(&new_key())).await;
        assert_eq!(made.status, 201, "{made:?}");
        for headers in [&once[..], &once[..2]] {
            let again = face.send("POST", "/v1/keys", headers, Some(&new_key())).await;
            assert_eq!((again.status, &again.json()["id"]), (201, &made.json()["id"]), "{again:?}");
        }
    }
}

on_each_engine! {
    async fn what_an_environment_asks_for_holds_for_its_tenants_policy_too(app: TestApp) {
        let face = Face::new(&app).await;
        let grace = grace(&face).await;
        let prod = json!({ "environment": "prod", "set": { "mfa_required_for": ["policy"] } });
        face.root("PATCH", "/v1/tenants/acme/policy", prod).await;
        // By the tenant's rules an environment could be changed as well.
        let of_tenant = json!({ "set": { "window_days": 3 } });
        let refused = face.call(&grace.token, "PATCH", "/v1/tenants/acme/policy", of_tenant.clone()).await;
        assert_eq!(refused.code(), "otp-required");
        let code = next_code(&face, &grace.seed);
        let done = with_code(&face, (&grace.token, &code), ("PATCH", "/v1/tenants/acme/policy"), Some(&of_tenant)).await;
        assert_eq!(done.status, 200, "{done:?}");
        // And nobody waives it by leaving it to the level above, without a code.
        let waived = json!({ "environment": "prod", "set": { "mfa_required_for": null } });
        let refused = face.call(&grace.token, "PATCH", "/v1/tenants/acme/policy", waived).await;
        assert_eq!(refused.code(), "otp-required");
        let shown = face.root("GET", "/v1/tenants/acme/policy?environment=prod&kind=user", None).await;
        let of = |name: &str| shown["items"].as_array().unwrap().iter().find(|field| field["field"] == name).unwrap().clone();
        assert_eq!(of("mfa_required_for")["origin"], "environment");
        assert_eq!(of("mfa_required_for")["value"], json!(["policy"]));
        assert_eq!(of("window_days")["origin"], "tenant");
    }
}

on_each_engine! {
    async fn nobody_gets_a_token_of_somebody_else(app: TestApp) {
        let face = Face::new(&app).await;
        let grace = grace(&face).await;
        let (id, _) = face.token_of(Holder::Mail("heidi@acme.example"), Role::Admin, None).await;
        for way in ["rotate", "reissue"] {
            let body = (way == "rotate").then(|| json!({}));
            let refused = face.call(&grace.token, "POST", &format!("/v1/keys/{id}/{way}"), body).await;
            assert_eq!((refused.status, refused.code()), (403, "forbidden".to_owned()), "{refused:?}");
        }
        // To end it is another matter.
        face.root("POST", &format!("/v1/keys/{id}/suspend"), json!({})).await;
        let asked = json!({ "name": "ci", "role": "viewer" });
        let made = face.call(&grace.token, "POST", "/v1/admin-tokens", asked).await;
        assert_eq!(made.status, 201, "{made:?}");
        let listed = face.root("GET", "/v1/admin-tokens", None).await;
        let of = |id: &Value| listed["items"].as_array().unwrap().iter().find(|one| one["id"] == *id).unwrap().clone();
        assert_eq!(of(&made.json()["id"])["owner"], "grace@acme.example", "it is the maker's");
        assert_eq!(of(&json!(id))["owner"], "heidi@acme.example");
        let rotated = face.call(&grace.token, "POST", &format!("/v1/keys/{}/rotate", text(&made.json()["id"])), json!({})).await;
        assert_eq!(rotated.status, 200, "{rotated:?}");
        // Where making one needs a code, it does here.
        face.root("PATCH", "/v1/tenants/lapsed/policy", json!({ "set": { "mfa_required_for": ["create", "revoke"] } })).await;
        let asked = json!({ "name": "ci", "role": "viewer" });
        assert_eq!(face.call(&grace.token, "POST", "/v1/admin-tokens", asked.clone()).await.code(), "otp-required");
        let code = next_code(&face, &grace.seed);
        let made = with_code(&face, (&grace.token, &code), ("POST", "/v1/admin-tokens"), Some(&asked)).await;
        assert_eq!(made.status, 201, "{made:?}");
        let path = format!("/v1/admin-tokens/{id}");
        assert_eq!(face.call(&grace.token, "DELETE", &path, None).await.code(), "otp-required");
        let code = next_code(&face, &grace.seed);
        let gone = with_code(&face, (&grace.token, &code), ("DELETE", &path), None).await;
        assert_eq!(gone.status, 204, "{gone:?}");
    }
}

on_each_engine! {
    async fn an_owner_of_tokens_is_changed_by_administrators_alone(app: TestApp) {
        let face = Face::new(&app).await;
        grace(&face).await;
        let id = holder(&face, "grace@acme.example").await.public_id;
        let (_, operator) = face.token(Role::Operator, None).await;
        for (method, path, body) in [
            ("PATCH", "", Some(json!({ "email": "eve@elsewhere.example" }))),
            ("PUT", "/access", Some(json!({ "ends_at": null }))),
            ("POST", "/offboard", Some(json!({}))),
            ("POST", "/offboard/undo", None),
        ] {
            let refused = face.call(&operator, method, &format!("/v1/owners/{id}{path}"), body).await;
            assert_eq!((refused.status, refused.code()), (403, "forbidden".to_owned()), "{path}");
        }
        face.root("PATCH", &format!("/v1/owners/{id}"), json!({ "name": "Grace" })).await;
    }
}
