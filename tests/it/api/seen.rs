//! Two at once: what was changed since it was read is not changed by whoever read it before.

use serde_json::{Value, json};

use crate::{
    api::{Face, Reply},
    on_each_engine,
};

async fn change(face: &Face<'_>, (method, path): (&str, &str), body: &Value, tag: &str) -> Reply {
    let bearer = format!("Bearer {}", face.root);
    let headers = [("authorization", bearer.as_str()), ("if-match", tag)];
    face.send(method, path, &headers, Some(body)).await
}

on_each_engine! {
    async fn whoever_comes_second_changes_nothing(app: TestApp) {
        let face = Face::new(&app).await;
        let ada = format!("/v1/owners/{}", face.ada().await);
        let policy = "/v1/tenants/acme/policy";
        let of_prod = "/v1/tenants/acme/policy?environment=prod&kind=user";
        for (seen, method, path, first, second) in [
            (ada.as_str(), "PATCH", ada.as_str(), json!({ "name": "Ada L." }), json!({ "name": "Eve" })),
            ("/v1/tenants/acme", "PATCH", "/v1/tenants/acme", json!({ "name": "Acme 2" }), json!({ "name": "Eve" })),
            (
                "/v1/tenants/acme/environments/prod", "PATCH", "/v1/tenants/acme/environments/prod",
                json!({ "contacts": ["a@acme.example"] }), json!({ "contacts": [] }),
            ),
            (policy, "PATCH", policy, json!({ "set": { "window_days": 5 } }), json!({ "set": { "window_days": 9 } })),
            (
                of_prod, "PATCH", policy,
                json!({ "environment": "prod", "kind": "user", "set": { "window_days": 3 } }),
                json!({ "environment": "prod", "kind": "user", "set": { "window_days": 1 } }),
            ),
        ] {
            let tag = face.call(&face.root, "GET", seen, None).await.header("etag").to_owned();
            assert!(tag.starts_with('"') && tag.len() > 20, "{seen}: {tag}");
            let done = change(&face, (method, path), &first, &tag).await;
            assert_eq!(done.status, 200, "{done:?}");
            let now = face.call(&face.root, "GET", seen, None).await.header("etag").to_owned();
            assert_eq!(done.header("etag"), now, "{seen}: the answer has the tag of what it shows");
            let before = face.call(&face.root, "GET", seen, None).await.text;
            let late = change(&face, (method, path), &second, &tag).await;
            assert_eq!((late.status, late.code()), (412, "stale".to_owned()), "{seen}: {late:?}");
            assert_eq!(face.call(&face.root, "GET", seen, None).await.text, before);
            let any = change(&face, (method, path), &first, "*").await;
            assert_eq!(any.status, 200, "{any:?}");
            let listed = format!("\"0\", {now}");
            assert_eq!(change(&face, (method, path), &first, &listed).await.status, 200, "{seen}");
        }
    }
}

on_each_engine! {
    async fn a_level_above_that_has_changed_is_a_change_of_the_policy(app: TestApp) {
        let face = Face::new(&app).await;
        let of_prod = "/v1/tenants/acme/policy?environment=prod";
        let tag = face.call(&face.root, "GET", of_prod, None).await.header("etag").to_owned();
        face.policy(json!({ "max_ttl_days": 60 })).await;
        let body = json!({ "environment": "prod", "set": { "window_days": 3 } });
        let late = change(&face, ("PATCH", "/v1/tenants/acme/policy"), &body, &tag).await;
        assert_eq!(late.code(), "stale");
    }
}

on_each_engine! {
    async fn an_owner_who_has_changed_is_not_offboarded_unseen(app: TestApp) {
        let face = Face::new(&app).await;
        let ada = format!("/v1/owners/{}", face.ada().await);
        let tag = face.call(&face.root, "GET", &ada, None).await.header("etag").to_owned();
        // What ends with the access is part of what was seen.
        face.key().await;
        for (method, path, body) in [
            ("POST", format!("{ada}/offboard"), json!({})),
            ("PUT", format!("{ada}/access"), json!({ "ends_at": "2027-06-01T00:00:00Z" })),
        ] {
            let late = change(&face, (method, &path), &body, &tag).await;
            assert_eq!((late.status, late.code()), (412, "stale".to_owned()), "{path}");
        }
        let ends: Vec<Option<i64>> = app.column("SELECT access_ends_at FROM owners WHERE id = 1").await;
        assert_eq!(ends, [None]);
        let tag = face.call(&face.root, "GET", &ada, None).await.header("etag").to_owned();
        let done = change(&face, ("POST", &format!("{ada}/offboard")), &json!({}), &tag).await;
        assert_eq!(done.status, 200, "{done:?}");
    }
}

on_each_engine! {
    async fn of_two_changes_at_the_same_moment_one_is_made(app: TestApp) {
        let face = Face::new(&app).await;
        let ada = format!("/v1/owners/{}", face.ada().await);
        for (path, body) in [
            (ada.as_str(), json!({ "name": "Ada L." })),
            ("/v1/tenants/acme", json!({ "name": "Acme 2" })),
            ("/v1/tenants/acme/environments/prod", json!({ "name": "P" })),
            ("/v1/tenants/acme/policy", json!({ "set": { "window_days": 5 } })),
        ] {
            let tag = face.call(&face.root, "GET", path, None).await.header("etag").to_owned();
            let at_once = (0..4).map(|_| change(&face, ("PATCH", path), &body, &tag));
            let replies = futures_util::future::join_all(at_once).await;
            let n_done = replies.iter().filter(|reply| reply.status == 200).count();
            assert_eq!(n_done, 1, "{path}: {replies:?}");
            let is_refused = |reply: &&Reply| [412, 503].contains(&reply.status);
            assert_eq!(replies.iter().filter(is_refused).count(), 3, "{path}: {replies:?}");
        }
    }
}
