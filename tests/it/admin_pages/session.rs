//! Signing in, and the many ways in which a session ends.

use chrono::TimeDelta;
use lapsed::domain::identity::Role;
use serde_json::json;

use crate::{admin_pages::Desk, on_each_engine, support::app::days};

on_each_engine! {
    async fn a_token_is_traded_for_a_session_and_nothing_of_it_is_kept(app: TestApp) {
        let desk = Desk::new(&app).await;
        assert_eq!(desk.send("GET", "/admin", &[], "").await.header("location"), "/admin/sign-in");
        let browser = desk.root().await;
        let kept: String = app.column("SELECT token_hash FROM admin_sessions").await.remove(0);
        assert!(!browser.cookie.contains(&kept));
        let page = desk.get(&browser, "/admin").await;
        assert!(page.status == 200 && !page.text.contains(&desk.face.root));
        let done: i64 = app.column("SELECT COUNT(*) FROM audit_events WHERE action = 'admin.signed-in'").await[0];
        assert_eq!(done, 1);
        let out = desk.post(&browser, "/admin/sign-out", "").await;
        assert!(out.header("set-cookie").contains("Max-Age=0"));
        assert_eq!(desk.get(&browser, "/admin").await.status, 303, "the session is over here too");
    }
}

on_each_engine! {
    async fn what_is_no_good_token_gets_one_answer(app: TestApp) {
        let desk = Desk::new(&app).await;
        let (id, revoked) = desk.face.token(Role::Admin, None).await;
        desk.face.root("DELETE", &format!("/v1/admin-tokens/{id}"), None).await;
        let (_, of_ada) = desk.face.key().await;
        let mut answers = Vec::new();
        for token in ["nonsense", &revoked, &of_ada] {
            let reply = desk.try_sign_in(token).await;
            assert_eq!((reply.status, reply.header("set-cookie")), (401, ""));
            answers.push(reply.text);
        }
        assert!(answers.iter().all(|text| *text == answers[0]));
        let elsewhere = [("sec-fetch-site", "cross-site")];
        let form = format!("token={}", desk.face.root);
        assert_eq!(desk.send("POST", "/admin/sign-in", &elsewhere, &form).await.status, 403);
        assert_eq!(app.count("admin_sessions").await, 0);
    }
}

on_each_engine! {
    async fn guesses_at_one_token_are_slowed_and_no_other_token_is(app: TestApp) {
        let desk = Desk::new(&app).await;
        let (id, revoked) = desk.face.token(Role::Admin, None).await;
        desk.face.root("DELETE", &format!("/v1/admin-tokens/{id}"), None).await;
        let mut statuses = Vec::new();
        for _ in 0..6 {
            statuses.push(desk.try_sign_in(&revoked).await.status);
        }
        assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
        desk.root().await;
    }
}

on_each_engine! {
    async fn a_session_ends_after_a_quarter_of_an_hour_without_use(app: TestApp) {
        let desk = Desk::new(&app).await;
        let browser = desk.root().await;
        app.clock.advance(TimeDelta::minutes(15) - TimeDelta::milliseconds(1));
        assert_eq!(desk.get(&browser, "/admin").await.status, 200);
        app.clock.advance(TimeDelta::minutes(15) - TimeDelta::milliseconds(1));
        assert_eq!(desk.get(&browser, "/admin").await.status, 200, "it was used meanwhile");
        app.clock.advance(TimeDelta::minutes(15));
        assert_eq!(desk.get(&browser, "/admin").await.status, 303);
    }
}

on_each_engine! {
    async fn a_session_ends_after_eight_hours_however_much_it_is_used(app: TestApp) {
        let desk = Desk::new(&app).await;
        let browser = desk.root().await;
        for _ in 0..47 {
            app.clock.advance(TimeDelta::minutes(10));
            assert_eq!(desk.get(&browser, "/admin").await.status, 200);
        }
        app.clock.advance(TimeDelta::minutes(10));
        assert_eq!(desk.get(&browser, "/admin").await.status, 303);
        app.job("prune").await;
        assert_eq!(app.count("admin_sessions").await, 1, "it is kept to the very end");
        app.clock.advance(TimeDelta::milliseconds(1));
        app.job("prune").await;
        assert_eq!(app.count("admin_sessions").await, 0);
    }
}

on_each_engine! {
    async fn a_session_is_never_better_than_its_token(app: TestApp) {
        let desk = Desk::new(&app).await;
        let (id, token) = desk.face.token(Role::Admin, None).await;
        let browser = desk.sign_in(&token).await;
        desk.face.root("DELETE", &format!("/v1/admin-tokens/{id}"), None).await;
        assert_eq!(desk.get(&browser, "/admin").await.status, 303, "revoked");

        let (id, token) = desk.face.token(Role::Admin, None).await;
        let browser = desk.sign_in(&token).await;
        let leaked = json!({ "overlap_seconds": 0 });
        desk.face.root("POST", &format!("/v1/keys/{id}/rotate"), leaked).await;
        assert_eq!(desk.get(&browser, "/admin").await.status, 303, "its secret was replaced");

        app.clock.advance(days(90) - TimeDelta::minutes(5));
        let (_, token) = (id, desk.face.root.clone());
        let browser = desk.sign_in(&token).await;
        app.clock.advance(TimeDelta::minutes(5));
        assert_eq!(desk.get(&browser, "/admin").await.status, 303, "expired");
    }
}

on_each_engine! {
    async fn a_form_without_the_sessions_proof_changes_nothing(app: TestApp) {
        let desk = Desk::new(&app).await;
        let browser = desk.root().await;
        let (id, text) = desk.face.key().await;
        let (path, form) = (format!("/admin/keys/{id}/revoke"), "name=deploy");
        let cookie = ("cookie", browser.cookie.as_str());
        let good = format!("csrf={}&{form}", browser.csrf);
        let other = format!("csrf={}&{form}", desk.root().await.csrf);
        for (headers, form) in [
            (vec![cookie, ("sec-fetch-site", "same-origin")], form),
            (vec![cookie, ("sec-fetch-site", "same-origin")], other.as_str()),
            (vec![cookie, ("sec-fetch-site", "cross-site")], good.as_str()),
            (vec![cookie, ("sec-fetch-site", "same-site")], good.as_str()),
            (vec![cookie, ("origin", "https://evil.example"), ("host", "keys.example")], good.as_str()),
            (vec![cookie], good.as_str()),
        ] {
            let reply = desk.send("POST", &path, &headers, form).await;
            assert_eq!(reply.status, 403, "{headers:?}");
            assert!(reply.text.contains("not sent by a page of your session"), "{}", reply.text);
        }
        assert_eq!(desk.face.verify(&text).await, "valid");
        let old_browser = [cookie, ("origin", "https://keys.example"), ("host", "keys.example")];
        assert_eq!(desk.send("POST", &path, &old_browser, &good).await.status, 303);
        assert_eq!(desk.face.verify(&text).await, "revoked");
    }
}
