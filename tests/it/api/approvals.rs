//! Where the policy asks for two people, one asks and another approves; what is carried out is what
//! was asked for, once.

use chrono::TimeDelta;
use futures_util::future::join_all;
use lapsed::{
    domain::{identity::Role, policy::Policies},
    store::{
        admin_tokens::Holder,
        approvals, key_changes,
        policies::{
            PolicyBook,
            change::{self, Scope},
        },
        rotation::{Mint, Proof, Request, rotate},
        tenants,
        who::Who,
    },
};
use serde_json::{Value, json};

use crate::{
    api::{
        Face, Reply,
        mfa::{enrol, holder, with_code},
        new_key,
        own::next_code,
        text,
    },
    on_each_engine,
    support::app::{OPERATOR, days},
};

/// An installation in which acme's administrators do nothing alone that ends or weakens.
pub struct Board<'a> {
    pub face: Face<'a>,
    pub grace: String,
    pub heidi: String,
}

impl<'a> Board<'a> {
    pub async fn new(app: &'a crate::support::app::TestApp) -> Self {
        let face = Face::new(app).await;
        let grace = face.token_of(Holder::Mail("grace@acme.example"), Role::Admin, None).await.1;
        let heidi = face.token_of(Holder::Mail("heidi@acme.example"), Role::Admin, None).await.1;
        face.policy(json!({ "two_person": true })).await;
        Self { face, grace, heidi }
    }

    /// Asks as Grace, and returns the id of the request that waits now.
    pub async fn ask(&self, method: &str, path: &str, body: impl Into<Option<Value>>) -> String {
        let reply = self.face.call(&self.grace, method, path, body).await;
        assert_eq!((reply.status, reply.code()), (202, "approval-pending".to_owned()), "{reply:?}");
        let id = text(&reply.json()["id"]);
        assert_eq!(reply.header("location"), format!("/v1/approvals/{id}"));
        id
    }

    pub async fn ask_to_revoke(&self, key: &str) -> String {
        self.ask("POST", &format!("/v1/keys/{key}/revoke"), json!({ "reason": "leaked" })).await
    }

    pub async fn approve_as(&self, token: &str, id: &str) -> Reply {
        self.face.call(token, "POST", &format!("/v1/approvals/{id}/approve"), None).await
    }

    /// Approves as Heidi, who must be obeyed.
    pub async fn approve(&self, id: &str) -> Value {
        let done = self.approve_as(&self.heidi, id).await;
        assert_eq!(done.status, 200, "{done:?}");
        assert_eq!(done.json()["state"], "approved");
        done.json()
    }

    /// Sees that Heidi cannot approve it, and that it is void for good.
    async fn is_void(&self, id: &str, why: &str) {
        let refused = self.approve_as(&self.heidi, id).await;
        assert_eq!(
            (refused.status, refused.code()),
            (409, "approval-void".to_owned()),
            "{refused:?}"
        );
        assert!(text(&refused.json()["detail"]).contains(why), "{refused:?}");
        assert_eq!(self.state(id).await, "void");
        assert_eq!(self.approve_as(&self.heidi, id).await.code(), "approval-decided");
    }

    async fn state(&self, id: &str) -> String {
        let shown = self.face.root("GET", &format!("/v1/approvals/{id}"), None).await;
        text(&shown["approval"]["state"])
    }

    async fn book(&self) -> PolicyBook {
        let base = (*self.face.app.deps.policies).clone();
        PolicyBook::load(&self.face.app.db, base).await.unwrap()
    }
}

/// Who did what, and with what evidence, in order.
async fn trail(face: &Face<'_>, of: &[&str]) -> Vec<(String, String, Value)> {
    let actions: Vec<String> = face.app.column("SELECT action FROM audit_events ORDER BY id").await;
    let actors: Vec<String> = face.app.column("SELECT actor FROM audit_events ORDER BY id").await;
    let details: Vec<String> = face.app.column("SELECT detail FROM audit_events ORDER BY id").await;
    actions
        .into_iter()
        .zip(actors)
        .zip(details)
        .filter(|((action, _), _)| of.contains(&action.as_str()))
        .map(|((action, actor), detail)| (action, actor, serde_json::from_str(&detail).unwrap()))
        .collect()
}

