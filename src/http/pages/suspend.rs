//! "This was not me": the owner of a key that somebody else rotated has it suspended.
//!
//! It takes nothing away for good, so it asks for nothing but a click; only an administrator lifts
//! it, since the owner's mailbox may be in the hands of whoever rotated the key.

use axum::{http::StatusCode, response::Response};
use maud::{Markup, html};

use crate::{
    domain::{
        stage::Stage,
        suspension::{Cause, SuspensionError, may_suspend},
    },
    http::pages::{
        failure::Failure,
        open::{Alarmed, Door, Opened, Visit},
        shell, show,
    },
    store::{keys::KeyError, suspension},
};

/// `GET /k/{token}/{id}/suspend`: what it would do, or why it is not done.
pub(super) async fn ask(Alarmed(visit): Alarmed) -> Response {
    page(&visit, StatusCode::OK)
}

/// `POST /k/{token}/{id}/suspend`
pub(super) async fn suspend(Alarmed(visit): Alarmed) -> Response {
    let done = async {
        let opened = &visit.opened;
        let which = (opened.view.public_id.as_str(), None);
        let (reason, seen_at) = (Some("its owner disowned a rotation"), opened.link_made_at());
        let db = &visit.house()?.db;
        match suspension::suspend(db, &opened.actor(), which, reason, Some(seen_at)).await {
            // Whoever sends the form again is told the same.
            Ok(()) | Err(KeyError::Suspension(SuspensionError::Already)) => {
                Ok::<_, Failure>(suspended(&visit))
            }
            // The page says why: it was lifted since, or the key is over.
            Err(KeyError::Suspension(_)) => Ok(page(&visit, StatusCode::CONFLICT)),
            Err(error) => Err(error.into()),
        }
    };
    let done = done.await;
    visit.answer(done).await
}

/// Whether the owner may say so of the key by this link.
fn allowed(opened: &Opened) -> Result<(), SuspensionError> {
    match &opened.view.key {
        Ok(key) => {
            let cause = opened.view.suspended_for.unwrap_or(Cause::Asked);
            may_suspend(key, cause, opened.view.unsuspended_at, opened.link_made_at())
        }
        // Such a key is nobody's to change.
        Err(_) => Err(SuspensionError::Not),
    }
}

/// What it does, and the button.
fn offer(visit: &Visit) -> Markup {
    let (opened, say) = (&visit.opened, |id: &str| visit.language.say(id));
    html! {
        p { (say("suspend-note")) }
        @if opened.is_used { p { (say("suspend-since")) } }
        form method="post" action={ (opened.path()) "/suspend" } {
            button.bad { (say("suspend")) }
        }
    }
}

fn title(visit: &Visit) -> String {
    visit.language.say_with("suspend-title", "name", &visit.opened.view.name)
}

/// The same on the key's own page, where a mail told of a rotation.
pub(super) fn section(visit: &Visit) -> Markup {
    let opened = &visit.opened;
    let is_told = matches!(opened.door, Door::Link { stage: Stage::Rotated, .. });
    let is_offered = is_told && allowed(opened).is_ok();
    html! {
        @if is_offered { section { h2 { (title(visit)) } (offer(visit)) } }
    }
}

fn page(visit: &Visit, status: StatusCode) -> Response {
    let (language, opened) = (visit.language, &visit.opened);
    let say = |id: &str| language.say(id);
    let body = html! {
        section {
            @match allowed(opened) {
                Ok(()) => (offer(visit)),
                Err(SuspensionError::Revoked) => p { (say("what-revoked")) },
                Err(SuspensionError::Already) => p { (say("what-suspended")) },
                Err(SuspensionError::LiftedSince { .. }) => p { (say("suspend-late")) },
                Err(SuspensionError::Not | SuspensionError::NotTheirs) => p { (say("damaged")) },
            }
            dl { dt { (say("id")) } dd { code { (opened.view.public_id) } } }
        }
    };
    shell::page(language, status, &title(visit), &body)
}

fn suspended(visit: &Visit) -> Response {
    let say = |id: &str| visit.language.say(id);
    let body = html! { section { p { (say("suspended-note")) } } };
    show::done(visit, "suspended-title", &body)
}
