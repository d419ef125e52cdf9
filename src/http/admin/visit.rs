//! Who visits: the session of a cookie, and what its forms have to carry.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest as _, FromRequestParts, Request, State},
    http::{HeaderMap, Method, StatusCode, request::Parts},
    middleware::Next,
    response::Response,
};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use crate::{
    domain::identity::Role,
    http::{
        admin::{Admin, failure, failure::Failure, shell, sign},
        pages::words::Language,
        problem::Problem,
        session,
        v1::auth::Caller,
    },
    store::{
        admin_tokens,
        sessions::{self, Session},
    },
};

/// A signed-in administrator, for one request.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// What they may see and do, by the API's own rule.
    pub(super) caller: Caller,
    pub(super) session: Session,
    /// What every form carries.
    pub(super) form_token: String,
    pub(super) language: Language,
}

impl Visit {
    /// The message called `id`.
    pub(super) fn say(&self, id: &str) -> String {
        self.language.say(id)
    }

    pub(super) fn may(&self, roles: &[Role]) -> bool {
        self.caller.has_one_of(roles).is_ok()
    }
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        // Every route that asks for it lies behind `enter`.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Failure::refused("forbidden"))
    }
}

/// Lets those in who have a session; a form only with its session's token.
pub(super) async fn enter(
    State(admin): State<Admin>,
    mut request: Request,
    next: Next,
) -> Response {
    let language = shell::language(request.headers());
    let visit = match visit(&admin, request.headers(), language).await {
        Ok(Some(visit)) => visit,
        Ok(None) => return sign::to_sign_in(),
        Err(problem) => return failure::page(language, None, &problem, None),
    };
    let form = form_of(&request);
    if request.method() == Method::POST {
        request = match proven(request, &visit).await {
            Ok(request) => request,
            Err(problem) => {
                return failure::page(language, Some(&visit), &problem, form.as_deref());
            }
        };
    }
    request.extensions_mut().insert(visit.clone());
    failure::dressed(next.run(request).await, language, Some(&visit), form.as_deref())
}

/// Where the page is that this form stands on, if it is one: what is done stands below what it is done to.
fn form_of(request: &Request) -> Option<String> {
    let path = request.uri().path();
    let is_form = request.method() == Method::POST && path != "/admin/sign-out";
    let page = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["", admin, kind, id, _] => format!("/{admin}/{kind}/{id}"),
        ["", admin, "guards", _] => format!("/{admin}/guards"),
        _ => path.to_owned(),
    };
    is_form.then_some(page)
}

/// Refuses those whose role may not open this page.
pub(super) async fn demand(
    State(roles): State<&'static [Role]>,
    visit: Visit,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    visit.caller.has_one_of(roles)?;
    Ok(next.run(request).await)
}

async fn visit(
    admin: &Admin,
    headers: &HeaderMap,
    language: Language,
) -> Result<Option<Visit>, Problem> {
    let Some(token) = sign::COOKIE.read(headers) else { return Ok(None) };
    let db = admin.api.db()?;
    let Some(session) = sessions::find(db, token.digest()).await? else { return Ok(None) };
    let Some(holder) = admin_tokens::find(db, &session.token).await? else { return Ok(None) };
    let (caller, form_token) = (Caller::holder(holder), token.form_token());
    Ok(Some(Visit { caller, session, form_token, language }))
}

#[derive(Deserialize)]
struct Carried {
    csrf: Option<String>,
}

/// The form as it came, if it came from a page of this session.
async fn proven(request: Request, visit: &Visit) -> Result<Request, Problem> {
    from_here(request.headers())?;
    let (parts, body) = request.into_parts();
    let bytes = Bytes::from_request(Request::new(body), &()).await;
    let bytes = bytes.map_err(|error| Problem::new(error.status(), "the form cannot be read"))?;
    let carried: Option<Carried> = serde_urlencoded::from_bytes(&bytes).ok();
    let carried = carried.and_then(|form| form.csrf).unwrap_or_default();
    if !bool::from(carried.as_bytes().ct_eq(visit.form_token.as_bytes())) {
        return Err(foreign());
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// Sees that a browser says that one of our own pages sent this form.
pub(super) fn from_here(headers: &HeaderMap) -> Result<(), Problem> {
    if session::is_from_here(headers) { Ok(()) } else { Err(foreign()) }
}

fn foreign() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "this form was not sent by a page of your session")
        .code("foreign-form")
}
