//! What is round every page.

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use maud::{DOCTYPE, Markup, html};

use crate::http::pages::{
    assets::{SCRIPT_PATH, STYLE_PATH},
    words::Language,
};

/// A whole page.
pub(super) fn page(language: Language, status: StatusCode, title: &str, body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " – " (language.say("app")) }
                link rel="stylesheet" href=(*STYLE_PATH);
                script src=(*SCRIPT_PATH) defer {}
            }
            body {
                header { (language.say("app")) }
                main {
                    h1 { (title) }
                    (body)
                }
            }
        }
    };
    (status, Html(page.into_string())).into_response()
}
