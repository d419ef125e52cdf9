//! A secret over HTTP is nowhere but in the answer that shows it; and nobody learns anything of a
//! key that is not theirs.
//!
//! Where each trap that others fell into is tested (paths below `tests/it`, names shortened):
//!
//! | trap | test |
//! |---|---|
//! | a rotation revives a dead secret | `rotation`: in_the_window_the_old_secret_stays_dead; `api/own` |
//! | an expired key is re-armed by a change | `keys`, and PATCH is `extend`: an expired key is rotated, not prolonged |
//! | an overlap outlives the old expiry | `rotation`: an_overlap_never_outlives_the_old_expiry |
//! | "never" slips past a limit | `domain/policy.rs`, `domain/life.rs` |
//! | a default beyond the limit fails a rotation | `domain/rotation/tests.rs` |
//! | wrong secret, unknown id, purged key told apart | here; `verify`: one_answer_for_all_that_is_nobodys, as_much_is_done_for_a_key_that_is_not_there_as_for_a_wrong_secret; the time: `cargo bench --bench verify` |
//! | one code twice, or in parallel | `otp`; `api/guesses`: of_fifty_posts_of_one_good_code_one_wins |
//! | parallel guesses beyond the budget | `api/guesses`: guesses_at_the_same_moment |
//! | a rotation racing the purge | `rotation` |
//! | a lost answer | `api/keys`: a_lost_answer_is_asked_for_again |
//! | who operates mints an administrator | `api/access`: who_may_operate_gets_no_token_by_it |

use serde_json::json;

use crate::{
    api::{Face, Reply, text},
    canary::{Log, dump},
    on_each_engine,
    support::app::{TestApp, days},
};

/// The recovery codes of an answer.
fn list(answer: &serde_json::Value) -> Vec<String> {
    answer["recovery_codes"].as_array().unwrap().iter().map(text).collect()
}

on_each_engine! {
    async fn unknown_mistyped_wrong_and_purged_are_told_the_same(app: TestApp) {
        let face = Face::new(&app).await;
        let (id, key) = face.key().await;
        let ask = async |key: &str| -> Reply {
            face.send("POST", "/v1/keys/verify", &[], Some(&json!({ "key": key }))).await
        };
        let of_other = face.key().await.1;
        let wrong = format!("{}{}", &key[..22], &of_other[22..]);
        let mut mistyped = key.clone();
        mistyped.replace_range(30..31, if &key[30..31] == "0" { "1" } else { "0" });
        app.clock.advance(days(90));
        app.pass().await;
        app.clock.advance(days(8));
        let expired_and_wrong = ask(&wrong).await.text;
        app.pass().await;
        assert_eq!(face.call(&face.root, "GET", &format!("/v1/keys/{id}"), None).await.status, 401);
        let invalid = ask("").await.text;
        for text in [ask(&wrong).await.text, ask(&mistyped).await.text, ask(&key).await.text, expired_and_wrong] {
            assert_eq!(text, invalid);
        }
    }
}

on_each_engine! {
    async fn no_secret_is_left_anywhere_by_http(app: TestApp) {
        let log = Log::default();
        let writer = { let log = log.clone(); move || log.clone() };
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(writer)
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let face = Face::new(&app).await;
        let (id, first) = face.key().await;
        let rotated = face.root("POST", &format!("/v1/keys/{id}/rotate"), json!({})).await;
        let second = text(&rotated["secret"]);
        let mut shown = String::new();
        for key in [&first, &second] {
            shown += &face.call(key, "GET", "/v1/keys", None).await.text;
            shown += &face.call(key, "POST", "/v1/self/rotate", json!({})).await.text;
            shown += &face.call(key, "GET", "/v1/self", None).await.text;
            shown += &face.send("POST", "/v1/keys/verify", &[], Some(&json!({ "key": key }))).await.text;
            shown += &face.send("POST", "/v1/keys/verify", &[("content-type", "text/plain")], None).await.text;
        }
        let otp = format!("/v1/owners/{}/otp", face.ada().await);
        let begun = face.root("POST", &otp, None).await;
        let uri = text(&begun["uri"]);
        let seed = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        let device = totp_rs::Totp::from_url(&uri).unwrap();
        let code = |app: &TestApp| device.generate(app.now().timestamp().unsigned_abs()).to_string();
        let confirmed = face.root("PUT", &otp, json!({ "code": code(&app) })).await;
        let mut codes: Vec<String> = list(&confirmed);
        let renewed = face.root("POST", &format!("{otp}/recovery-codes"), json!({ "code": codes[0] })).await;
        codes.extend(list(&renewed));
        face.policy(json!({ "mfa_required_for": ["rotate", "window_rotate"] })).await;
        let bearer = format!("Bearer {}", face.root);
        // A good code, a used one, a wrong one, a recovery code and one that is void.
        app.clock.advance(chrono::TimeDelta::seconds(30));
        let good = code(&app);
        for given in [&good, &good, "918273", &codes[10], &codes[1]] {
            let headers = [("authorization", bearer.as_str()), ("x-otp", given)];
            let path = format!("/v1/keys/{id}/rotate");
            let reply = face.send("POST", &path, &headers, Some(&json!({ "overlap_seconds": 0 }))).await;
            // What a rotation shows is a secret that is to be shown.
            if reply.status != 200 {
                shown += &reply.text;
            }
        }
        shown += &face.root("DELETE", &otp, None).await.to_string();
        shown += &face.root("GET", &format!("/v1/keys/{id}/timeline"), None).await.to_string();
        shown += &face.root("GET", "/v1/audit", None).await.to_string();
        face.api.flush().await;
        app.pass().await;
        drop(guard);

        let mails: String =
            app.outbox.sent().iter().map(|mail| String::from_utf8_lossy(&mail.bytes).into_owned()).collect();
        assert!(!mails.is_empty());
        let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
        for (place, text) in [("the database", dump(&app).await), ("the log", logged), ("an answer", shown), ("a mail", mails)] {
            for secret in [&first, &second, &face.root] {
                for part in [secret.as_str(), &secret[22..65]] {
                    assert!(!text.contains(part), "{place} has a secret");
                }
            }
            let text = text.to_ascii_uppercase();
            assert!(!text.contains(&seed), "{place} has a seed");
            for code in &codes {
                for form in [code.clone(), code.replace('-', "")] {
                    assert!(!text.contains(&form), "{place} has a recovery code");
                    let hex: String = form.bytes().map(|byte| format!("{byte:02X}")).collect();
                    assert!(!text.contains(&hex), "{place} has a recovery code in hexadecimal digits");
                }
            }
            assert!(!text.contains("918273"), "{place} has a code that was tried");
        }
        let used: Vec<Option<i64>> = app.column("SELECT last_used_at FROM api_keys WHERE kind = 1").await;
        assert!(used[0].is_some(), "uses were written down");
    }
}
