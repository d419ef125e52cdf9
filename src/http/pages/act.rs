//! What an owner does with a key.

use axum::{
    Form,
    extract::{Path, State, rejection::FormRejection},
    http::HeaderMap,
    response::Response,
};
use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::{
    domain::{
        link::LinkToken, otp::Attempt, policy::WindowProof, rotation::Overlap,
        suspension::SuspensionError,
    },
    http::pages::{
        Pages,
        failure::{self, Failure},
        open::{Door, Opened, Visit, form, refuse},
        show,
        words::Language,
    },
    random,
    store::{
        idempotency::Once,
        key_changes,
        keys::KeyError,
        links,
        rotation::{self, Mint, Proof, Request},
        suspension,
        who::{Person, Who},
    },
};

#[derive(Deserialize)]
pub(super) struct RotateForm {
    /// Hours. A key that has expired has no overlap, and no such field.
    #[serde(default)]
    overlap: i64,
    otp: Option<SecretString>,
    /// What a session's form carries, and a link's does not.
    pub(super) csrf: Option<String>,
}

/// `POST /k/{token}/{id}/rotate`: a new secret, shown in the answer and never again.
pub(super) async fn rotate(
    visit: Visit,
    sent: Result<Form<RotateForm>, FormRejection>,
) -> Response {
    let form = form(sent);
    rotate_with(&visit, form).await
}

/// The same, whatever somebody came by.
pub(super) async fn rotate_with(visit: &Visit, form: Result<RotateForm, Failure>) -> Response {
    let done = async {
        let form = form?;
        // Whoever sends the form again is told how the key stands.
        if visit.opened.is_used {
            return show::key(visit, None).await;
        }
        try_rotate(visit, &form).await
    };
    let done = done.await;
    visit.answer(done).await
}

async fn try_rotate(visit: &Visit, form: &RotateForm) -> Result<Response, Failure> {
    let (house, opened) = (visit.house()?, &visit.opened);
    if opened.is_token() {
        return Err(Failure::Said("token-not-here"));
    }
    let length = TimeDelta::try_hours(form.overlap).ok_or(Failure::BadForm)?;
    let overlap = Overlap::new(length).map_err(|_| Failure::BadForm)?;
    let attempt = code(form.otp.as_ref())?;
    see_proof(opened, attempt.as_ref())?;
    if (opened.needs_otp || attempt.is_some()) && !opened.trusts_factor() {
        return Err(Failure::Said(if opened.owner.is_enrolled {
            "otp-new"
        } else {
            "otp-missing"
        }));
    }
    let random = random::bytes().map_err(|error| failure::internal(error.into()))?;
    let mint = Mint { brand: house.brand, keyring: &house.keyring, random: &random };
    // One link or session, one rotation: of two that come at once, one wins.
    let door = match &opened.door {
        Door::Link { link, .. } => format!("link {}", link.id),
        Door::Session { session, .. } => format!("session {}", session.id),
    };
    let (scope, key) = (format!("{door} {}", opened.view.public_id), "rotate");
    let request = Request {
        public_id: &opened.view.public_id,
        overlap: Some(overlap),
        proof: attempt.as_ref().map_or(Proof::Nothing, Proof::Otp),
        version: None,
        once: Some(Once { scope: &scope, key, request: key }),
    };
    let (db, actor) = (&house.db, opened.actor());
    let rotated = rotation::rotate(db, &opened.policies, &actor, &mint, &request).await?;
    match &rotated.token {
        Some(token) => Ok(show::secret(visit, &rotated.done, token.expose())),
        None => Err(Failure::Said("conflict")),
    }
}

/// The code that was typed, if one was.
fn code(typed: Option<&SecretString>) -> Result<Option<Attempt>, Failure> {
    let typed = typed.map(|otp| otp.expose_secret()).filter(|otp| !otp.is_empty());
    typed.map(Attempt::parse).transpose().map_err(|_| Failure::Said("no-code"))
}