on_each_engine! {
    async fn one_asks_another_approves_and_the_trail_names_both(app: TestApp) {
        let board = Board::new(&app).await;
        let face = &board.face;
        let (key, secret) = face.key().await;
        let id = board.ask_to_revoke(&key).await;
        assert_eq!(face.verify(&secret).await, "valid", "nothing is done before");
        assert_eq!(board.ask_to_revoke(&key).await, id, "who asks again is told of the same request");
        let listed = face.root("GET", "/v1/approvals?state=pending", None).await;
        assert_eq!(listed["items"].as_array().unwrap().len(), 1);
        assert_eq!(listed["items"][0]["requester"], "grace@acme.example");
        let shown = face.root("GET", &format!("/v1/approvals/{id}"), None).await;
        let preview = shown["preview"].to_string();
        assert!(preview.contains("`deploy`") && preview.contains("ended for good") && preview.contains("leaked"), "{preview}");

        // Not she herself, with whatever token; and not a token that may be hers.
        let other = face.token_of(Holder::Mail("grace@acme.example"), Role::Admin, None).await.1;
        for token in [&board.grace, &other] {
            let refused = board.approve_as(token, &id).await;
            assert_eq!((refused.status, refused.code()), (403, "same-person".to_owned()), "{refused:?}");
        }
        assert_eq!(board.approve_as(&face.root, &id).await.code(), "owner-required");
        assert_eq!(face.verify(&secret).await, "valid");

        board.approve(&id).await;
        assert_eq!(face.verify(&secret).await, "revoked");
        let again = board.approve_as(&board.heidi, &id).await;
        assert_eq!((again.status, again.code()), (409, "approval-decided".to_owned()));
        let rows = trail(face, &["approval.requested", "key.revoked", "approval.approved"]).await;
        let actors = |token: &str| format!("key:{}", token.split('_').nth(2).unwrap());
        let (grace, heidi) = (actors(&board.grace), actors(&board.heidi));
        let said: Vec<_> = rows.iter().map(|(action, actor, _)| (action.as_str(), actor.as_str())).collect();
        let expected = [("approval.requested", grace.as_str()), ("key.revoked", &grace), ("approval.approved", &heidi)];
        assert_eq!(said, expected);
        let mfa = &rows[1].2["mfa"];
        assert_eq!((&mfa["method"], &mfa["approval"]), (&json!("two_person"), &json!(id)));
        assert_eq!((&mfa["requested"]["by"], &mfa["approved"]["by"]), (&json!(grace), &json!(heidi)));
        assert_eq!(rows[1].2["reason"], "leaked", "what was asked for is what is done");
        assert_eq!(rows[2].2["request"]["key"], json!(key));
    }
}

on_each_engine! {
    async fn of_approvals_at_once_one_carries_it_out(app: TestApp) {
        let board = Board::new(&app).await;
        let ivan = board.face.token_of(Holder::Mail("ivan@acme.example"), Role::Admin, None).await.1;
        let (key, _) = board.face.key().await;
        let tokens = [board.heidi.as_str(), &ivan];
        // Nobody revokes a key twice; a policy might well be changed twice.
        let change = json!({ "set": { "window_days": 3 } });
        let policy = ("PATCH", "/v1/tenants/acme/policy".to_owned(), change, "policy.changed");
        let revoke = format!("/v1/keys/{key}/revoke");
        let revoke = ("POST", revoke, json!({ "reason": "leaked" }), "key.revoked");
        for (method, path, body, action) in [policy, revoke] {
            let before = trail(&board.face, &[action, "approval.approved"]).await.len();
            let id = board.ask(method, &path, body).await;
            let replies = join_all((0..12).map(|n| board.approve_as(tokens[n % 2], &id))).await;
            let done = replies.iter().filter(|reply| reply.status == 200).count();
            assert_eq!(done, 1, "{:?}", replies.iter().map(Reply::code).collect::<Vec<_>>());
            assert!(replies.iter().all(|reply| [200, 409, 503].contains(&reply.status)), "{replies:?}");
            let after = trail(&board.face, &[action, "approval.approved"]).await.len();
            assert_eq!(after, before + 2, "{action}");
        }
    }
}

