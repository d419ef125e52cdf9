//! The style and the script, at paths that change with them, so that they can be kept for ever.

use std::sync::LazyLock;

use axum::{Router, http::header, routing::get};
use sha2::{Digest as _, Sha256};

const STYLE: &str = concat!(include_str!("../palette.css"), include_str!("style.css"));
const SCRIPT: &str = include_str!("enhance.js");

/// Where the style is.
pub(super) static STYLE_PATH: LazyLock<String> = LazyLock::new(|| path(STYLE, "css"));
/// Where the script is.
pub(super) static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| path(SCRIPT, "js"));

fn path(text: &str, ending: &str) -> String {
    let hash: String =
        Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("/assets/{hash}.{ending}")
}

pub(super) fn router() -> Router {
    let serve = |kind: &'static str, text: &'static str| {
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        get(move || async move { (headers, text) })
    };
    Router::new()
        .route(&STYLE_PATH, serve("text/css; charset=utf-8", STYLE))
        .route(&SCRIPT_PATH, serve("text/javascript; charset=utf-8", SCRIPT))
}
