//! Whether a new secret has been used, said by the pages that tell of it and asked for by their
//! script, so that "waiting for first use" turns into "in use" before their reader's eyes.

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use crate::{
    domain::link::LinkToken,
    http::pages::{
        Pages,
        failure::Failure,
        open::{self, Opened},
        show,
        words::Language,
    },
    store::last_use,
};

/// What a page says of it, and where its script asks until it has been used. Whoever runs no script
/// has the link to the key's own page, which says how it stands each time it is loaded.
pub(super) fn line(
    language: Language,
    opened: &Opened,
    first_use: Option<DateTime<Utc>>,
    again: &str,
) -> Markup {
    let is_awaited = first_use.is_none();
    let path = is_awaited.then(|| format!("{}/use", opened.path()));
    html! {
        p.good[!is_awaited] role="status" aria-live="polite" data-watch=[path] {
            (words(language, opened, first_use))
        }
        @if is_awaited { p data-unwatched { a href=(opened.path()) { (language.say(again)) } } }
    }
}

pub(super) fn words(
    language: Language,
    opened: &Opened,
    first_use: Option<DateTime<Utc>>,
) -> String {
    match first_use {
        Some(used) => format!("{} {}", language.say("in-use"), show::at(opened, used)),
        None => language.say("waiting"),
    }
}

/// `GET /k/{token}/{id}/use`: what the page says once the secret has been used, as plain text; nothing
/// (204) before. It is asked every few seconds, so as long as there is nothing to say it reads no more
/// than the link and the one date.
pub(super) async fn ask(
    State(pages): State<Pages>,
    Path((token, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let language = Language::of(&headers);
    let said = async {
        let house = pages.house()?;
        let parsed = LinkToken::parse(&token).map_err(|_| Failure::Gone)?;
        let (_, keys) = open::keys(house, &parsed, false).await?;
        let linked = keys.into_iter().find(|key| key.public_id == id && key.is_used);
        let linked = linked.ok_or(Failure::Gone)?;
        let first_use = last_use::first_use(house.db.conn(), linked.id).await?;
        if first_use.is_none() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let opened = open::open(house, &token, &id, false).await?;
        Ok(words(language, &opened, first_use).into_response())
    };
    said.await.unwrap_or_else(|failure: Failure| failure.status().into_response())
}