on_each_engine! {
    async fn nobody_decides_what_nobody_decided_in_time(app: TestApp) {
        let board = Board::new(&app).await;
        let (key, secret) = board.face.key().await;
        let id = board.ask_to_revoke(&key).await;
        app.clock.advance(TimeDelta::hours(24) - TimeDelta::milliseconds(1));
        assert_eq!(board.state(&id).await, "pending");
        app.clock.advance(TimeDelta::milliseconds(1));
        assert_eq!(board.state(&id).await, "expired", "whether or not it was written down");
        for deed in ["approve", "reject"] {
            let body = (deed == "reject").then(|| json!({}));
            let late = board.face.call(&board.heidi, "POST", &format!("/v1/approvals/{id}/{deed}"), body).await;
            assert_eq!((late.status, late.code()), (410, "approval-expired".to_owned()), "{late:?}");
        }
        assert_eq!(board.face.verify(&secret).await, "valid");
        app.job("prune").await;
        app.job("prune").await;
        let rows = trail(&board.face, &["approval.expired"]).await;
        assert_eq!(rows.len(), 1, "it is told once");
        assert_eq!((rows[0].1.as_str(), &rows[0].2["approval"]), ("daemon", &json!(id)));
        assert_eq!(board.state(&id).await, "expired");
        app.clock.advance(days(91));
        app.job("prune").await;
        assert_eq!(app.count("approvals").await, 0);
    }
}

on_each_engine! {
    async fn what_is_rejected_or_taken_back_is_over(app: TestApp) {
        let board = Board::new(&app).await;
        let (key, secret) = board.face.key().await;
        for (token, reason) in [(&board.heidi, Some("it is in use")), (&board.grace, None)] {
            let id = board.ask_to_revoke(&key).await;
            let body = reason.map_or(json!({}), |reason| json!({ "reason": reason }));
            let done = board.face.call(token, "POST", &format!("/v1/approvals/{id}/reject"), body).await;
            assert_eq!((done.status, &done.json()["state"]), (200, &json!("rejected")), "{done:?}");
            assert_eq!(done.json()["reason"], json!(reason));
            let late = board.approve_as(&board.heidi, &id).await;
            assert_eq!((late.status, late.code()), (409, "approval-decided".to_owned()));
        }
        assert_eq!(board.face.verify(&secret).await, "valid");
        assert_eq!(trail(&board.face, &["approval.rejected"]).await.len(), 2);
        assert_eq!(trail(&board.face, &["key.revoked"]).await, []);
    }
}

on_each_engine! {
    async fn what_has_changed_meanwhile_is_not_done(app: TestApp) {
        let board = Board::new(&app).await;
        let face = &board.face;
        let (key, _) = face.key().await;
        let extended = board.ask_to_revoke(&key).await;
        face.root("PATCH", &format!("/v1/keys/{key}"), json!({ "life": { "days": 200 } })).await;
        let shown = face.root("GET", &format!("/v1/approvals/{extended}"), None).await;
        assert!(shown["preview"][0].as_str().unwrap().contains("has changed"), "{shown}");
        board.is_void(&extended, "has changed").await;

        let rotated = board.ask_to_revoke(&key).await;
        let (policies, random) = (board.book().await, rand::random());
        let brand = lapsed::domain::token::Brand::new("lp").unwrap();
        let mint = Mint { brand, keyring: &face.keyring, random: &random };
        let request = Request { public_id: &key, overlap: None, proof: Proof::Nothing, version: None, once: None };
        rotate(&app.db, &policies, "operator", &mint, &request).await.unwrap();
        board.is_void(&rotated, "has changed").await;

        let ended = board.ask_to_revoke(&key).await;
        key_changes::revoke(&app.db, &policies, OPERATOR, &key, None).await.unwrap();
        board.is_void(&ended, "has changed").await;
        assert_eq!(trail(face, &["approval.void"]).await.len(), 3);
        assert_eq!(trail(face, &["key.revoked"]).await.len(), 1, "the operator's");
    }
}

on_each_engine! {
    async fn a_reminder_and_a_use_are_no_change(app: TestApp) {
        let board = Board::new(&app).await;
        let (key, secret) = board.face.key().await;
        app.clock.advance(days(59) + TimeDelta::hours(12));
        let id = board.ask_to_revoke(&key).await;
        assert_eq!(board.face.verify(&secret).await, "valid");
        board.face.api.flush().await;
        app.clock.advance(TimeDelta::hours(23));
        app.sweep().await;
        let told: Vec<i64> = app.column("SELECT COUNT(*) FROM notices n JOIN api_keys k ON k.id = n.key_id WHERE k.kind = 1 AND n.stage <> 0").await;
        assert!(told[0] > 1, "the owner was told meanwhile");
        board.approve(&id).await;
        assert_eq!(board.face.verify(&secret).await, "revoked");
    }
}

