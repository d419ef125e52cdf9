//! The first set-up of a second factor, by an owner whose key has not expired yet: after that, a
//! mailbox alone must not be enough to get round it.

use axum::{
    Form,
    extract::{Path, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use maud::html;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::{
    domain::otp::{Attempt, N_RECOVERY_CODES, RecoveryCode, Seed},
    http::pages::{
        House, Pages,
        act::actor,
        failure::{self, Failure},
        open::{Opened, answer, open},
        shell,
        words::Language,
    },
    qr, random,
    store::otp,
};

/// `POST /k/{token}/{id}/otp`: a new seed, as a QR code.
pub(super) async fn begin(
    State(pages): State<Pages>,
    Path((token, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let language = Language::of(&headers);
    let done = async {
        let house = pages.house()?;
        let opened = may_enrol(house, &token, &id).await?;
        let drawn = random::bytes().and_then(|seed| Ok((Seed::new(seed), random::bytes()?)));
        let (seed, nonce) = drawn.map_err(|error| failure::internal(error.into()))?;
        let (db, keyring, owner) = (&house.db, &house.keyring, &opened.owner);
        otp::begin(db, keyring, &actor(&opened), owner, (&seed, &nonce)).await?;
        let uri = seed.uri(&format!("lapsed {}", owner.tenant), &owner.email);
        let uri = uri.ok_or_else(|| failure::internal(anyhow::anyhow!("a seed has no URI")))?;
        let code = qr::path(uri.expose_secret());
        let (side, path) = code.map_err(|error| failure::internal(error.into()))?;
        let say = |id: &str| language.say(id);
        let picture = html! {
            p { (say("otp-scan")) }
            svg.qr role="img" aria-label="QR" viewBox={ "0 0 " (side) " " (side) }
                shape-rendering="crispEdges" { path d=(path) fill="#000" {} }
            pre { code { (seed.base32().expose_secret()) } }
        };
        Ok(code_page(language, &opened, Some(picture), None))
    };
    answer(language, &token, done.await)
}

#[derive(Deserialize)]
pub(super) struct ConfirmForm {
    otp: SecretString,
}

/// `POST /k/{token}/{id}/otp/confirm`: the seed counts, now that a code of it was typed.
pub(super) async fn confirm(
    State(pages): State<Pages>,
    Path((token, id)): Path<(String, String)>,
    headers: HeaderMap,
    form: Result<Form<ConfirmForm>, FormRejection>,
) -> Response {
    let language = Language::of(&headers);
    let done = async {
        let Form(form) = form.map_err(|_| Failure::BadForm)?;
        let house = pages.house()?;
        let opened = may_enrol(house, &token, &id).await?;
        match try_confirm(house, language, &opened, &form).await {
            Err(failure @ (Failure::Said(_) | Failure::SaidUntil(..))) => {
                Ok(code_page(language, &opened, None, Some(&failure)))
            }
            result => result,
        }
    };
    answer(language, &token, done.await)
}

async fn try_confirm(
    house: &House,
    language: Language,
    opened: &Opened,
    form: &ConfirmForm,
) -> Result<Response, Failure> {
    let attempt = Attempt::parse(form.otp.expose_secret());
    let attempt = attempt.map_err(|_| Failure::Said("no-code"))?;
    let codes: Result<Vec<_>, _> =
        (0..N_RECOVERY_CODES).map(|_| random::bytes().map(RecoveryCode::new)).collect();
    let codes = codes.map_err(|error| failure::internal(error.into()))?;
    let (db, keyring, who) = (&house.db, &house.keyring, actor(opened));
    otp::confirm(db, keyring, &who, &opened.owner, &attempt, &codes).await?;
    let say = |id: &str| language.say(id);
    let body = html! {
        section {
            p { (say("otp-recovery")) }
            pre { code { @for code in &codes { (code.grouped().expose_secret()) "\n" } } }
            p { a href=(opened.path()) { (say("to-key")) } }
        }
    };
    Ok(shell::page(language, StatusCode::OK, &say("otp-done"), &body))
}

/// Opens the key, if its owner may set up a second factor by this link.
async fn may_enrol(house: &House, token: &str, id: &str) -> Result<Opened, Failure> {
    let opened = open(house, token, id).await?;
    if opened.linked.is_used || !opened.is_active() {
        return Err(Failure::Said("otp-late"));
    }
    Ok(opened)
}

fn code_page(
    language: Language,
    opened: &Opened,
    picture: Option<maud::Markup>,
    failure: Option<&Failure>,
) -> Response {
    let say = |id: &str| language.say(id);
    let body = html! {
        @if let Some(failure) = failure {
            section.error role="alert" { p { (failure.sentence(language)) } }
        }
        section {
            @if let Some(picture) = picture { (picture) }
            form method="post" action={ (opened.path()) "/otp/confirm" } {
                p { (say("otp-confirm")) }
                label for="otp" { (say("otp")) }
                input #otp type="text" name="otp" required autocomplete="one-time-code"
                    inputmode="numeric" spellcheck="false";
                button { (say("otp-finish")) }
            }
        }
    };
    let status = if failure.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    shell::page(language, status, &say("otp-title"), &body)
}