/// What the policy says of a link to an expired key: whether it is proof enough, alone or with a code
/// where one is required; or else whether a code makes it one.
fn see_proof(opened: &Opened, code: Option<&Attempt>) -> Result<(), Failure> {
    let view = &opened.view;
    let Some(key) = view.governed() else { return Ok(()) };
    let policy = opened.policies.of_key(&key);
    if view.state_word(opened.now) != "expired" || policy.takes(WindowProof::MailLink) {
        return Ok(());
    }
    match (policy.takes(WindowProof::Otp), code) {
        (true, Some(_)) => Ok(()),
        (true, None) if opened.owner.is_enrolled => Err(Failure::Said("otp-required")),
        (true, None) => Err(Failure::Said("otp-missing")),
        (false, _) => Err(Failure::Said("not-by-link")),
    }
}

#[derive(Deserialize)]
pub(super) struct StopForm {
    name: String,
    otp: Option<SecretString>,
}

/// `POST /k/{token}/{id}/stop`: the key is ended for good.
pub(super) async fn stop(visit: Visit, sent: Result<Form<StopForm>, FormRejection>) -> Response {
    let done = async {
        let (form, opened) = (form(sent)?, &visit.opened);
        if form.name.trim() != opened.view.name.trim() {
            return Err(Failure::Said("stop-wrong"));
        }
        let (house, actor, attempt) = (visit.house()?, opened.actor(), code(form.otp.as_ref())?);
        let who = Who::Owner(Person {
            actor: &actor,
            owner_id: opened.owner.id,
            keyring: &house.keyring,
            code: attempt.as_ref(),
        });
        let (policies, reason) = (&opened.policies, Some("its owner stopped it"));
        key_changes::revoke(&house.db, policies, who, &opened.view.public_id, reason).await?;
        Ok(show::stopped(&visit))
    };
    let done = done.await;
    visit.answer(done).await
}

/// `POST /k/{token}/{id}/lapse`: the key is no longer needed, and its owner is reminded no more.
pub(super) async fn lapse(visit: Visit) -> Response {
    let done = async {
        let opened = &visit.opened;
        // A new secret was asked for after this link was sent.
        if opened.is_used {
            return show::key(&visit, None).await;
        }
        let (db, policies, who) = (&visit.house()?.db, &opened.policies, opened.actor());
        key_changes::let_lapse(db, policies, &who, &opened.view.public_id).await?;
        Ok(show::lapsing(&visit))
    };
    let done = done.await;
    visit.answer(done).await
}

/// `POST /k/{token}/{id}/resume`: a key that was suspended because nothing used it goes on. Whoever
/// sends the form again is told how the key stands.
pub(super) async fn resume(visit: Visit) -> Response {
    let done = async {
        let opened = &visit.opened;
        let (db, policies, who) = (&visit.house()?.db, &opened.policies, opened.actor());
        match suspension::resume(db, policies, &who, &opened.view.public_id).await {
            Ok(()) => Ok(show::resumed(&visit)),
            Err(KeyError::Suspension(SuspensionError::Not)) => show::key(&visit, None).await,
            Err(KeyError::Suspension(_)) => Err(Failure::Said("what-suspended")),
            Err(error) => Err(error.into()),
        }
    };
    let done = done.await;
    visit.answer(done).await
}

/// `POST /k/{token}/again`: a new mail with a new link, if there is anything to open; the answer is
/// the same if not.
pub(super) async fn again(
    State(pages): State<Pages>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    let language = Language::of(&headers);
    let done = async {
        let db = &pages.house()?.db;
        if let Ok(token) = LinkToken::parse(&token)
            && let Some(link) = links::find(db, &token).await?
        {
            links::ask_again(db, &link).await?;
        }
        Ok(show::again(language))
    };
    done.await.unwrap_or_else(|failure| refuse(language, &token, failure))
}
