//! The first set-up of a second factor, by an owner whose key has not expired yet: after that, a
//! mailbox alone must not be enough to get round it.

use axum::{Form, extract::rejection::FormRejection, http::StatusCode, response::Response};
use maud::html;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::{
    domain::otp::{Attempt, N_RECOVERY_CODES, RecoveryCode, Seed},
    http::pages::{
        failure::{self, Failure},
        open::{Opened, Visit, form},
        shell,
    },
    qr, random,
    store::otp,
};

/// `POST /k/{token}/{id}/otp`: a new seed, as a QR code.
pub(super) async fn begin(visit: Visit) -> Response {
    let done = async {
        let (house, opened, language) = (visit.house()?, may_enrol(&visit)?, visit.language);
        let drawn = random::bytes().and_then(|seed| Ok((Seed::new(seed), random::bytes()?)));
        let (seed, nonce) = drawn.map_err(|error| failure::internal(error.into()))?;
        let (db, keyring, owner) = (&house.db, &house.keyring, &opened.owner);
        otp::begin(db, keyring, &opened.actor(), owner, (&seed, &nonce)).await?;
        let uri = seed.uri(&format!("lapsed {}", owner.tenant), &owner.email);
        let uri = uri.ok_or_else(|| failure::internal(anyhow::anyhow!("a seed has no URI")))?;
        let code = qr::path(uri.expose_secret());
        let (side, path) = code.map_err(|error| failure::internal(error.into()))?;
        let say = |id: &str| language.say(id);
        let picture = html! {
            p { (say("otp-scan")) }
            svg.qr role="img" aria-label="QR" viewBox={ "0 0 " (side) " " (side) }
                shape-rendering="crispEdges" { path d=(path) fill="#000" {} }
            pre { code { (in_fours(seed.base32().expose_secret())) } }
        };
        Ok(code_page(&visit, Some(picture), None))
    };
    let done = done.await;
    visit.answer(done).await
}

/// Letters as they are typed without losing one's place. Authenticators take them with the blanks.
fn in_fours(letters: &str) -> String {
    let letters: Vec<char> = letters.chars().collect();
    letters.chunks(4).map(String::from_iter).collect::<Vec<_>>().join(" ")
}

#[derive(Deserialize)]
pub(super) struct ConfirmForm {
    otp: SecretString,
}

/// `POST /k/{token}/{id}/otp/confirm`: the seed counts, now that a code of it was typed.
pub(super) async fn confirm(
    visit: Visit,
    sent: Result<Form<ConfirmForm>, FormRejection>,
) -> Response {
    let done = async { try_confirm(&visit, &form(sent)?).await };
    let done = match done.await {
        Err(failure) if failure.is_said() => Ok(code_page(&visit, None, Some(&failure))),
        done => done,
    };
    visit.answer(done).await
}

async fn try_confirm(visit: &Visit, form: &ConfirmForm) -> Result<Response, Failure> {
    let (house, opened, language) = (visit.house()?, may_enrol(visit)?, visit.language);
    let attempt = Attempt::parse(form.otp.expose_secret());
    let attempt = attempt.map_err(|_| Failure::Said("no-code"))?;
    let codes: Result<Vec<_>, _> =
        (0..N_RECOVERY_CODES).map(|_| random::bytes().map(RecoveryCode::new)).collect();
    let codes = codes.map_err(|error| failure::internal(error.into()))?;
    let (db, keyring, who) = (&house.db, &house.keyring, opened.actor());
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

/// The key, if its owner may set up a second factor by this link.
fn may_enrol(visit: &Visit) -> Result<&Opened, Failure> {
    let opened = &visit.opened;
    if opened.is_token() {
        return Err(Failure::Said("token-not-here"));
    }
    if opened.is_used || !opened.is_active() {
        return Err(Failure::Said("otp-late"));
    }
    Ok(opened)
}

fn code_page(visit: &Visit, picture: Option<maud::Markup>, failure: Option<&Failure>) -> Response {
    let (language, opened) = (visit.language, &visit.opened);
    let say = |id: &str| language.say(id);
    let body = html! {
        @if let Some(failure) = failure {
            section.error role="alert" { p { (failure.sentence(language, opened.zone())) } }
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
    let status = failure.map_or(StatusCode::OK, Failure::status);
    shell::page(language, status, &say("otp-title"), &body)
}
