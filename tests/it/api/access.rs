//! Who may do what: every route of the document is tried as nobody, as each role, with a token of
//! another tenant and with one that was revoked. A route that is new has to be told here what to
//! be tried with, or the test fails.

use std::collections::BTreeSet;

use lapsed::{domain::identity::Role, http::v1};
use serde_json::{Value, json};

use crate::{
    api::{Face, new_key},
    on_each_engine,
};

/// The routes that need no token. There is no other.
const OPEN: &[&str] = &["POST /v1/keys/verify", "GET /v1/forward-auth"];
/// The routes that need the very key they are about.
const OWN: &[&str] = &["GET /v1/self", "POST /v1/self/rotate"];

/// A route as the document has it.
struct Route {
    name: String,
    /// The roles that may call it; `None` if it needs no token of an administrator.
    roles: Option<BTreeSet<String>>,
    has_body: bool,
}

fn routes() -> Vec<Route> {
    let document = serde_json::to_value(v1::document()).unwrap();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let roles = operation["security"][0]["token"]
                .as_array()
                .map(|roles| roles.iter().map(|role| role.as_str().unwrap().to_owned()).collect());
            let name = format!("{} {path}", method.to_uppercase());
            let has_body = operation.get("requestBody").is_some();
            routes.push(Route { name, roles, has_body });
        }
    }
    routes
}

/// What a route is tried with. It would do something of acme's, if it were allowed.
fn body(name: &str) -> Option<Value> {
    Some(match name {
        "POST /v1/keys" => new_key(),
        "POST /v1/keys/verify" => json!({ "key": "nonsense" }),
        "PATCH /v1/keys/{id}" => json!({ "life": { "days": 300 } }),
        "POST /v1/keys/{id}/rotate" | "POST /v1/self/rotate" => json!({}),
        "POST /v1/keys/{id}/revoke"
        | "POST /v1/keys/{id}/suspend"
        | "POST /v1/keys/{id}/unsuspend"
        | "POST /v1/keys/{id}/approve-purge" => json!({ "reason": "test" }),
        "PUT /v1/keys/{id}/hold" => json!({ "reason": "test" }),
        "POST /v1/owners" => json!({ "tenant": "acme", "email": "new@acme.example" }),
        "PATCH /v1/owners/{id}" => json!({ "name": "Eve" }),
        "PUT /v1/owners/{id}/access" => json!({ "ends_at": null }),
        "POST /v1/owners/{id}/offboard" => json!({ "dry_run": true }),
        "PUT /v1/owners/{id}/otp" | "POST /v1/owners/{id}/otp/recovery-codes" => {
            json!({ "code": "123456" })
        }
        "POST /v1/tenants" => json!({ "tenant": "third" }),
        "PATCH /v1/tenants/{tenant}" => json!({ "name": "Eve" }),
        "POST /v1/tenants/{tenant}/environments" => json!({ "environment": "staging" }),
        "PATCH /v1/tenants/{tenant}/environments/{environment}" => json!({ "name": "Eve" }),
        "PATCH /v1/tenants/{tenant}/policy" | "POST /v1/tenants/{tenant}/policy/simulate" => {
            json!({ "set": { "window_days": 9 } })
        }
        "PATCH /v1/keys/{id}/policy" | "POST /v1/keys/{id}/policy/simulate" => {
            json!({ "set": { "window_days": 1 } })
        }
        "POST /v1/approvals/{id}/reject" => json!({ "reason": "test" }),
        "POST /v1/admin-tokens" => json!({ "name": "t", "role": "viewer", "tenant": "acme" }),
        _ => return None,
    })
}

/// What a route is tried on: something of acme's.
struct Targets {
    key: String,
    owner: String,
    token: String,
}

impl Targets {
    /// The method and the path of a route.
    fn at(&self, name: &str) -> (String, String) {
        let (method, path) = name.split_once(' ').unwrap();
        let id = match path.split('/').nth(2).unwrap() {
            "keys" => &self.key,
            "owners" => &self.owner,
            "admin-tokens" => &self.token,
            _ => "1",
        };
        let path = path.replace("{id}", id).replace("{tenant}", "acme");
        let path = path.replace("{environment}", "prod").replace("{job}", "sweep");
        assert!(!path.contains('{'), "say what {name} is to be tried on");
        (method.to_owned(), path)
    }
}

async fn targets(face: &Face<'_>) -> Targets {
    let (key, _) = face.key().await;
    let (token, _) = face.token(Role::Viewer, Some(1)).await;
    Targets { key, owner: face.ada().await, token }
}

#[test]
fn every_route_is_known_to_this_test() {
    let routes = routes();
    for route in &routes {
        assert_eq!(body(&route.name).is_some(), route.has_body, "{}", route.name);
    }
    let without = |route: &&Route| route.roles.is_none();
    let open: BTreeSet<_> =
        routes.iter().filter(without).map(|route| route.name.as_str()).collect();
    assert_eq!(open, OPEN.iter().chain(OWN).copied().collect());
    assert!(routes.len() > 40, "the document has every route");
}

