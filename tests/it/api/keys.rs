//! Keys over HTTP: made, shown, changed, rotated, ended; and what is refused, by name.

use serde_json::json;

use crate::{
    api::{Face, new_key, text},
    on_each_engine,
    support::app::days,
};

on_each_engine! {
    async fn a_key_lives_over_http(app: TestApp) {
        let face = Face::new(&app).await;
        let (id, first) = face.key().await;
        assert_eq!(face.verify(&first).await, "valid");
        let path = format!("/v1/keys/{id}");
        let shown = face.root("GET", &path, None).await;
        assert_eq!((&shown["state"], &shown["owner"]), (&json!("active"), &json!("ada@acme.example")));

        let rotated = face.root("POST", &format!("{path}/rotate"), json!({ "overlap_seconds": 60 })).await;
        let second = text(&rotated["secret"]);
        assert_eq!(rotated["version"], 2);
        assert_eq!(face.verify(&first).await, "valid", "its overlap goes on");
        assert_eq!(face.call(&face.root, "DELETE", &format!("{path}/overlap"), None).await.status, 204);
        assert_eq!((face.verify(&first).await, face.verify(&second).await), ("replaced".into(), "valid".into()));

        face.root("PUT", &format!("{path}/hold"), json!({ "reason": "a lawsuit" })).await;
        assert_eq!(face.root("DELETE", &format!("{path}/hold"), None).await["hold"], json!(null));
        face.root("POST", &format!("{path}/revoke"), json!({ "reason": "leaked" })).await;
        assert_eq!(face.verify(&second).await, "revoked");
        let timeline = face.root("GET", &format!("{path}/timeline"), None).await;
        let actions: Vec<_> = timeline["events"].as_array().unwrap().iter().map(|event| text(&event["action"])).collect();
        assert_eq!(actions, ["key.created", "key.rotated", "key.overlap-ended", "key.held", "key.released", "key.revoked"]);
    }
}

on_each_engine! {
    async fn a_listing_is_read_page_by_page(app: TestApp) {
        let face = Face::new(&app).await;
        for _ in 0..5 {
            face.key().await;
        }
        let (mut cursor, mut ids) = (String::new(), Vec::new());
        loop {
            let page = face.root("GET", &format!("/v1/keys?tenant=acme&limit=2{cursor}"), None).await;
            ids.extend(page["items"].as_array().unwrap().iter().map(|key| text(&key["id"])));
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(ids.len(), 5);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 5, "none twice");
    }
}

on_each_engine! {
    async fn a_change_meets_the_version_that_was_seen_or_none(app: TestApp) {
        let face = Face::new(&app).await;
        let (id, _) = face.key().await;
        let path = format!("/v1/keys/{id}");
        let bearer = format!("Bearer {}", face.root);
        let seen = face.call(&face.root, "GET", &path, None).await;
        let tag = seen.header("etag").to_owned();
        let headers = [("authorization", bearer.as_str()), ("if-match", tag.as_str())];
        let longer = json!({ "life": { "days": 200 } });
        let first = face.send("PATCH", &path, &headers, Some(&longer)).await;
        assert_eq!(first.status, 200, "{first:?}");
        assert_ne!(first.header("etag"), tag);
        for (method, path, body) in [
            ("PATCH", path.clone(), json!({ "life": { "days": 300 } })),
            ("POST", format!("{path}/revoke"), json!({})),
            ("PUT", format!("{path}/hold"), json!({ "reason": "x" })),
        ] {
            let late = face.send(method, &path, &headers, Some(&body)).await;
            assert_eq!((late.status, late.code()), (412, "stale".to_owned()));
        }
    }
}

on_each_engine! {
    async fn a_lost_answer_is_asked_for_again_and_nothing_is_done_twice(app: TestApp) {
        let face = Face::new(&app).await;
        let bearer = format!("Bearer {}", face.root);
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k1")];
        let first = face.send("POST", "/v1/keys", &headers, Some(&new_key())).await.json();
        let again = face.send("POST", "/v1/keys", &headers, Some(&new_key())).await.json();
        assert_eq!((&first["id"], &again["secret"]), (&again["id"], &json!(null)));
        let mut other = new_key();
        other["name"] = json!("another");
        let other = face.send("POST", "/v1/keys", &headers, Some(&other)).await;
        assert_eq!((other.status, other.code()), (422, "idempotency-mismatch".to_owned()));

        let path = format!("/v1/keys/{}/rotate", text(&first["id"]));
        let rotated = face.send("POST", &path, &headers, Some(&json!({}))).await.json();
        let again = face.send("POST", &path, &headers, Some(&json!({}))).await.json();
        assert_eq!((&rotated["version"], &again["version"], &again["secret"]), (&json!(2), &json!(2), &json!(null)));
        let reissued = face.root("POST", &format!("/v1/keys/{}/reissue", text(&first["id"])), None).await;
        assert_eq!(face.verify(&text(&reissued["secret"])).await, "valid");
        assert_eq!(face.verify(&text(&rotated["secret"])).await, "invalid", "nobody has it");
    }
}

