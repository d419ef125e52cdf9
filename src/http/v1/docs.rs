//! `/docs`: the document as a page for people. It is made once, here, and loads nothing but its
//! own style, so it can be read where there is no other network.

use axum::{
    Router,
    http::{HeaderValue, header},
    response::Html,
    routing::get,
};
use maud::{DOCTYPE, Markup, html};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::http::v1::api::Api;

mod operation;
mod schema;

const STYLE: &str = include_str!("docs/style.css");
/// What the page may load and do: its own style.
const POLICY: &str = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; \
                      base-uri 'none'; form-action 'none'";

/// The page, and its style at a path that changes with it.
pub(super) fn router(document: &utoipa::openapi::OpenApi) -> Router<Api> {
    let hash: String =
        Sha256::digest(STYLE).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let style_path = format!("/docs/{hash}.css");
    let document = serde_json::to_value(document).unwrap_or_default();
    // Written once: it never changes.
    let page: &'static str = page(&document, &style_path).into_string().leak();
    let policy = [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))];
    let kept = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Router::new()
        .route("/docs", get(move || async move { (policy, Html(page)) }))
        .route(&style_path, get(move || async move { (kept, STYLE) }))
}

/// A group of routes that are about one thing.
struct Group<'a> {
    name: &'a str,
    /// Method, path and what the document says of them.
    operations: Vec<(&'a str, &'a str, &'a Value)>,
}

impl Group<'_> {
    /// What links to the group.
    fn anchor(&self) -> String {
        self.name.replace(' ', "-")
    }
}

fn groups(document: &Value) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let name = operation["tags"][0].as_str().unwrap_or("other");
            let entry = (method.as_str(), path.as_str(), operation);
            match groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.operations.push(entry),
                None => groups.push(Group { name, operations: vec![entry] }),
            }
        }
    }
    groups
}

fn page(document: &Value, style_path: &str) -> Markup {
    let info = &document["info"];
    let title = info["title"].as_str().unwrap_or_default();
    let version = info["version"].as_str().unwrap_or_default();
    let groups = groups(document);
    let schemas = document["components"]["schemas"].as_object();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { "The API of " (title) " " (version) }
                link rel="stylesheet" href=(style_path);
            }
            body {
                nav aria-label="contents" {
                    h1 { (title) " " span.soft { (version) } }
                    p { a href="/openapi.json" { "openapi.json" } }
                    @for group in &groups {
                        h2 { a href={ "#" (group.anchor()) } { (group.name) } }
                        ul {
                            @for (method, path, operation) in &group.operations {
                                li {
                                    a href={ "#" (operation::anchor(method, path)) } {
                                        (operation::title(operation))
                                    }
                                }
                            }
                        }
                    }
                    h2 { a href="#schemas" { "schemas" } }
                }
                main {
                    (prose(info["description"].as_str().unwrap_or_default()))
                    @for group in &groups {
                        h2 id=(group.anchor()) { (group.name) }
                        @for (method, path, operation) in &group.operations {
                            (operation::section(document, method, path, operation))
                        }
                    }
                    h2 id="schemas" { "schemas" }
                    @for (name, described) in schemas.into_iter().flatten() {
                        section id={ "schema-" (name) } {
                            h3 { (name) }
                            (prose(described["description"].as_str().unwrap_or_default()))
                            (schema::fields(described))
                        }
                    }
                }
            }
        }
    }
}

/// A description: paragraphs, in which backticks set code off.
fn prose(text: &str) -> Markup {
    html! {
        @for paragraph in text.split("\n\n").filter(|text| !text.trim().is_empty()) {
            p { (words(paragraph)) }
        }
    }
}

/// A line in which backticks set code off.
fn words(text: &str) -> Markup {
    html! {
        @for (n, part) in text.split('`').enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}
