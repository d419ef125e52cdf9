//! A program and the very key that it presents.

use chrono::TimeDelta;
use lapsed::domain::{identity::Role, otp::Seed};
use serde_json::{Value, json};

use crate::{
    api::{Face, Reply, text},
    on_each_engine,
    support::{app::days, secrets::Secrets},
};

/// An installation whose owner has a second factor.
pub async fn with_otp(app: &crate::support::app::TestApp) -> (Face<'_>, Seed) {
    let secrets = Secrets::new(app).await;
    let seed = secrets.enrol(&[]).await;
    (Face::with(app, secrets.keyring).await, seed)
}

/// What the device shows half a minute from now, when it is.
pub fn next_code(face: &Face<'_>, seed: &Seed) -> String {
    face.app.clock.advance(TimeDelta::seconds(30));
    seed.code_at(face.app.now()).unwrap().expose().to_owned()
}

pub async fn rotate(face: &Face<'_>, key: &str, otp: Option<&str>) -> Reply {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend(otp.map(|code| ("x-otp", code)));
    face.send("POST", "/v1/self/rotate", &headers, Some(&json!({}))).await
}

on_each_engine! {
    async fn a_live_key_rotates_itself_only_where_it_may(app: TestApp) {
        let face = Face::new(&app).await;
        let (_, key) = face.key().await;
        assert_eq!(rotate(&face, &key, None).await.code(), "forbidden", "it is off by default");
        face.policy(json!({ "self_rotate": true })).await;
        let done = rotate(&face, &key, None).await;
        let new = text(&done.json()["secret"]);
        assert_eq!((face.verify(&new).await, face.verify(&key).await), ("valid".into(), "valid".into()));
        let again = rotate(&face, &key, None).await;
        assert_eq!((again.status, again.code()), (409, "key-replaced".to_owned()), "the old secret mints nothing");
        face.policy(json!({ "mfa_required_for": ["rotate", "window_rotate"] })).await;
        assert_eq!(rotate(&face, &new, None).await.code(), "mfa-enrolment-required", "a secret is no second factor");
    }
}

on_each_engine! {
    async fn an_expired_secret_says_which_key_it_is_and_mints_nothing_alone(app: TestApp) {
        let (mut face, seed) = with_otp(&app).await;
        let (id, key) = face.key().await;
        app.clock.advance(days(90));
        app.sweep().await;
        let shown = face.call(&key, "GET", "/v1/self", None).await.json();
        assert_eq!((&shown["code"], &shown["key_id"]), (&json!("expired"), &json!(id)));
        assert_eq!(rotate(&face, &key, None).await.code(), "otp-required");
        assert_eq!(rotate(&face, &key, Some("000000")).await.code(), "otp-invalid");
        // The administrator's token has expired too.
        face.root = face.token(Role::Admin, None).await.1;
        face.policy(json!({ "window_proof": ["mail_link"] })).await;
        let code = next_code(&face, &seed);
        assert_eq!(rotate(&face, &key, Some(&code)).await.code(), "forbidden");
        face.policy(json!({ "window_proof": ["mail_link", "secret_and_otp"] })).await;
        let code = next_code(&face, &seed);
        let done = rotate(&face, &key, Some(&code)).await;
        assert_eq!(done.status, 200, "{done:?}");
        let new = text(&done.json()["secret"]);
        assert_eq!((face.verify(&new).await, face.verify(&key).await), ("valid".into(), "replaced".into()));
        app.clock.advance(days(97));
        app.sweep().await;
        app.clock.advance(days(8));
        let code = next_code(&face, &seed);
        assert_eq!(rotate(&face, &new, Some(&code)).await.code(), "window-closed");
    }
}

on_each_engine! {
    async fn a_second_factor_is_set_up_over_http(app: TestApp) {
        let face = Face::new(&app).await;
        let path = format!("/v1/owners/{}/otp", face.ada().await);
        let begun = face.root("POST", &path, None).await;
        let uri = text(&begun["uri"]);
        assert!(uri.starts_with("otpauth://totp/"), "{uri}");
        assert!(text(&begun["qr_png"]).starts_with("data:image/png;base64,iVBOR"));
        let wrong = face.call(&face.root, "PUT", &path, json!({ "code": "12345" })).await;
        assert_eq!(wrong.code(), "malformed");
        let code = totp_rs::Totp::from_url(&uri).unwrap();
        let code = code.generate(app.now().timestamp().unsigned_abs()).to_string();
        let done = face.root("PUT", &path, json!({ "code": code })).await;
        assert_eq!(done["recovery_codes"].as_array().map(Vec::len), Some(10));
        let old = text(&done["recovery_codes"][0]);
        let renew = format!("{path}/recovery-codes");
        let renewed = face.root("POST", &renew, json!({ "code": old })).await;
        assert_eq!(renewed["recovery_codes"].as_array().map(Vec::len), Some(10));
        for void in [&old, &text(&done["recovery_codes"][1])] {
            let refused = face.call(&face.root, "POST", &renew, json!({ "code": void })).await;
            assert_eq!(refused.code(), "otp-invalid", "an old code is no code");
        }
        assert_eq!(face.call(&face.root, "POST", &path, None).await.code(), "already-enrolled");
        let reset: Value = face.root("DELETE", &path, None).await;
        assert!(reset["hold_until"].is_string());
    }
}