on_each_engine! {
    async fn what_is_not_understood_is_refused_by_name(app: TestApp) {
        let face = Face::new(&app).await;
        let (id, _) = face.key().await;
        for (method, path, body, named) in [
            ("POST", "/v1/keys".to_owned(), json!({ "tenant": "acme", "colour": 1 }), "colour"),
            ("POST", "/v1/keys".to_owned(), json!({ "tenant": 1 }), "tenant"),
            ("PATCH", format!("/v1/keys/{id}"), json!({ "life": { "days": -1 } }), "life.days"),
            ("PATCH", format!("/v1/keys/{id}"), json!({ "life": { "days": 1, "never": true } }), "life"),
            ("POST", format!("/v1/keys/{id}/rotate"), json!({ "overlap_seconds": 604_801 }), "overlap_seconds"),
            ("GET", "/v1/keys?colour=1".to_owned(), json!({}), "colour"),
            ("GET", "/v1/keys?limit=201".to_owned(), json!({}), "limit"),
            ("GET", "/v1/keys?cursor=x".to_owned(), json!({}), "cursor"),
        ] {
            let reply = face.call(&face.root, method, &path, body).await;
            assert_eq!((reply.status, reply.code()), (400, "malformed".to_owned()), "{path}");
            assert!(reply.text.contains(named), "{named}: {reply:?}");
        }
        let huge = json!({ "key": "x".repeat(70_000) });
        assert_eq!(face.send("POST", "/v1/keys/verify", &[], Some(&huge)).await.status, 413);
        assert_eq!(face.send("POST", "/v1/keys/verify", &[], None).await.status, 415);
        assert_eq!(face.call(&face.root, "POST", &format!("/v1/keys/{id}"), None).await.status, 405);
    }
}

on_each_engine! {
    async fn a_gateway_is_told_in_headers(app: TestApp) {
        let face = Face::new(&app).await;
        let (id, key) = face.key().await;
        let ask = async |key: &str| face.send("GET", "/v1/forward-auth", &[("x-api-key", key)], None).await;
        let good = ask(&key).await;
        let told = ["x-key-id", "x-key-code", "x-key-days-left", "x-key-version"].map(|name| good.header(name).to_owned());
        assert_eq!((good.status, told), (204, [id.as_str(), "valid", "90", "1"].map(str::to_owned)));
        app.clock.advance(days(90));
        let over = ask(&key).await;
        assert_eq!((over.status, over.header("x-key-code")), (403, "expired"));
        let unknown = ask("nonsense").await;
        assert_eq!((unknown.status, unknown.header("x-key-code"), unknown.header("x-key-id")), (401, "invalid", ""));
        assert_eq!(face.send("GET", "/v1/forward-auth", &[], None).await.status, 401);
    }
}

on_each_engine! {
    async fn a_policy_is_tried_out_changed_and_explained(app: TestApp) {
        let face = Face::new(&app).await;
        face.key().await;
        let edits = json!({ "set": { "window_days": 3, "self_rotate": true } });
        let path = "/v1/tenants/acme/policy";
        let tried = face.root("POST", &format!("{path}/simulate"), edits.clone()).await;
        assert_eq!((&tried["n_keys"], &tried["n_other_window"]), (&json!(1), &json!(1)));
        let find = |fields: &serde_json::Value, name: &str| {
            let all = fields["items"].as_array().unwrap();
            let field = all.iter().find(|field| field["field"] == name && field["kind"] == "user").unwrap();
            (field["value"].clone(), text(&field["origin"]))
        };
        let before = face.root("GET", path, None).await;
        assert_eq!(find(&before, "window_days"), (json!(7), "installation".to_owned()));
        let after = face.root("PATCH", path, edits).await;
        assert_eq!(find(&after, "window_days"), (json!(3), "tenant".to_owned()));
        assert_eq!(find(&after, "self_rotate"), (json!(true), "tenant".to_owned()));
        let wrong = json!({ "set": { "window_day": 3 } });
        let refused = face.call(&face.root, "PATCH", path, wrong).await;
        assert_eq!((refused.status, refused.code()), (422, "policy-violation".to_owned()));
        assert!(refused.text.contains("window_day"));
    }
}

#[test]
fn the_document_is_served_as_openapi_3_1() {
    let document = serde_json::to_value(lapsed::http::v1::document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
}

on_each_engine! {
    async fn no_owner_has_more_keys_than_the_policy_allows(app: TestApp) {
        let face = Face::new(&app).await;
        face.policy(json!({ "max_keys_per_owner": 2, "min_ttl_days": 10, "max_overlap_hours": 0 })).await;
        let at_once = (0..4).map(|_| face.call(&face.root, "POST", "/v1/keys", new_key()));
        let replies = futures_util::future::join_all(at_once).await;
        let made: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
        assert_eq!(made.len(), 2, "{replies:?}");
        let is_refused = |reply: &&crate::api::Reply| reply.code() == "policy-violation";
        assert_eq!(replies.iter().filter(is_refused).count(), 2, "{replies:?}");
        // A key that is revoked makes room for another.
        let id = text(&made[0].json()["id"]);
        face.root("POST", &format!("/v1/keys/{id}/revoke"), json!({})).await;
        let mut short = new_key();
        short["life"] = json!({ "days": 9 });
        let refused = face.call(&face.root, "POST", "/v1/keys", short.clone()).await;
        assert_eq!((refused.status, refused.code()), (422, "policy-violation".to_owned()));
        assert!(refused.text.contains("shorter than the 10 days"), "{refused:?}");
        short["life"] = json!({ "days": 10 });
        let key = face.root("POST", "/v1/keys", short).await;
        let path = format!("/v1/keys/{}/rotate", text(&key["id"]));
        let rotated = face.root("POST", &path, json!({ "overlap_seconds": 3600 })).await;
        assert_eq!(face.verify(&text(&key["secret"])).await, "replaced", "{rotated}");
    }
}