on_each_engine! {
    async fn who_has_lost_their_token_asks_for_nothing(app: TestApp) {
        let board = Board::new(&app).await;
        let face = &board.face;
        let (key, secret) = face.key().await;
        let token = board.grace.split('_').nth(2).unwrap().to_owned();
        // A new secret for the same token changes nothing.
        let id = board.ask_to_revoke(&key).await;
        let rotated = face.call(&board.grace, "POST", &format!("/v1/keys/{token}/rotate"), json!({})).await;
        assert_eq!(rotated.status, 200, "{rotated:?}");
        board.approve(&id).await;
        assert_eq!(face.verify(&secret).await, "revoked");

        let (key, secret) = face.key().await;
        let suspended = board.ask_to_revoke(&key).await;
        face.root("POST", &format!("/v1/keys/{token}/suspend"), json!({})).await;
        board.is_void(&suspended, "token it was asked with").await;
        face.root("POST", &format!("/v1/keys/{token}/unsuspend"), json!({})).await;
        let revoked = board.ask_to_revoke(&key).await;
        face.root("DELETE", &format!("/v1/admin-tokens/{token}"), None).await;
        board.is_void(&revoked, "token it was asked with").await;
        assert_eq!(face.verify(&secret).await, "valid");
    }
}

on_each_engine! {
    async fn a_policy_is_changed_by_two_and_reaches_the_keys_that_exist(app: TestApp) {
        let board = Board::new(&app).await;
        let face = &board.face;
        let (key, _) = face.key().await;
        let body = json!({
            "kind": "user", "set": { "max_ttl_days": 20 }, "existing": { "notice_days": 10, "spread_days": 5 },
        });
        let id = board.ask("PATCH", "/v1/tenants/acme/policy", body.clone()).await;
        let shown = face.root("GET", &format!("/v1/approvals/{id}"), None).await;
        let preview = shown["preview"].to_string();
        assert!(preview.contains("max_ttl_days is 20") && preview.contains("of 1 keys"), "{preview}");
        let before = face.root("GET", &format!("/v1/keys/{key}"), None).await;
        board.approve(&id).await;
        let after = face.root("GET", &format!("/v1/keys/{key}"), None).await;
        assert!(text(&after["expires_at"]) < text(&before["expires_at"]), "{after}");
        let effective = face.root("GET", "/v1/tenants/acme/policy?kind=user", None).await;
        assert!(effective.to_string().contains("\"max_ttl_days\",\"kind\"") || effective.to_string().contains("max_ttl_days"));

        // A change that somebody made meanwhile is not overwritten unseen.
        let stale = board.ask("PATCH", "/v1/tenants/acme/policy", json!({ "set": { "window_days": 3 } })).await;
        let tenant = tenants::find(app.db.conn(), "acme").await.unwrap().unwrap();
        let edits = ["undo_hours=99".parse().unwrap()];
        change::set(&app.db, OPERATOR, &app.deps.policies, &Scope::of(&tenant), &edits).await.unwrap();
        board.is_void(&stale, "has changed").await;

        // And the rule itself is not taken away by one.
        for set in [json!({ "two_person": false }), json!({ "two_person": null })] {
            board.ask("PATCH", "/v1/tenants/acme/policy", json!({ "set": set })).await;
        }
        let own = board.ask("PATCH", &format!("/v1/keys/{key}/policy"), json!({ "set": { "window_days": 2 } })).await;
        board.approve(&own).await;
        let shown = face.root("GET", &format!("/v1/keys/{key}/policy"), None).await;
        assert!(shown["items"].as_array().unwrap().iter().any(|field| field["origin"] == "key"), "{shown}");
        // What makes no sense is refused at once, and does not wait.
        let nonsense = face.call(&board.grace, "PATCH", "/v1/tenants/acme/policy", json!({ "set": { "window_day": 3 } })).await;
        assert_eq!(nonsense.code(), "policy-violation");
    }
}

