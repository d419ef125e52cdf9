//! Forms ask for a code where it is needed, and nowhere else.

use lapsed::domain::identity::Role;
use serde_json::json;

use crate::{
    admin_pages::{Desk, pages::seen_in},
    api::{
        mfa::{grace, mfa_of},
        own::next_code,
    },
    on_each_engine,
    support::app::days,
};

/// How a form asks for a code.
const FIELD: &str = "autocomplete=\"one-time-code\"";

on_each_engine! {
    async fn a_key_is_revoked_with_a_code_where_that_needs_one(app: TestApp) {
        let desk = Desk::new(&app).await;
        let grace = grace(&desk.face).await;
        let (id, text) = desk.face.key().await;
        let browser = desk.sign_in(&grace.token).await;
        let path = format!("/admin/keys/{id}");
        assert!(!desk.get(&browser, &path).await.text.contains(FIELD), "where nothing asks for it");
        desk.face.policy(json!({ "mfa_required_for": ["revoke"] })).await;
        let page = desk.get(&browser, &path).await;
        assert_eq!(page.text.matches(FIELD).count(), 1, "the form that revokes: {}", page.text);
        let revoke = format!("{path}/revoke");
        for (form, status, words) in [
            ("name=deploy", 403, "A code of your second factor is needed"),
            ("name=deploy&otp=", 403, "A code of your second factor is needed"),
            ("name=deploy&otp=12345", 400, "a code has 6 digits"),
            ("name=deploy&otp=000000", 403, "That is not the code"),
            ("name=Deploy&otp=000000", 422, "That is not the name"),
        ] {
            let refused = desk.post(&browser, &revoke, form).await;
            assert!(refused.status == status && refused.text.contains(words), "{form}: {refused:?}");
        }
        let nobody = desk.post(&desk.root().await, &revoke, "name=deploy").await;
        assert!(nobody.text.contains("lapsed otp setup"), "{}", nobody.text);
        assert_eq!(desk.post(&browser, &format!("{path}/suspend"), "").await.status, 303, "for safety, none");
        assert_eq!(desk.face.verify(&text).await, "suspended");
        let code = next_code(&desk.face, &grace.seed);
        let (a, b) = code.split_at(3);
        // As it is pasted from an authenticator.
        let done = desk.post(&browser, &revoke, &format!("name=deploy&otp={a}+{b}")).await;
        assert_eq!(done.status, 303, "{}", done.text);
        assert_eq!(desk.face.verify(&text).await, "revoked");
        assert_eq!(mfa_of(&desk.face, "key.revoked").await["method"], "totp");
    }
}

on_each_engine! {
    async fn a_purge_is_approved_with_a_code_where_a_revocation_needs_one(app: TestApp) {
        let desk = Desk::new(&app).await;
        let grace = grace(&desk.face).await;
        let (id, _) = desk.face.key().await;
        desk.face.root("POST", &format!("/v1/keys/{id}/revoke"), json!({})).await;
        desk.face.policy(json!({ "purge_mode": "manual", "mfa_required_for": ["revoke"] })).await;
        app.clock.advance(days(4));
        let browser = desk.sign_in(&grace.token).await;
        let path = format!("/admin/keys/{id}");
        let page = desk.get(&browser, &path).await;
        assert_eq!(page.text.matches(FIELD).count(), 1, "{}", page.text);
        let approve = format!("{path}/approve-purge");
        let refused = desk.post(&browser, &approve, "name=deploy&reason=seen").await;
        assert!(refused.status == 403 && refused.text.contains("A code of your second factor"), "{refused:?}");
        let code = next_code(&desk.face, &grace.seed);
        let done = desk.post(&browser, &approve, &format!("name=deploy&reason=seen&otp={code}")).await;
        assert_eq!(done.status, 303, "{}", done.text);
        assert_eq!(mfa_of(&desk.face, "key.purge_approved").await["method"], "totp");
    }
}

on_each_engine! {
    async fn a_policy_is_changed_with_a_code_where_that_needs_one(app: TestApp) {
        let desk = Desk::new(&app).await;
        let grace = grace(&desk.face).await;
        desk.face.policy(json!({ "mfa_required_for": ["policy"] })).await;
        let browser = desk.sign_in(&grace.token).await;
        let (change, path) = ("field=window_days&value=3&kind=user", "/admin/policies/acme");
        assert!(!desk.get(&browser, path).await.text.contains(FIELD), "nothing is to be applied yet");
        let tried = desk.get(&browser, &format!("{path}?{change}")).await;
        assert_eq!(tried.text.matches(FIELD).count(), 1, "{}", tried.text);
        let viewer = desk.holder(Role::Viewer, None).await;
        assert!(!desk.get(&viewer, &format!("{path}?{change}")).await.text.contains(FIELD));
        let form = format!("{change}&seen={}", seen_in(&tried.text));
        let refused = desk.post(&browser, path, &form).await;
        assert!(refused.status == 403 && refused.text.contains("A code of your second factor"), "{refused:?}");
        let code = next_code(&desk.face, &grace.seed);
        let done = desk.post(&browser, path, &format!("{form}&otp={code}")).await;
        assert_eq!(done.status, 303, "{}", done.text);
        assert_eq!(mfa_of(&desk.face, "policy.changed").await["method"], "totp");
    }
}
