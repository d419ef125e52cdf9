//! What a link opens. Nothing here writes.

use std::collections::HashSet;

use axum::{
    Form,
    extract::{FromRequestParts, Path, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, Uri, request::Parts},
    response::{Redirect, Response},
};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use maud::html;

use crate::{
    domain::{
        identity::KeyKind,
        key::KeyId,
        link::LinkToken,
        policy::{Deed, WindowProof},
        session::SessionToken,
        stage::Stage,
    },
    http::pages::{
        House, Pages,
        failure::{self, Failure},
        mine, shell, show,
        words::Language,
    },
    store::{
        key_list::{self, KeyView},
        links::{self, Link, LinkedKey},
        owner_sessions::OwnerSession,
        owners::{self, Owner},
        policies::PolicyBook,
    },
};

/// By what somebody came to a key.
pub(super) enum Door {
    /// The link of a mail that tells of it.
    Link {
        token: LinkToken,
        link: Link,
        /// What the mail told of the key.
        stage: Stage,
    },
    /// A session that was made from a link. It sees and rotates keys, and does nothing else.
    Session { token: SessionToken, session: OwnerSession },
}

/// A key that somebody came to, and all that its page shows and does.
pub(super) struct Opened {
    pub(super) door: Door,
    pub(super) view: KeyView,
    /// Whether it has had a new secret since the link was made, or the session: it gets no other.
    pub(super) is_used: bool,
    pub(super) owner: Owner,
    pub(super) policies: PolicyBook,
    pub(super) now: DateTime<Utc>,
    /// Whether a rotation needs a code.
    pub(super) needs_otp: bool,
    /// Whether ending the key for good needs one.
    pub(super) stop_needs_otp: bool,
    /// Hours for which the old secret goes on: if the owner does not say, and at most.
    pub(super) overlap: (i64, i64),
}

impl Opened {
    /// The owner's time zone.
    pub(super) fn zone(&self) -> Tz {
        self.owner.time_zone.parse().unwrap_or(Tz::UTC)
    }

    /// Where the key's page is.
    pub(super) fn path(&self) -> String {
        match &self.door {
            Door::Link { token, .. } => format!("/k/{}/{}", token.expose(), self.view.public_id),
            Door::Session { .. } => format!("{}/{}", mine::PATH, self.view.public_id),
        }
    }

    /// Its number.
    pub(super) fn id(&self) -> KeyId {
        KeyId(self.view.id)
    }

    /// When the link was made by which somebody came, or their session.
    pub(super) fn link_made_at(&self) -> DateTime<Utc> {
        match &self.door {
            Door::Link { link, .. } => link.created_at,
            Door::Session { session, .. } => session.link_made_at,
        }
    }

    /// Whether a code proves anything here: see [`OwnerSession::trusts_factor`]. For the keys of its
    /// own mail a link takes whatever its owner has.
    pub(super) fn trusts_factor(&self) -> bool {
        match &self.door {
            Door::Link { .. } => true,
            Door::Session { session, .. } => session.trusts_factor(),
        }
    }

    /// Whether the key is in use: neither expired nor ended.
    pub(super) fn is_active(&self) -> bool {
        self.view.state_word(self.now) == "active"
    }

    /// Whether it is an administrator's token. A mailbox is not enough to come by one, so a link
    /// gives it no new secret and its owner no second factor.
    pub(super) fn is_token(&self) -> bool {
        self.view.key.as_ref().is_ok_and(|key| key.kind == KeyKind::Service)
    }

    /// Who acts, for the trail.
    pub(super) fn actor(&self) -> String {
        let door = match self.door {
            Door::Link { .. } => "link",
            Door::Session { .. } => "session",
        };
        format!("owner {} by {door}", self.owner.public_id)
    }
}

/// Somebody at the page of one key: opened before their form is looked at.
pub(super) struct Visit {
    pub(super) pages: Pages,
    pub(super) language: Language,
    pub(super) opened: Opened,
}

impl FromRequestParts<Pages> for Visit {
    /// The page that says why there is none.
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Response> {
        Self::at(parts, pages, false).await
    }
}