on_each_engine! {
    async fn an_access_is_ended_by_two(app: TestApp) {
        let board = Board::new(&app).await;
        let face = &board.face;
        let (_, secret) = face.key().await;
        let ada = face.ada().await;
        let offboard = format!("/v1/owners/{ada}/offboard");
        let dry = face.call(&board.grace, "POST", &offboard, json!({ "dry_run": true })).await;
        assert_eq!(dry.status, 200, "to look is no deed");
        let id = board.ask("POST", &offboard, json!({})).await;
        // A key that was not there to be seen.
        face.key().await;
        board.is_void(&id, "has changed").await;
        let id = board.ask("POST", &offboard, json!({})).await;
        let shown = face.root("GET", &format!("/v1/approvals/{id}"), None).await;
        assert!(shown["preview"].to_string().contains("2 keys end with it"), "{shown}");
        assert_eq!(face.verify(&secret).await, "valid");
        app.clock.advance(TimeDelta::hours(5));
        board.approve(&id).await;
        assert_ne!(face.verify(&secret).await, "valid");
        let shown = face.root("GET", &format!("/v1/owners/{ada}"), None).await;
        assert_eq!(shown["access_ends_at"], json!(app.now()), "at once is when it was approved");
        let rows = trail(face, &["owner.access-set"]).await;
        assert_eq!(rows[0].2["mfa"]["method"], "two_person");
        // The same through the other route.
        let later = json!({ "ends_at": app.now() + days(30) });
        board.ask("PUT", &format!("/v1/owners/{ada}/access"), later).await;
    }
}

on_each_engine! {
    async fn a_second_factor_is_reset_and_a_hold_released_by_two(app: TestApp) {
        let board = Board::new(&app).await;
        let face = &board.face;
        let (key, _) = face.key().await;
        let ada = face.ada().await;
        let owner = lapsed::store::owners::find(app.db.conn(), 1, "ada@acme.example").await.unwrap().unwrap();
        enrol(face, &owner).await;
        let id = board.ask("DELETE", &format!("/v1/owners/{ada}/otp"), None).await;
        let enrolled = "SELECT COUNT(*) FROM owners WHERE otp_seed IS NOT NULL";
        assert_eq!(app.column::<i64>(enrolled).await, [1]);
        board.approve(&id).await;
        assert_eq!(app.column::<i64>(enrolled).await, [0]);

        let hold = format!("/v1/keys/{key}/hold");
        let held = face.call(&board.grace, "PUT", &hold, json!({ "reason": "a lawsuit" })).await;
        assert_eq!(held.status, 200, "to hold one is for safety: {held:?}");
        let id = board.ask("DELETE", &hold, None).await;
        let shown = face.root("GET", &format!("/v1/approvals/{id}"), None).await;
        assert!(shown["preview"].to_string().contains("a lawsuit"), "{shown}");
        board.approve(&id).await;
        assert_eq!(face.root("GET", &format!("/v1/keys/{key}"), None).await["hold"], Value::Null);
    }
}

on_each_engine! {
    async fn a_purge_that_waits_for_a_word_waits_for_two(app: TestApp) {
        let board = Board::new(&app).await;
        let face = &board.face;
        let (key, _) = face.key().await;
        let tenant = tenants::find(app.db.conn(), "acme").await.unwrap().unwrap();
        let edits = ["purge_mode=manual".parse().unwrap()];
        change::set(&app.db, OPERATOR, &app.deps.policies, &Scope::of(&tenant), &edits).await.unwrap();
        key_changes::revoke(&app.db, &board.book().await, OPERATOR, &key, None).await.unwrap();
        app.clock.advance(days(4));
        app.job("purge").await;
        let left = "SELECT COUNT(*) FROM api_keys WHERE kind = 1";
        let id = board.ask("POST", &format!("/v1/keys/{key}/approve-purge"), json!({})).await;
        app.job("purge").await;
        assert_eq!(app.column::<i64>(left).await, [1]);
        board.approve(&id).await;
        app.job("purge").await;
        assert_eq!(app.column::<i64>(left).await, [0]);
    }
}

