//! All keys of an owner, in a session that was made from the link of a mail.
//!
//! A session reaches further than its link, so it can do less: it sees keys, and rotates each of them
//! once, by the rules that hold for a link. A code that a policy asks for is asked for here too. What
//! ends a key or sets up a second factor stays with the links of that key's own mails.

use axum::{
    Form,
    extract::{
        FromRequestParts, Path, Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, request::Parts},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tracing::info;

use crate::{
    domain::{link::LinkToken, session::SessionToken},
    http::{
        pages::{
            Pages,
            act::{self, RotateForm},
            failure::{self, Failure},
            open::{self, Visit},
            shell, show, usage,
            words::Language,
        },
        session::{Cookie, is_from_here},
    },
    mail::address::EmailAddress,
    random,
    store::{
        key_list::{self, Filter, KeyView},
        last_use,
        links::LinkedKey,
        owner_sessions::{self, OwnerSession},
        owners,
    },
};

/// Where the list is.
pub(super) const PATH: &str = "/mine";
const COOKIE: Cookie = Cookie("__Host-lapsed-keys");
/// Keys on one page of the list.
const N_KEYS: u64 = 50;

/// Whether a link may be traded for a session on account of this key: it could still rotate it.
pub(super) fn is_good_for_it(key: &LinkedKey) -> bool {
    !key.is_used && !key.is_replaced
}

/// The button that trades a link for a session.
pub(super) fn offer(language: Language, token: &LinkToken) -> Markup {
    html! {
        section {
            h2 { (language.say("mine-offer-title")) }
            p { (language.say("mine-offer-note")) }
            form method="post" action={ "/k/" (token.expose()) "/mine" } {
                button.plain { (language.say("mine-offer")) }
            }
        }
    }
}

/// What every form of a session carries.
pub(super) fn proof(token: &SessionToken) -> Markup {
    html! { input type="hidden" name="csrf" value=(token.form_token()); }
}

/// `POST /k/{token}/mine`: a session for whoever has a link that still rotates a key.
pub(super) async fn begin(
    State(pages): State<Pages>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    let language = Language::of(&headers);
    let begun = async {
        // Nobody is signed in as somebody else by a page of theirs.
        if !is_from_here(&headers) {
            return Err(Failure::BadForm);
        }
        let house = pages.house()?;
        let parsed = LinkToken::parse(&token).map_err(|_| Failure::Gone)?;
        let (link, keys) = open::keys(house, &parsed, false).await?;
        if !keys.iter().any(is_good_for_it) {
            return Err(Failure::Gone);
        }
        let random = random::bytes().map_err(|error| failure::internal(error.into()))?;
        let session = SessionToken::new(random);
        if !owner_sessions::begin(&house.db, session.digest(), &link).await? {
            return Err(Failure::Gone);
        }
        info!(link = link.id, "Signed an owner in");
        Ok(COOKIE.give(&session, PATH))
    };
    begun.await.unwrap_or_else(|failure| open::refuse(language, &token, failure))
}

/// An owner with a session.
pub(super) struct Mine {
    pages: Pages,
    language: Language,
    token: SessionToken,
    session: OwnerSession,
    is_from_here: bool,
}

impl FromRequestParts<Pages> for Mine {
    /// The page that says that there is no session.
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Response> {
        let language = Language::of(&parts.headers);
        let found = async {
            let token = COOKIE.read(&parts.headers).ok_or(Failure::Out)?;
            let session = owner_sessions::find(&pages.house()?.db, token.digest()).await?;
            let is_from_here = is_from_here(&parts.headers);
            let session = session.ok_or(Failure::Out)?;
            Ok(Self { pages: pages.clone(), language, token, session, is_from_here })
        };
        found.await.map_err(|failure| failure::page(language, failure))
    }
}

impl Mine {
    /// The key called `id`, if it is this owner's.
    async fn visit(&self, id: &str) -> Result<Visit, Failure> {
        let who = (self.token.clone(), self.session.clone());
        let opened = open::open_mine(self.pages.house()?, who, id).await?;
        Ok(Visit { pages: self.pages.clone(), language: self.language, opened })
    }

    /// Sees that a form was sent by a page of this session.
    fn see(&self, carried: Option<&str>) -> Result<(), Failure> {
        let own = self.token.form_token();
        let is_own = bool::from(carried.unwrap_or_default().as_bytes().ct_eq(own.as_bytes()));
        if is_own && self.is_from_here { Ok(()) } else { Err(Failure::BadForm) }
    }

    fn refuse(&self, failure: Failure) -> Response {
        failure::page(self.language, failure)
    }
}

#[derive(Deserialize)]
pub(super) struct Place {
    /// The number of the last key before this page.
    #[serde(default)]
    after: i64,
}

/// `GET /mine`: the keys.
pub(super) async fn list(mine: Mine, place: Result<Query<Place>, QueryRejection>) -> Response {
    // Whatever else stands there, the list begins at its beginning.
    let after = place.map_or(0, |Query(place)| place.after);
    let shown = try_list(&mine, after).await;
    shown.unwrap_or_else(|failure| mine.refuse(failure))
}

async fn try_list(mine: &Mine, after: i64) -> Result<Response, Failure> {
    let db = &mine.pages.house()?.db;
    let (language, session) = (mine.language, &mine.session);
    let filter = Filter { owner_id: Some(session.owner_id), ..Filter::default() };
    let mut rows = key_list::list(db, &filter, after, N_KEYS + 1).await?;
    let has_more = rows.len() as u64 > N_KEYS;
    rows.truncate(usize::try_from(N_KEYS).unwrap_or(usize::MAX));
    let last = rows.last().map_or(after, |row| row.id);
    rows.retain(|row| row.tenant.0 == session.tenant_id);
    let owner = owners::find_by_public_id(db.conn(), &session.owner).await?.ok_or(Failure::Out)?;
    let now = db.now(db.conn()).await?;
    let zone = owner.time_zone.parse().unwrap_or(chrono_tz::Tz::UTC);
    let at = |at: DateTime<Utc>| at.with_timezone(&zone).format("%Y-%m-%d %H:%M %Z").to_string();
    let address = owner.email.parse::<EmailAddress>();
    let address = address.map_or_else(|_| "***".to_owned(), |address| address.to_string());
    let body = html! {
        section {
            p { (language.say_with("mine-of", "address", &address)) }
            @if rows.is_empty() { p { (language.say("mine-none")) } }
            ul { @for row in &rows { (line(language, row, now, at)) } }
            @if has_more { p { a href={ (PATH) "?after=" (last) } { (language.say("mine-more")) } } }
        }
        section {
            p { (language.say_with("mine-until", "at", &at(session.ends_at()))) }
            form method="post" action={ (PATH) "/sign-out" } {
                (proof(&mine.token))
                button.plain { (language.say("mine-leave")) }
            }
        }
    };
    Ok(shell::page(language, StatusCode::OK, &language.say("list-title"), &body))
}

/// A key in the list: what it is called, where it is, and how long it goes on.
fn line(
    language: Language,
    row: &KeyView,
    now: DateTime<Utc>,
    at: impl Fn(DateTime<Utc>) -> String,
) -> Markup {
    let state = row.state_word(now);
    let (words, end) = match state {
        "active" if row.expires_at.is_none() => ("mine-never", None),
        "active" => ("expires", row.expires_at),
        "expired" => ("back-until", row.window_ends_at),
        "suspended" => ("suspended", None),
        "revoked" => ("revoked", None),
        _ => ("damaged", None),
    };
    html! {
        li {
            a href={ (PATH) "/" (row.public_id) } { bdi { (row.name) } }
            " – " bdi { (row.tenant.1) " / " (row.environment.1) }
            " – " (language.say(words)) @if let Some(end) = end { " " (at(end)) }
        }
    }
}

/// `GET /mine/{id}`: the page of one key.
pub(super) async fn key(mine: Mine, Path(id): Path<String>) -> Response {
    match mine.visit(&id).await {
        Ok(visit) => visit.answer(show::key(&visit, None).await).await,
        Err(failure) => mine.refuse(failure),
    }
}

/// What a session does with a key.
pub(super) fn deeds(visit: &Visit, first_use: Option<DateTime<Utc>>) -> Markup {
    let (language, opened) = (visit.language, &visit.opened);
    let say = |id: &str| language.say(id);
    let state = opened.view.state_word(opened.now);
    html! {
        @if opened.is_used {
            section {
                h2 { (say("used-title")) }
                (usage::line(language, opened, first_use, "look-again"))
                p { (say("mine-used")) }
            }
        } @else if state == "active" || state == "expired" {
            (show::rotate(language, opened))
        }
        section {
            p { (say("mine-else")) }
            p { a href=(PATH) { (say("mine-back")) } }
        }
    }
}

/// `GET /mine/{id}/use`: as for a link, whether the new secret has been used.
pub(super) async fn ask(mine: Mine, Path(id): Path<String>) -> Response {
    let said = async {
        let visit = mine.visit(&id).await?;
        if !visit.opened.is_used {
            return Err(Failure::NotYours);
        }
        let first_use = last_use::first_use(visit.house()?.db.conn(), visit.opened.id()).await?;
        Ok(match first_use {
            None => StatusCode::NO_CONTENT.into_response(),
            Some(_) => usage::words(mine.language, &visit.opened, first_use).into_response(),
        })
    };
    said.await.unwrap_or_else(|failure: Failure| failure.status().into_response())
}

#[derive(Deserialize)]
pub(super) struct Carried {
    csrf: Option<String>,
}

/// `POST /mine/{id}/rotate`
pub(super) async fn rotate(
    mine: Mine,
    Path(id): Path<String>,
    sent: Result<Form<RotateForm>, FormRejection>,
) -> Response {
    let visit = match mine.visit(&id).await {
        Ok(visit) => visit,
        Err(failure) => return mine.refuse(failure),
    };
    let proven = open::form(sent).and_then(|form| {
        mine.see(form.csrf.as_deref())?;
        Ok(form)
    });
    act::rotate_with(&visit, proven).await
}

/// `POST /mine/sign-out`
pub(super) async fn leave(mine: Mine, sent: Result<Form<Carried>, FormRejection>) -> Response {
    let left = async {
        mine.see(open::form(sent)?.csrf.as_deref())?;
        let actor = format!("owner {} by session", mine.session.owner);
        owner_sessions::end(&mine.pages.house()?.db, &actor, &mine.session).await?;
        let body = html! { section { p { (mine.language.say("mine-left-note")) } } };
        let title = mine.language.say("mine-left");
        Ok(COOKIE.take(shell::page(mine.language, StatusCode::OK, &title, &body)))
    };
    left.await.unwrap_or_else(|failure| mine.refuse(failure))
}