/// The same, for whoever says that a rotation was not theirs: the mail that told of it need not be
/// the newest.
pub(super) struct Alarmed(pub(super) Visit);

impl FromRequestParts<Pages> for Alarmed {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Response> {
        Visit::at(parts, pages, true).await.map(Self)
    }
}

impl Visit {
    async fn at(parts: &mut Parts, pages: &Pages, is_alarm: bool) -> Result<Self, Response> {
        let language = Language::of(&parts.headers);
        let Ok(Path((token, id))) =
            Path::<(String, String)>::from_request_parts(parts, pages).await
        else {
            return Err(failure::page(language, Failure::BadForm));
        };
        let opened = async { open(pages.house()?, &token, &id, is_alarm).await };
        match opened.await {
            Ok(opened) => Ok(Self { pages: pages.clone(), language, opened }),
            Err(failure) => Err(refuse(language, &token, failure)),
        }
    }
}

impl Visit {
    /// What the pages work with.
    pub(super) fn house(&self) -> Result<&House, Failure> {
        self.pages.house()
    }

    /// The answer to a form: what it did, or the page it came from with what went wrong.
    pub(super) async fn answer(&self, done: Result<Response, Failure>) -> Response {
        let again = match done {
            Err(failure) if failure.is_said() => show::key(self, Some(&failure)).await,
            done => done,
        };
        again.unwrap_or_else(|failure| match &self.opened.door {
            Door::Link { token, .. } => refuse(self.language, token.expose(), failure),
            Door::Session { .. } => failure::page(self.language, failure),
        })
    }
}

/// What a form says, if it is one of ours.
pub(super) fn form<T>(form: Result<Form<T>, FormRejection>) -> Result<T, Failure> {
    form.map(|Form(form)| form).map_err(|_| Failure::BadForm)
}

/// The keys a token opens: those of its mail that no newer mail has told of.
pub(super) async fn keys(
    house: &House,
    token: &LinkToken,
    is_alarm: bool,
) -> Result<(Link, Vec<LinkedKey>), Failure> {
    let db = &house.db;
    let link = links::find(db, token).await?.ok_or(Failure::Gone)?;
    let mut keys = links::keys(db.conn(), &link).await?;
    // A mail that says that a key was rotated comes after every rotation: it does not keep the
    // page that shows the new secret from saying whether it is used.
    // And whoever says that a rotation was not theirs is heard though a newer mail has gone out:
    // it may be of the next rotation of the same stranger's.
    let heard = |key: &LinkedKey| is_alarm && key.stage == Stage::Rotated;
    keys.retain(|key| !key.is_replaced || key.is_used || heard(key));
    // The same key may be told of twice in one mail.
    let mut seen = HashSet::new();
    keys.retain(|key| seen.insert(key.id));
    if keys.is_empty() { Err(Failure::Gone) } else { Ok((link, keys)) }
}

/// Opens the key called `public_id`.
pub(super) async fn open(
    house: &House,
    token: &str,
    public_id: &str,
    is_alarm: bool,
) -> Result<Opened, Failure> {
    let token = LinkToken::parse(token).map_err(|_| Failure::Gone)?;
    let (link, keys) = keys(house, &token, is_alarm).await?;
    let linked = keys.into_iter().find(|key| key.public_id == public_id).ok_or(Failure::Gone)?;
    let view = key_list::find(house.db.conn(), public_id).await?.ok_or(Failure::Gone)?;
    let owner_id = link.owner_id;
    let door = Door::Link { token, link, stage: linked.stage };
    show_in(house, door, (view, owner_id), linked.is_used).await
}

/// Opens the key called `public_id`, if it is of the session's owner.
pub(super) async fn open_mine(
    house: &House,
    (token, session): (SessionToken, OwnerSession),
    public_id: &str,
) -> Result<Opened, Failure> {
    let view = key_list::find(house.db.conn(), public_id).await?;
    let view = view.filter(|view| view.tenant.0 == session.tenant_id).ok_or(Failure::NotYours)?;
    // Of the same millisecond: rather one rotation too few.
    let is_used = view.key.as_ref().is_ok_and(|key| session.began_at <= key.issued_at);
    let owner_id = session.owner_id;
    let opened = show_in(house, Door::Session { token, session }, (view, owner_id), is_used).await;
    opened.map_err(|failure| match failure {
        Failure::Gone => Failure::NotYours,
        failure => failure,
    })
}