on_each_engine! {
    async fn suspending_never_waits_and_neither_does_the_operator(app: TestApp) {
        let board = Board::new(&app).await;
        let (key, secret) = board.face.key().await;
        let done = board.face.call(&board.grace, "POST", &format!("/v1/keys/{key}/suspend"), json!({})).await;
        assert_eq!(done.status, 200, "{done:?}");
        assert_eq!(board.face.verify(&secret).await, "suspended");
        key_changes::revoke(&app.db, &board.book().await, OPERATOR, &key, None).await.unwrap();
        assert_eq!(board.face.verify(&secret).await, "revoked");
        // A token that is nobody's cannot even ask.
        let (key, _) = board.face.key().await;
        let refused = board.face.call(&board.face.root, "POST", &format!("/v1/keys/{key}/revoke"), json!({})).await;
        assert_eq!((refused.status, refused.code()), (403, "owner-required".to_owned()), "{refused:?}");
        // At the machine a request is approved as well.
        let id = board.ask_to_revoke(&key).await;
        approvals::approve(&app.db, &app.deps.policies, Who::Local("operator"), &id).await.unwrap();
        let rows = trail(&board.face, &["approval.approved"]).await;
        assert_eq!((rows[0].1.as_str(), &rows[0].2["mfa"]["method"]), ("operator", &json!("none")));
    }
}

on_each_engine! {
    async fn both_show_their_own_second_factor_where_the_policy_asks_for_it(app: TestApp) {
        let board = Board::new(&app).await;
        let face = &board.face;
        let grace = enrol(face, &holder(face, "grace@acme.example").await).await;
        let heidi = enrol(face, &holder(face, "heidi@acme.example").await).await;
        let (key, secret) = face.key().await;
        // At the machine, since a change of policy would wait as well.
        let tenant = tenants::find(app.db.conn(), "acme").await.unwrap().unwrap();
        let edits = ["mfa_required_for=revoke".parse().unwrap()];
        change::set(&app.db, OPERATOR, &app.deps.policies, &Scope::of(&tenant), &edits).await.unwrap();
        let (revoke, why) = (format!("/v1/keys/{key}/revoke"), json!({}));
        assert_eq!(face.call(&board.grace, "POST", &revoke, why.clone()).await.code(), "otp-required");
        let wrong = with_code(face, (&board.grace, "000000"), ("POST", &revoke), Some(&why)).await;
        assert_eq!(wrong.code(), "otp-invalid");
        let code = next_code(face, &grace);
        let asked = with_code(face, (&board.grace, &code), ("POST", &revoke), Some(&why)).await;
        assert_eq!(asked.status, 202, "{asked:?}");
        let again = with_code(face, (&board.grace, &code), ("POST", &revoke), Some(&why)).await;
        assert_eq!(again.code(), "otp-replayed", "to ask has used it up");
        let path = format!("/v1/approvals/{}/approve", text(&asked.json()["id"]));
        assert_eq!(face.call(&board.heidi, "POST", &path, None).await.code(), "otp-required");
        let code = next_code(face, &grace);
        let of_other = with_code(face, (&board.heidi, &code), ("POST", &path), None).await;
        assert_eq!(of_other.code(), "otp-invalid", "each shows their own");
        assert_eq!(face.verify(&secret).await, "valid");
        let code = next_code(face, &heidi);
        let done = with_code(face, (&board.heidi, &code), ("POST", &path), None).await;
        assert_eq!(done.status, 200, "{done:?}");
        let rows = trail(face, &["key.revoked"]).await;
        for who in ["requested", "approved"] {
            assert_eq!(rows[0].2["mfa"][who]["mfa"]["method"], "totp", "{who}");
        }
        let misses: Vec<i64> = app.column("SELECT otp_in_a_row FROM owners WHERE email LIKE '%@acme.example' ORDER BY id").await;
        assert!(misses.iter().all(|n| *n == 0), "{misses:?}");
    }
}

