//! The API, asked as programs ask it: without a socket, on every engine.

use std::sync::Arc;

use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt as _;
use lapsed::{
    domain::{
        identity::{PublicId, Role},
        life::Ask,
        token::{Brand, Token},
    },
    http::{
        House,
        v1::{self, Api, Guesses},
    },
    keyring::Keyring,
    shutdown::Shutdown,
    store::{
        Engine,
        admin_tokens::{self, FORM, Holder, NewToken},
        policies::PolicyBook,
    },
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::app::{OPERATOR, TestApp};

mod access;
mod docs;
mod guesses;
mod keys;
mod manual;
pub mod mfa;
pub mod own;
mod seen;
mod traps;

/// What was answered.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: axum::http::HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The word of a problem.
    pub fn code(&self) -> String {
        let json = self.json();
        json["type"].as_str().unwrap_or_default().trim_start_matches("urn:lapsed:").to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The API of one installation, with a tenant `acme` and its owner Ada.
pub struct Face<'a> {
    pub app: &'a TestApp,
    pub keyring: Arc<Keyring>,
    pub api: Api,
    router: Router,
    /// A token that may do everything.
    pub root: String,
}

impl<'a> Face<'a> {
    pub async fn new(app: &'a TestApp) -> Self {
        app.people().await;
        Self::with(app, Arc::new(Keyring::throwaway())).await
    }

    pub async fn with(app: &'a TestApp, keyring: Arc<Keyring>) -> Self {
        Self::guarded(app, keyring, Guesses::default()).await
    }

    /// As [`Face::new`], with a limit for those who guess.
    pub async fn against(app: &'a TestApp, guesses: Guesses) -> Self {
        app.people().await;
        Self::guarded(app, Arc::new(Keyring::throwaway()), guesses).await
    }

    async fn guarded(app: &'a TestApp, keyring: Arc<Keyring>, guesses: Guesses) -> Self {
        if app.db.engine() == Engine::Postgres {
            // Rows with numbers of their own have not moved its counters on.
            for table in ["tenants", "environments", "owners"] {
                app.execute(&format!("SELECT setval('{table}_id_seq', 10)")).await;
            }
        }
        let api = Api::new(Shutdown::new(), guesses);
        let brand = Brand::new("lp").unwrap();
        let (db, runner) = (app.db.clone(), app.runner.clone());
        api.reached(Arc::new(House { db, runner, brand, keyring: keyring.clone() }));
        let router = v1::router(api.clone());
        let mut face = Self { app, keyring, api, router, root: String::new() };
        face.root = face.token(Role::Admin, None).await.1;
        face
    }

    /// Makes a token of nobody in particular. Returns its id and its text.
    pub async fn token(&self, role: Role, tenant_id: Option<i64>) -> (String, String) {
        self.token_of(Holder::Nobody, role, tenant_id).await
    }

    /// Makes a token of somebody's. Returns its id and its text.
    pub async fn token_of(
        &self,
        owner: Holder<'_>,
        role: Role,
        tenant_id: Option<i64>,
    ) -> (String, String) {
        let (id, (kind, class)) = (PublicId::from_random(rand::random()), FORM);
        let brand = Brand::new("lp").unwrap();
        let token = Token::new(brand, kind, class, id, &rand::random());
        let new = NewToken {
            public_id: id,
            owner,
            owner_public_id: PublicId::from_random(rand::random()),
            mac: &token.mac(self.keyring.pepper()),
            name: &"a test".parse().unwrap(),
            role,
            tenant_id,
            ask: Ask::Default,
        };
        let policies = PolicyBook::new((*self.app.deps.policies).clone());
        admin_tokens::create(&self.app.db, &policies, OPERATOR, &new).await.unwrap();
        (id.to_string(), token.expose().to_owned())
    }

    /// Asks with these headers; a body is sent as JSON.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(json) => {
                request = request.header("content-type", "application/json");
                Body::from(json.to_string())
            }
            None => Body::empty(),
        };
        let answered = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = answered.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Reply { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// Asks as the holder of `token`.
    pub async fn call(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: impl Into<Option<Value>>,
    ) -> Reply {
        let bearer = format!("Bearer {token}");
        self.send(method, path, &[("authorization", &bearer)], body.into().as_ref()).await
    }

    /// Asks as the administrator, who must be obeyed.
    pub async fn root(&self, method: &str, path: &str, body: impl Into<Option<Value>>) -> Value {
        let reply = self.call(&self.root, method, path, body).await;
        assert!(reply.status < 300, "{method} {path}: {reply:?}");
        reply.json()
    }

    /// Makes a key of Ada's. Returns its id and its text.
    pub async fn key(&self) -> (String, String) {
        let made = self.root("POST", "/v1/keys", new_key()).await;
        (text(&made["id"]), text(&made["secret"]))
    }

    /// The one word about a key.
    pub async fn verify(&self, key: &str) -> String {
        let reply = self.send("POST", "/v1/keys/verify", &[], Some(&json!({ "key": key }))).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        text(&reply.json()["code"])
    }

    /// Sets fields of acme's policy.
    pub async fn policy(&self, set: Value) {
        self.root("PATCH", "/v1/tenants/acme/policy", json!({ "set": set })).await;
    }

    /// Ada's id.
    pub async fn ada(&self) -> String {
        let owners = self.root("GET", "/v1/owners?tenant=acme&limit=1", None).await;
        text(&owners["items"][0]["id"])
    }
}

pub fn new_key() -> Value {
    json!({ "tenant": "acme", "environment": "prod", "owner": "ada@acme.example", "name": "deploy" })
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