/// The key, if it is of the owner with this number.
async fn show_in(
    house: &House,
    door: Door,
    (view, owner_id): (KeyView, i64),
    is_used: bool,
) -> Result<Opened, Failure> {
    let db = &house.db;
    let owner = owners::find(db.conn(), view.tenant.0, &view.owner.1).await?;
    let owner = owner.filter(|owner| owner.id == owner_id).ok_or(Failure::Gone)?;
    let policies = house.policies().await?;
    let now = db.now(db.conn()).await?;
    let policy = view.governed().map(|key| policies.of_key(&key));
    let is_expired = view.state_word(now) == "expired";
    let rotation = if is_expired { Deed::WindowRotate } else { Deed::Rotate };
    let asks = |deed| policy.as_ref().is_some_and(|policy| policy.needs_otp(deed));
    let takes = |proof| policy.as_ref().is_some_and(|policy| policy.takes(proof));
    // Where the link alone is no proof, a code with it may be one.
    let is_proof = !is_expired || takes(WindowProof::MailLink);
    let needs_otp = asks(rotation) || (!is_proof && takes(WindowProof::Otp));
    let stop_needs_otp = asks(Deed::Revoke);
    let overlap = policy.map_or((0, 0), |policy| {
        (policy.default_overlap().num_hours(), policy.max_overlap().num_hours())
    });
    Ok(Opened { door, view, is_used, owner, policies, now, needs_otp, stop_needs_otp, overlap })
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
        let (_, keys) = keys(house, &parsed, true).await?;
        // A newer mail has gone out: there is nothing left to do here but to say "not me".
        let is_alarm_only = |key: &LinkedKey| key.is_replaced && !key.is_used;
        if let [only] = keys.as_slice()
            && !is_alarm_only(only)
        {
            let opened = open(house, &token, &only.public_id, false).await?;
            let visit = Visit { pages: pages.clone(), language, opened };
            return show::key(&visit, None).await;
        }
        let rows = key_list::by_ids(house.db.conn(), keys.iter().map(|key| key.id)).await?;
        let deed = |id: i64| {
            let is_one = |key: &&LinkedKey| key.id == KeyId(id) && is_alarm_only(key);
            keys.iter().find(is_one).map_or("", |_| "/suspend")
        };
        let body = html! {
            section {
                p { (language.say("list-intro")) }
                ul { @for row in &rows {
                    li {
                        a href={ "/k/" (parsed.expose()) "/" (row.public_id) (deed(row.id)) } { bdi { (row.name) } }
                        " – " bdi { (row.tenant.1) " / " (row.environment.1) }
                    }
                } }
            }
            @if keys.iter().any(mine::is_good_for_it) { (mine::offer(language, &parsed)) }
        };
        Ok(shell::page(language, StatusCode::OK, &language.say("list-title"), &body))
    };
    shown.await.unwrap_or_else(|failure| refuse(language, &token, failure))
}

/// A `GET` of where a form was sent to, as by whoever loads its answer anew: back to the page that the
/// form stands on. Nothing is done by it.
pub(super) async fn back(uri: Uri) -> Redirect {
    // `/k/TOKEN/ID/DEED`, which may have a step behind it, `/k/TOKEN/again`, or `/mine/sign-out`.
    let parts: Vec<&str> = uri.path().split('/').collect();
    let n = (parts.len() - 1).clamp(1, 4);
    Redirect::to(&parts[..n].join("/"))
}

/// `GET /k/{token}/{id}`: the page of one key.
pub(super) async fn key(visit: Visit) -> Response {
    visit.answer(show::key(&visit, None).await).await
}

/// The page that says why there is no other. A link that is good for nothing offers to send
/// another.
pub(super) fn refuse(language: Language, token: &str, failure: Failure) -> Response {
    match failure {
        Failure::Gone => show::gone(language, token),
        failure => failure::page(language, failure),
    }
}