on_each_engine! {
    async fn who_may_decide_could_have_asked(app: TestApp) {
        let board = Board::new(&app).await;
        let face = &board.face;
        app.execute(
            "INSERT INTO tenants (id, slug, name, contacts, created_at) VALUES (50, 'other', 'Other', '[]', 0)",
        )
        .await;
        let mail = Holder::Mail("ivan@acme.example");
        let elsewhere = face.token_of(mail, Role::Admin, Some(50)).await.1;
        let operator = face.token_of(mail, Role::Operator, Some(1)).await.1;
        let viewer = face.token_of(mail, Role::Viewer, Some(1)).await.1;
        let (key, _) = face.key().await;
        let revoke = board.ask_to_revoke(&key).await;
        let policy = board.ask("PATCH", "/v1/tenants/acme/policy", json!({ "set": { "window_days": 3 } })).await;
        for id in [&revoke, &policy] {
            let path = format!("/v1/approvals/{id}");
            assert_eq!(face.call(&elsewhere, "GET", &path, None).await.status, 404);
            assert_eq!(board.approve_as(&elsewhere, id).await.status, 404);
            assert_eq!(face.call(&viewer, "GET", &path, None).await.status, 200);
            assert_eq!(board.approve_as(&viewer, id).await.code(), "forbidden");
        }
        let listed = face.call(&elsewhere, "GET", "/v1/approvals", None).await;
        assert_eq!(listed.json()["items"], json!([]), "{listed:?}");
        assert_eq!(board.approve_as(&operator, &policy).await.code(), "forbidden", "an operator changes no policy");
        let rejected = face.call(&operator, "POST", &format!("/v1/approvals/{policy}/reject"), json!({})).await;
        assert_eq!(rejected.code(), "forbidden");
        assert_eq!(board.approve_as(&operator, &revoke).await.status, 200);
        // A token of an administrator is ended by administrators.
        face.root("PATCH", "/v1/tenants/lapsed/policy", json!({ "set": { "two_person": true } })).await;
        let token = operator.split('_').nth(2).unwrap();
        let id = board.ask("DELETE", &format!("/v1/admin-tokens/{token}"), None).await;
        let other = face.token_of(Holder::Mail("judy@acme.example"), Role::Operator, None).await.1;
        assert_eq!(board.approve_as(&other, &id).await.code(), "forbidden");
        board.approve(&id).await;
        assert_eq!(face.verify(&operator).await, "revoked");
        // One that is for acme is for acme's administrators to end.
        let one = face.token_of(mail, Role::Admin, Some(1)).await;
        let other = face.token_of(Holder::Mail("kim@acme.example"), Role::Admin, Some(1)).await.1;
        let asked = face.call(&one.1, "DELETE", &format!("/v1/admin-tokens/{}", one.0), None).await;
        let id = text(&asked.json()["id"]);
        assert_eq!(face.call(&elsewhere, "GET", &format!("/v1/approvals/{id}"), None).await.status, 404);
        assert_eq!(board.approve_as(&other, &id).await.status, 200);
        assert_eq!(face.verify(&one.1).await, "revoked");
    }
}

on_each_engine! {
    async fn a_level_below_adds_it_and_none_takes_it_away(app: TestApp) {
        let face = Face::new(&app).await;
        face.root("PATCH", "/v1/tenants/acme/policy", json!({ "environment": "prod", "set": { "two_person": true } })).await;
        let grace = face.token_of(Holder::Mail("grace@acme.example"), Role::Admin, None).await.1;
        let (key, _) = face.key().await;
        let asked = face.call(&grace, "POST", &format!("/v1/keys/{key}/revoke"), json!({})).await;
        assert_eq!(asked.status, 202, "{asked:?}");
        // The tenant's rules reach into the environment, and an owner's end reaches its keys.
        let asked = face.call(&grace, "PATCH", "/v1/tenants/acme/policy", json!({ "set": { "window_days": 3 } })).await;
        assert_eq!(asked.status, 202, "{asked:?}");
        let asked = face.call(&grace, "POST", &format!("/v1/owners/{}/offboard", face.ada().await), json!({})).await;
        assert_eq!(asked.status, 202, "{asked:?}");
        // To make a key is no such deed.
        assert_eq!(face.call(&grace, "POST", "/v1/keys", new_key()).await.status, 201);
    }
}

/// The rules of an installation that lets nobody do alone what ends or weakens.
pub fn strict(base: &Policies) -> Policies {
    let with = |kind| {
        let fields =
            lapsed::domain::policy::PolicyFields { two_person: true, ..base.of(kind).fields() };
        lapsed::domain::policy::Policy::new(kind, fields).unwrap()
    };
    use lapsed::domain::identity::KeyKind::{Application, Service, User};
    Policies { user: with(User), application: with(Application), service: with(Service) }
}
