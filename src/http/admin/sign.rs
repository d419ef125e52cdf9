//! In by a token, out by a button. The token is read once, and never stored or shown again.

use std::time::Instant;

use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Redirect, Response},
};
use maud::html;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tracing::{info, warn};

use crate::{
    domain::{session::SessionToken, token::Token},
    http::{
        admin::{Admin, failure::Failure, shell, visit, visit::Visit},
        pages::words::Language,
        problem::Problem,
        session::Cookie,
        v1::auth::Caller,
    },
    random,
    store::{admin_tokens, sessions},
};

/// The session of an administrator.
pub(super) const COOKIE: Cookie = Cookie("__Host-lapsed");

/// To the sign-in page.
pub(super) fn to_sign_in() -> Response {
    Redirect::to("/admin/sign-in").into_response()
}

/// `GET /admin/sign-in`
pub(super) async fn ask(headers: HeaderMap) -> Response {
    page(shell::language(&headers), None)
}

fn page(language: Language, wrong: Option<&str>) -> Response {
    let say = |id: &str| language.say(id);
    let body = html! {
        section.narrow {
            @if let Some(wrong) = wrong { p.error role="alert" #wrong { (say(wrong)) } }
            form method="post" action="/admin/sign-in" {
                label for="token" { (say("admin-token")) }
                input #token type="password" name="token" required autocomplete="current-password"
                    spellcheck="false" autofocus aria-describedby="note";
                p #note .soft { (say("admin-token-note")) }
                button { (say("admin-sign-in")) }
            }
        }
    };
    shell::page(language, None, &say("admin-sign-in"), "", &body)
}

#[derive(Deserialize)]
pub(super) struct SignIn {
    token: SecretString,
}

/// `POST /admin/sign-in`: a session for whoever holds a good token.
pub(super) async fn enter(
    State(admin): State<Admin>,
    headers: HeaderMap,
    form: Result<Form<SignIn>, FormRejection>,
) -> Result<Response, Failure> {
    visit::from_here(&headers)?;
    let Form(form) =
        form.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "").code("malformed"))?;
    let language = shell::language(&headers);
    let wrong = |status: StatusCode, id| {
        let mut response = page(language, Some(id));
        *response.status_mut() = status;
        Ok(response)
    };
    let text = form.token.expose_secret().trim();
    // Whatever is wrong with it, there is one answer.
    let refused = || wrong(StatusCode::UNAUTHORIZED, "admin-wrong-token");
    let Ok(token) = Token::parse(admin.api.house()?.brand, text) else { return refused() };
    if !admin.throttle.admits(token.id, Instant::now()) {
        return wrong(StatusCode::TOO_MANY_REQUESTS, "admin-too-many");
    }
    let verdict = admin.api.verify(text, Some("the sign-in page".to_owned())).await?;
    let known = verdict.key.filter(|_| verdict.is_valid());
    let db = admin.api.db()?;
    let holder = match &known {
        Some(known) => admin_tokens::find(db, known.id.as_str()).await?,
        None => None,
    };
    let (Some(known), Some(holder)) = (known, holder) else {
        warn!(token = %token.id, "Refused to sign somebody in: the token is not good");
        return refused();
    };
    let caller = Caller::holder(holder);
    let session = SessionToken::new(random::bytes()?);
    let which = (known.id.as_str(), known.version);
    if !sessions::begin(db, &caller.actor, session.digest(), which).await? {
        return refused();
    }
    admin.throttle.worked(token.id);
    info!(token = %known.id, "Signed in");
    Ok(COOKIE.give(&session, "/admin"))
}

/// `POST /admin/sign-out`
pub(super) async fn leave(State(admin): State<Admin>, visit: Visit) -> Result<Response, Failure> {
    sessions::end(admin.api.db()?, &visit.caller.actor, &visit.session).await?;
    Ok(COOKIE.take(to_sign_in()))
}
