//! The pages of administrators, asked as browsers ask: without a socket, on every engine.

use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt as _;
use lapsed::{domain::identity::Role, http::admin};
use tower::ServiceExt as _;

use crate::{
    api::{Face, Reply},
    support::app::TestApp,
};

mod access;
mod approvals;
mod mfa;
mod pages;
mod session;

/// The pages of one installation, with a tenant `acme` and its owner Ada.
pub struct Desk<'a> {
    pub face: Face<'a>,
    router: Router,
}

/// A browser with a session.
pub struct Browser {
    pub cookie: String,
    pub csrf: String,
}

impl<'a> Desk<'a> {
    pub async fn new(app: &'a TestApp) -> Self {
        Self::of(Face::new(app).await)
    }

    /// The pages of the same installation as this API's.
    pub fn of(face: Face<'a>) -> Self {
        let router = admin::router(face.api.clone());
        Self { face, router }
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        form: &str,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if method == "POST" {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        let request = request.body(Body::from(form.to_owned())).unwrap();
        let answered = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answered.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Reply { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// Sends the form of the sign-in page.
    pub async fn try_sign_in(&self, token: &str) -> Reply {
        let headers = [("sec-fetch-site", "same-origin")];
        self.send("POST", "/admin/sign-in", &headers, &format!("token={token}")).await
    }

    pub async fn sign_in(&self, token: &str) -> Browser {
        let reply = self.try_sign_in(token).await;
        assert_eq!((reply.status, reply.header("location")), (303, "/admin"), "{}", reply.text);
        let set = reply.header("set-cookie");
        assert!(set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{set}");
        let cookie = set.split(';').next().unwrap().to_owned();
        let page = self.send("GET", "/admin", &[("cookie", &cookie)], "").await;
        let (_, rest) = page.text.split_once("name=\"csrf\" value=\"").expect(&page.text);
        let csrf = rest.split('"').next().unwrap().to_owned();
        Browser { cookie, csrf }
    }

    pub async fn root(&self) -> Browser {
        self.sign_in(&self.face.root.clone()).await
    }

    pub async fn holder(&self, role: Role, tenant_id: Option<i64>) -> Browser {
        let (_, token) = self.face.token(role, tenant_id).await;
        self.sign_in(&token).await
    }

    pub async fn get(&self, browser: &Browser, path: &str) -> Reply {
        self.send("GET", path, &[("cookie", &browser.cookie)], "").await
    }

    /// Sends a form with what proves that it is one of this session's.
    pub async fn post(&self, browser: &Browser, path: &str, form: &str) -> Reply {
        let headers = [("cookie", browser.cookie.as_str()), ("sec-fetch-site", "same-origin")];
        self.send("POST", path, &headers, &format!("csrf={}&{form}", browser.csrf)).await
    }
}
