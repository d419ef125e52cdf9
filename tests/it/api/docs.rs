//! The documentation page: everything of the document, and nothing from elsewhere.

use crate::{api::Face, support::app};
use lapsed::store::Engine;

#[tokio::test]
async fn the_page_shows_every_route_and_loads_its_own_style_alone() {
    app::run(Engine::Sqlite, |app| async move {
        let face = Face::new(&app).await;
        let page = face.send("GET", "/docs", &[], None).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");

        let document = serde_json::to_value(lapsed::http::v1::document()).unwrap();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let summary = operation["summary"].as_str().unwrap();
                assert!(page.text.contains(&format!("<code>{path}</code>")), "{path}");
                assert!(page.text.contains(&format!("<h3>{}</h3>", summary)), "{method} {path}");
            }
        }
        // Every link within the page leads somewhere.
        for link in page.text.split("href=\"#").skip(1) {
            let anchor = link.split('"').next().unwrap();
            assert!(page.text.contains(&format!("id=\"{anchor}\"")), "{anchor}");
            assert!(!anchor.contains(' '), "{anchor}");
        }
        let loaded = page.text.split("<link rel=\"stylesheet\" href=\"").nth(1).unwrap();
        let style = loaded.split('"').next().unwrap();
        let style = face.send("GET", style, &[], None).await;
        assert_eq!((style.status, style.header("content-type")), (200, "text/css; charset=utf-8"));
        assert!(style.header("cache-control").contains("immutable"));
        for text in [&page.text, &style.text] {
            for elsewhere in ["<script", "src=", "http:", "https:", "url(", "@import", "style=\""] {
                assert!(!text.contains(elsewhere), "{elsewhere}");
            }
        }
    })
    .await;
}