on_each_engine! {
    async fn nobody_and_no_revoked_token_gets_in(app: TestApp) {
        let face = Face::new(&app).await;
        let targets = targets(&face).await;
        let (id, revoked) = face.token(Role::Admin, None).await;
        face.root("DELETE", &format!("/v1/admin-tokens/{id}"), None).await;
        // A good key of another kind is no token.
        let (_, of_ada) = face.key().await;
        for route in routes().iter().filter(|route| !OPEN.contains(&route.name.as_str())) {
            let (method, path) = targets.at(&route.name);
            let nobody = face.send(&method, &path, &[], body(&route.name).as_ref()).await;
            let mut replies = vec![nobody, face.call("nonsense", &method, &path, body(&route.name)).await];
            if route.roles.is_some() {
                for token in [&revoked, &of_ada] {
                    replies.push(face.call(token, &method, &path, body(&route.name)).await);
                }
            }
            for reply in replies {
                assert_eq!((reply.status, reply.code()), (401, "invalid-key".to_owned()), "{}", route.name);
                assert_eq!(reply.header("www-authenticate"), "Bearer");
                assert_eq!(reply.header("content-type"), "application/problem+json");
            }
        }
    }
}

on_each_engine! {
    async fn a_role_may_do_what_the_document_says_and_no_more(app: TestApp) {
        let face = Face::new(&app).await;
        let targets = targets(&face).await;
        for role in Role::ALL {
            let (_, token) = face.token(*role, None).await;
            for route in routes() {
                let Some(roles) = &route.roles else { continue };
                let (method, path) = targets.at(&route.name);
                let reply = face.call(&token, &method, &path, body(&route.name)).await;
                let is_refused = reply.code() == "forbidden" || reply.status == 401;
                assert_eq!(is_refused, !roles.contains(role.as_str()), "{role}: {}: {reply:?}", route.name);
                assert!(reply.status < 500, "{role}: {}: {reply:?}", route.name);
            }
        }
    }
}

on_each_engine! {
    async fn a_token_of_one_tenant_neither_sees_nor_changes_another(app: TestApp) {
        let face = Face::new(&app).await;
        let targets = targets(&face).await;
        app.execute(
            "INSERT INTO tenants (id, slug, name, contacts, created_at) VALUES (50, 'other', 'Other', '[]', 0)",
        )
        .await;
        app.sweep().await;
        let trail = "SELECT COUNT(*) FROM audit_events WHERE tenant_id = 1";
        let before: i64 = app.column(trail).await[0];
        for role in Role::ALL {
            let (_, token) = face.token(*role, Some(50)).await;
            for route in routes() {
                if route.roles.is_none() {
                    continue;
                }
                let (method, path) = targets.at(&route.name);
                let reply = face.call(&token, &method, &path, body(&route.name)).await;
                let is_listing = method == "GET" && !route.name.contains('{');
                let is_refused = [403, 404].contains(&reply.status);
                assert!(is_refused || is_listing, "{role}: {}: {reply:?}", route.name);
                if !is_refused {
                    assert_eq!(reply.status, 200, "{role}: {}: {reply:?}", route.name);
                    for of_acme in ["acme", &targets.key, &targets.owner, &targets.token] {
                        assert!(!reply.text.contains(of_acme), "{role}: {}: {reply:?}", route.name);
                    }
                }
            }
        }
        let after: i64 = app.column(trail).await[0];
        assert_eq!(before, after, "nothing of acme's was changed");
    }
}

on_each_engine! {
    async fn who_may_operate_gets_no_token_by_it(app: TestApp) {
        let face = Face::new(&app).await;
        let (_, operator) = face.token(Role::Operator, None).await;
        let (id, _) = face.token(Role::Admin, None).await;
        for (method, path, body) in [
            ("POST", format!("/v1/keys/{id}/rotate"), Some(json!({}))),
            ("POST", format!("/v1/keys/{id}/reissue"), None),
            ("POST", format!("/v1/keys/{id}/revoke"), Some(json!({}))),
        ] {
            let reply = face.call(&operator, method, &path, body).await;
            assert_eq!((reply.status, reply.code()), (403, "forbidden".to_owned()), "{path}");
        }
        let kind = json!({ "tenant": "acme", "environment": "prod", "owner": "ada@acme.example",
            "name": "t", "kind": "service" });
        assert_eq!(face.call(&operator, "POST", "/v1/keys", kind).await.status, 400);
        // Nor does an administrator of one tenant make one for all.
        let (_, of_acme) = face.token(Role::Admin, Some(1)).await;
        let made = face.call(&of_acme, "POST", "/v1/admin-tokens", json!({ "name": "t", "role": "admin" })).await;
        assert_eq!((made.status, &made.json()["tenant"]), (201, &json!("acme")));
    }
}
