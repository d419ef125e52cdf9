//! What a link opens. Nothing here writes.

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use maud::html;

use crate::{
    domain::link::LinkToken,
    http::pages::{
        House, Pages,
        failure::{self, Failure},
        shell, show,
        words::Language,
    },
    store::{
        key_list::{self, KeyView},
        links::{self, Link, LinkedKey},
        otp,
        owners::{self, Owner},
        policies::PolicyBook,
    },
};

/// A key behind a link, and all that its page shows and does.
pub(super) struct Opened {
    pub(super) token: LinkToken,
    pub(super) link: Link,
    pub(super) linked: LinkedKey,
    pub(super) view: KeyView,
    pub(super) owner: Owner,
    pub(super) policies: PolicyBook,
    pub(super) now: DateTime<Utc>,
    /// Whether a rotation needs a code.
    pub(super) needs_otp: bool,
    /// Whether the owner has a second factor.
    pub(super) is_enrolled: bool,
}

impl Opened {
    /// The owner's time zone.
    pub(super) fn zone(&self) -> Tz {
        self.owner.time_zone.parse().unwrap_or(Tz::UTC)
    }

    /// Where the key's page is.
    pub(super) fn path(&self) -> String {
        format!("/k/{}/{}", self.token.expose(), self.linked.public_id)
    }

    /// Whether the key is in use: neither expired nor revoked.
    pub(super) fn is_active(&self) -> bool {
        self.view.state_word(self.now) == "active"
    }
}

/// The keys a token opens: those of its mail that no newer mail has told of.
async fn keys(house: &House, token: &LinkToken) -> Result<(Link, Vec<LinkedKey>), Failure> {
    let db = &house.db;
    let link = links::find(db, token).await?.ok_or(Failure::Gone)?;
    let mut keys = links::keys(db.conn(), &link).await?;
    // The same key may be told of twice in one mail.
    keys.dedup_by(|a, b| a.id == b.id);
    // A mail that says that a key was rotated comes after every rotation: it does not keep the
    // page that shows the new secret from saying whether it is used.
    keys.retain(|key| !key.is_replaced || key.is_used);
    if keys.is_empty() { Err(Failure::Gone) } else { Ok((link, keys)) }
}

/// Opens the key called `public_id`.
pub(super) async fn open(house: &House, token: &str, public_id: &str) -> Result<Opened, Failure> {
    let token = LinkToken::parse(token).map_err(|_| Failure::Gone)?;
    let (link, keys) = keys(house, &token).await?;
    let linked = keys.into_iter().find(|key| key.public_id == public_id).ok_or(Failure::Gone)?;
    let db = &house.db;
    let view = key_list::find(db.conn(), public_id).await?.ok_or(Failure::Gone)?;
    let owner = owners::find(db.conn(), view.tenant.0, &view.owner.1).await?;
    let owner = owner.filter(|owner| owner.id == link.owner_id).ok_or(Failure::Gone)?;
    let policies = PolicyBook::load(db, (*house.policies).clone()).await?;
    let kind = view.key.as_ref().map(|key| key.kind);
    let needs_otp =
        kind.is_ok_and(|kind| policies.of(view.tenant.0, view.environment.0, kind).mfa_required());
    let is_enrolled = otp::is_enrolled(db, &owner).await?;
    let now = db.now(db.conn()).await?;
    Ok(Opened { token, link, linked, view, owner, policies, now, needs_otp, is_enrolled })
}

/// `GET /k/{token}`: the page of its key, or a list if there are several.
pub(super) async fn link(
    State(pages): State<Pages>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    let language = Language::of(&headers);
    let shown = async {
        let house = pages.house()?;
        let parsed = LinkToken::parse(&token).map_err(|_| Failure::Gone)?;
        let (_, keys) = keys(house, &parsed).await?;
        if let [only] = keys.as_slice() {
            let opened = open(house, &token, &only.public_id).await?;
            return show::key(house, language, &opened, None).await;
        }
        let mut rows = Vec::new();
        for key in &keys {
            let view = key_list::find(house.db.conn(), &key.public_id).await?;
            rows.extend(view);
        }
        let body = html! {
            section {
                p { (language.say("list-intro")) }
                ul { @for row in &rows {
                    li {
                        a href={ "/k/" (parsed.expose()) "/" (row.public_id) } { bdi { (row.name) } }
                        " – " bdi { (row.tenant.1) " / " (row.environment.1) }
                    }
                } }
            }
        };
        Ok(shell::page(language, StatusCode::OK, &language.say("list-title"), &body))
    };
    answer(language, &token, shown.await)
}

/// `GET /k/{token}/{id}`: the page of one key.
pub(super) async fn key(
    State(pages): State<Pages>,
    Path((token, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let language = Language::of(&headers);
    let shown = async {
        let house = pages.house()?;
        show::key(house, language, &open(house, &token, &id).await?, None).await
    };
    answer(language, &token, shown.await)
}

/// The page, or why there is none. A link that is good for nothing offers to send another.
pub(super) fn answer(
    language: Language,
    token: &str,
    shown: Result<Response, Failure>,
) -> Response {
    match shown {
        Ok(response) => response,
        Err(Failure::Gone) => show::gone(language, token),
        Err(failure) => failure::page(language, failure),
    }
}
