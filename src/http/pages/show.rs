//! The owner's pages, as they are written.

use axum::{http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use crate::{
    domain::{
        link::LinkToken,
        suspension::{Cause, may_resume},
    },
    http::{
        House,
        pages::{
            failure::Failure,
            mine,
            open::{Door, Opened, Visit},
            shell, suspend, usage, wish,
            words::Language,
        },
    },
    store::{last_use, rotation::Done},
};

/// Hours of overlap that can be chosen, with the name of their message.
const OVERLAPS: [(i64, &str); 4] =
    [(0, "overlap-0"), (1, "overlap-1"), (24, "overlap-24"), (168, "overlap-168")];

/// An instant in the owner's time zone.
pub(super) fn at(opened: &Opened, at: DateTime<Utc>) -> String {
    at.with_timezone(&opened.zone()).format("%Y-%m-%d %H:%M %Z").to_string()
}

/// A key's page; with what went wrong, if a form was sent.
pub(super) async fn key(visit: &Visit, failure: Option<&Failure>) -> Result<Response, Failure> {
    let (language, opened) = (visit.language, &visit.opened);
    let first_use = last_use::first_use(visit.house()?.db.conn(), opened.id()).await?;
    let body = html! {
        @if let Some(failure) = failure {
            section.error role="alert" { p { (failure.sentence(language, opened.zone())) } }
        }
        (facts(language, opened))
        @match &opened.door {
            Door::Link { token, .. } => (by_link(visit, token, first_use)),
            Door::Session { .. } => (mine::deeds(visit, first_use)),
        }
    };
    let status = failure.map_or(StatusCode::OK, Failure::status);
    Ok(shell::page(language, status, &opened.view.name, &body))
}

/// What can be done by a link.
fn by_link(visit: &Visit, token: &LinkToken, first_use: Option<DateTime<Utc>>) -> Markup {
    let (language, opened) = (visit.language, &visit.opened);
    let say = |id: &str| language.say(id);
    let state = opened.view.state_word(opened.now);
    html! {
        @if is_resumable(opened) { (resume(language, opened)) }
        (suspend::section(visit))
        @if opened.is_used {
            section {
                h2 { (say("used-title")) }
                (usage::line(language, opened, first_use, "look-again"))
                p { (say("used-note")) }
                form method="post" action={ "/k/" (token.expose()) "/again" } {
                    button { (say("again")) }
                }
            }
        } @else if state == "active" || state == "expired" {
            (rotate(language, opened))
            @if opened.view.expires_at.is_some() { (unneeded(language, opened)) }
            @if opened.view.expires_at.is_some() && state == "active" { (reminders(visit)) }
        }
        @if !opened.is_used && opened.owner.n_keys > 1 { (mine::offer(language, token)) }
        @if state != "revoked" { (stop(language, opened)) }
    }
}

fn facts(language: Language, opened: &Opened) -> Markup {
    let say = |id: &str| language.say(id);
    let view = &opened.view;
    let state = view.state_word(opened.now);
    let (state_words, what) = match state {
        "active" if view.expires_at.is_none() => ("active", "what-never"),
        "active" => ("active", "what-active"),
        "expired" => ("window", "what-window"),
        "suspended" if is_resumable(opened) => ("suspended", "what-unused"),
        "suspended" => ("suspended", "what-suspended"),
        "revoked" => ("revoked", "what-revoked"),
        _ => ("damaged", "damaged"),
    };
    html! {
        section {
            dl {
                dt { (say("state")) } dd { (say(state_words)) }
                @let is_ahead = view.expires_at.is_none_or(|end| opened.now < end);
                dt { (say(if is_ahead { "expires" } else { "expired" })) }
                dd { (view.expires_at.map_or_else(|| say("never"), |end| at(opened, end))) }
                @if let Some(end) = back_until(opened, state) {
                    dt { (say("back-until")) } dd { (at(opened, end)) }
                }
                dt { (say("where")) } dd { bdi { (view.tenant.1) } " / " bdi { (view.environment.1) } }
                dt { (say("id")) } dd { code { (view.public_id) } }
                dt { (say("last-used")) }
                dd { (view.last_used_at.map_or_else(|| say("not-used"), |used| at(opened, used))) }
            }
            p { (say(what)) }
        }
    }
}

/// Until when the key can be brought back after its expiry. Before it, that is what its policy of now
/// promises, as in mails.
fn back_until(opened: &Opened, state: &str) -> Option<DateTime<Utc>> {
    let view = &opened.view;
    let key = view.key.as_ref().ok().filter(|_| state == "active" || state == "expired")?;
    if view.window_ends_at.is_some() || key.ends_with_access() {
        return view.window_ends_at;
    }
    let window = opened.policies.of_key(&view.governed()?).window();
    view.expires_at.filter(|_| !window.is_zero()).map(|end| end + window)
}

/// How a key that can be rotated is rotated, or why not.
pub(super) fn rotate(language: Language, opened: &Opened) -> Markup {
    let say = |id: &str| language.say(id);
    let is_active = opened.is_active();
    let must_enrol = opened.needs_otp && !opened.owner.is_enrolled;
    html! {
        section {
            h2 { (say("rotate-title")) }
            @if opened.is_token() {
                p { (say("token-not-here")) }
            } @else if opened.needs_otp && !must_enrol && !opened.trusts_factor() {
                p { (say("otp-new")) }
            } @else if must_enrol {
                p { (say("otp-missing")) }
                @if let Door::Session { .. } = opened.door {
                    p { (say("mine-otp")) }
                } @else if is_active {
                    form method="post" action={ (opened.path()) "/otp" } {
                        button { (say("otp-begin")) }
                    }
                } @else {
                    p { (say("otp-late")) }
                }
            } @else {
                form method="post" action={ (opened.path()) "/rotate" } {
                    @if let Door::Session { token, .. } = &opened.door { (mine::proof(token)) }
                    @if is_active {
                        fieldset {
                            legend { (say("overlap")) }
                            @for (hours, words) in overlaps(language, opened.overlap) {
                                label {
                                    input type="radio" name="overlap" value=(hours) checked[hours == opened.overlap.0];
                                    (words)
                                }
                            }
                            p.soft { (say("overlap-note")) }
                        }
                    }
                    @if opened.needs_otp {
                        label for="otp" { (say("otp")) }
                        input #otp type="text" name="otp" required autocomplete="one-time-code"
                            autocapitalize="characters" spellcheck="false" aria-describedby="otp-note";
                        p #otp-note .soft { (say("otp-note")) }
                    }
                    button { (say("rotate")) }
                }
            }
        }
    }
}

/// The overlaps an owner can choose from: the usual ones that are allowed, and the policy's own.
fn overlaps(language: Language, (usual, longest): (i64, i64)) -> Vec<(i64, String)> {
    let allowed = OVERLAPS.iter().filter(|(hours, _)| *hours <= longest);
    let mut all: Vec<_> = allowed.map(|(hours, id)| (*hours, language.say(id))).collect();
    if all.iter().all(|(hours, _)| *hours != usual) {
        all.push((usual, language.say_with("overlap-hours", "hours", &usual.to_string())));
        all.sort_unstable();
    }
    all
}

/// Whether its owner may let the key go on, which was suspended because nothing used it.
fn is_resumable(opened: &Opened) -> bool {
    let cause = opened.view.suspended_for.unwrap_or(Cause::Asked);
    opened.view.key.as_ref().is_ok_and(|key| may_resume(key, cause).is_ok())
}

fn resume(language: Language, opened: &Opened) -> Markup {
    let say = |id: &str| language.say(id);
    html! {
        section {
            h2 { (say("resume-title")) }
            p { (say("resume-note")) }
            form method="post" action={ (opened.path()) "/resume" } {
                button { (say("resume")) }
            }
        }
    }
}

/// The page of a key that goes on.
pub(super) fn resumed(visit: &Visit) -> Response {
    let say = |id: &str| visit.language.say(id);
    let body = html! {
        section {
            p { (say("resumed-note")) }
            p { a href=(visit.opened.path()) { (say("to-key")) } }
        }
    };
    done(visit, "resumed-title", &body)
}

fn unneeded(language: Language, opened: &Opened) -> Markup {
    let say = |id: &str| language.say(id);
    html! {
        section {
            h2 { (say("lapse-title")) }
            p { (say("lapse-note")) }
            form method="post" action={ (opened.path()) "/lapse" } {
                button.plain { (say("lapse")) }
            }
        }
    }
}

fn reminders(visit: &Visit) -> Markup {
    html! {
        section {
            h2 { (visit.language.say("reminders-title")) }
            p { (visit.language.say("reminders-note")) }
            (wish::pointer(visit.language, &visit.pages, &visit.opened.owner))
        }
    }
}

/// The page of a key that nobody needs any more.
pub(super) fn lapsing(visit: &Visit) -> Response {
    let (language, opened) = (visit.language, &visit.opened);
    let end = if opened.is_active() { opened.view.expires_at } else { opened.view.window_ends_at };
    let id = if opened.is_active() { "lapsing-active" } else { "lapsing-window" };
    let end = end.map(|end| at(opened, end)).unwrap_or_default();
    let body = html! {
        section {
            p { (language.say_with(id, "at", &end)) }
            p { a href=(opened.path()) { (language.say("to-key")) } }
        }
    };
    done(visit, "lapsing-title", &body)
}

/// The page of what was done to a key, which its title names: there may be several.
pub(super) fn done(visit: &Visit, title: &str, body: &Markup) -> Response {
    let title = visit.language.say_with(title, "name", &visit.opened.view.name);
    shell::page(visit.language, StatusCode::OK, &title, body)
}

fn stop(language: Language, opened: &Opened) -> Markup {
    let say = |id: &str| language.say(id);
    html! {
        section {
            h2 { (say("stop-title")) }
            p { (say("stop-note")) }
            @if opened.stop_needs_otp && !opened.owner.is_enrolled {
                p { (say("otp-stop-missing")) }
                @if opened.is_active() && !opened.is_token() && !opened.is_used {
                    form method="post" action={ (opened.path()) "/otp" } {
                        button { (say("otp-begin")) }
                    }
                }
            } @else {
                form method="post" action={ (opened.path()) "/stop" } {
                    label for="name" { (language.say_with("stop-type", "name", &opened.view.name)) }
                    input #name type="text" name="name" required autocomplete="off" spellcheck="false";
                    @if opened.stop_needs_otp {
                        label for="stop-otp" { (say("otp")) }
                        input #stop-otp type="text" name="otp" required autocomplete="one-time-code"
                            autocapitalize="characters" spellcheck="false" aria-describedby="stop-otp-note";
                        p #stop-otp-note .soft { (say("otp-note")) }
                    }
                    button.bad { (say("stop")) }
                }
            }
        }
    }
}

/// The one page that shows a new secret.
pub(super) fn secret(visit: &Visit, done: &Done, secret: &str) -> Response {
    let (language, opened) = (visit.language, &visit.opened);
    // Whoever came by a link came to an installation that knows where its pages are, unless that
    // was taken out of the configuration a moment ago.
    let own = visit.house().ok().and_then(House::public_url);
    let say = |id: &str| language.say(id);
    let body = html! {
        section {
            p { (say("secret-note")) }
            label for="secret" { (say("secret")) }
            input.secret #secret type="text" readonly value=(secret) autocomplete="off" spellcheck="false";
            button type="button" hidden data-copy="secret" data-done=(say("copied")) { (say("copy")) }
        }
        section {
            @if let Some(own) = own {
                h2 { (say("try")) }
                p { (say("try-note")) }
                pre { code { "curl -H \"Authorization: Bearer " (secret) "\" " (own) "/v1/self" } }
            }
            dl {
                dt { (say("new-expiry")) }
                dd { (done.expires_at.map_or_else(|| say("never"), |end| at(opened, end))) }
                @if done.rotated_at < done.old_valid_until {
                    dt { (say("old-until")) } dd { (at(opened, done.old_valid_until)) }
                }
            }
            @if done.old_valid_until <= done.rotated_at { p { (say("old-dead")) } }
            (usage::line(language, opened, None, "see-use"))
        }
    };
    self::done(visit, "secret-title", &body)
}

/// The page of a key that has been stopped.
pub(super) fn stopped(visit: &Visit) -> Response {
    let say = |id: &str| visit.language.say(id);
    let body = html! {
        section {
            p { (say("stopped")) }
            p { a href=(visit.opened.path()) { (say("to-key")) } }
        }
    };
    done(visit, "stopped-title", &body)
}

/// The page of a link that is good for nothing, whatever the reason.
pub(super) fn gone(language: Language, token: &str) -> Response {
    let body = html! {
        section {
            p { (language.say("gone-note")) }
            form method="post" action={ "/k/" (token) "/again" } {
                button { (language.say("again")) }
            }
        }
    };
    shell::page(language, StatusCode::GONE, &language.say("gone-title"), &body)
}

/// The answer to whoever asked for a new link: always the same.
pub(super) fn again(language: Language) -> Response {
    let body = html! { section { p { (language.say("again-note")) } } };
    shell::page(language, StatusCode::OK, &language.say("again-title"), &body)
}
