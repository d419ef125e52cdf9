//! What is round every page, and the small pieces all are made of.

use std::sync::LazyLock;

use axum::{
    Router,
    http::{HeaderMap, header},
    response::{Html, IntoResponse as _, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use fluent_bundle::FluentArgs;
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest as _, Sha256};

use crate::http::{
    admin::{approvals, visit::Visit},
    pages::words::Language,
    v1::auth::{Audit, Demand as _},
};

const STYLE: &str = concat!(include_str!("../palette.css"), include_str!("style.css"));

/// Where the style is: a path that changes with it, so that it can be kept for ever.
static STYLE_PATH: LazyLock<String> = LazyLock::new(|| {
    let hash = Sha256::digest(STYLE);
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("/assets/admin-{hash}.css")
});

/// The sections, in the order of the navigation: where they are, and the name of their message.
const SECTIONS: [(&str, &str); 7] = [
    ("/admin", "admin-overview"),
    ("/admin/keys", "admin-keys"),
    ("/admin/owners", "admin-owners"),
    ("/admin/policies", "admin-policies"),
    ("/admin/notices", "admin-notices"),
    (approvals::PATH, "admin-approvals"),
    ("/admin/audit", "admin-audit"),
];

pub(super) fn style() -> Router {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Router::new().route(&STYLE_PATH, get(move || async move { (headers, STYLE) }))
}

/// The language a browser asks for.
pub(super) fn language(headers: &HeaderMap) -> Language {
    Language::of(headers)
}

/// A whole page of `section`, which is where it is in the navigation.
pub(super) fn page(
    language: Language,
    visit: Option<&Visit>,
    title: &str,
    section: &str,
    body: &Markup,
) -> Response {
    let say = |id: &str| language.say(id);
    let page = html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " – lapsed" }
                link rel="stylesheet" href=(*STYLE_PATH);
            }
            body {
                a.skip href="#main" { (say("admin-skip")) }
                header {
                    div.bar {
                        a.brand href="/admin" { "lapsed" }
                        @if let Some(visit) = visit { (who(visit)) }
                    }
                    @if let Some(visit) = visit { (navigation(visit, section)) }
                }
                main #main {
                    h1 { (title) }
                    (body)
                }
            }
        }
    };
    Html(page.into_string()).into_response()
}

fn who(visit: &Visit) -> Markup {
    html! {
        form.who method="post" action="/admin/sign-out" {
            span { (visit.caller.role) " · " (visit.caller.tenant.as_ref().map_or_else(|| visit.say("admin-everywhere"), |(slug, _)| slug.clone())) }
            (secret(visit))
            button.plain { (visit.say("admin-sign-out")) }
        }
    }
}

fn navigation(visit: &Visit, section: &str) -> Markup {
    html! {
        nav aria-label=(visit.say("admin-sections")) {
            @for (path, id) in SECTIONS {
                @if path != "/admin/audit" || visit.may(Audit::ROLES) {
                    a href=(path) aria-current=[(path == section).then_some("page")] { (visit.say(id)) }
                }
            }
        }
    }
}

/// The page of a visitor.
pub(super) fn of(visit: &Visit, title: &str, section: &str, body: &Markup) -> Response {
    page(visit.language, Some(visit), title, section, body)
}

/// What proves that a form is one of this session's.
pub(super) fn secret(visit: &Visit) -> Markup {
    html! { input type="hidden" name="csrf" value=(visit.form_token); }
}

/// An instant, in UTC.
pub(super) fn at(at: DateTime<Utc>) -> Markup {
    html! {
        time datetime=(at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)) {
            (at.format("%Y-%m-%d %H:%M"))
        }
    }
}

/// An instant, or the message called `none`.
pub(super) fn maybe_at(visit: &Visit, instant: Option<DateTime<Utc>>, none: &str) -> Markup {
    match instant {
        Some(instant) => at(instant),
        None => html! { (visit.say(none)) },
    }
}

/// The message called `id` about `n` things.
pub(super) fn count(visit: &Visit, id: &str, n: u64) -> String {
    let mut args = FluentArgs::new();
    args.set("n", n);
    visit.language.say_of(id, Some(&args))
}

/// A key's state, in words and colour.
pub(super) fn state(visit: &Visit, word: &str) -> Markup {
    html! { span class={ "tag " (word) } { (visit.say(&format!("admin-state-{word}"))) } }
}

/// Where a listing goes on, with all that its address asked for.
pub(super) fn more(visit: &Visit, next: Option<String>) -> Markup {
    html! { @if let Some(next) = next { p { a.button href=(next) rel="next" { (visit.say("admin-more")) } } } }
}
