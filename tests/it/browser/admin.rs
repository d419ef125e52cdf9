//! The pages of administrators in a real browser.

use std::sync::Arc;

use lapsed::domain::identity::Role;

use crate::{
    api::Face,
    browser::{Browser, Site, at_site, driver::ENTER},
    support::{app::days, daemon::until},
};

async fn sign_in(site: &Site<'_>, browser: &Browser) {
    let face = Face::with(site.secrets.app, Arc::clone(&site.secrets.keyring)).await;
    let (_, token) = face.token(Role::Admin, None).await;
    browser.go(&format!("{}/admin/sign-in", site.url)).await;
    browser.fill("#token", &token).await;
    browser.press(&[ENTER]).await;
    browser.is_at("/admin").await;
}

#[tokio::test]
async fn over_plain_http_on_this_machine_and_every_page_is_for_everybody() {
    at_site(|site| async move {
        let app = site.secrets.app;
        let key = site.secrets.create().await;
        for id in 101..=160 {
            app.key(id, days(id - 99)).await;
        }
        app.sweep().await;
        app.job("deliver").await;
        let browser = Browser::open().await;
        browser.go(&format!("{}/admin", site.url)).await;
        browser.is_at("/admin/sign-in").await;
        browser.is_accessible().await;
        browser.fill("#token", "lps_live_nonsense").await;
        browser.press(&[ENTER]).await;
        browser.shows("This token is not valid").await;
        browser.is_accessible().await;
        // A browser keeps the cookie, for all its prefix says of TLS: this machine is trusted.
        sign_in(site, &browser).await;
        for path in pages(site, &key.id.to_string()).await {
            browser.go(&format!("{}{path}", site.url)).await;
            browser.is_accessible().await;
        }
        browser.go(&format!("{}/admin/keys/{}", site.url, key.id)).await;
        browser.fill("#name", "deploy").await;
        browser.click("section.danger button.bad").await;
        let is_dead = async || (!site.takes(key.expose()).await).then_some(());
        until("the key is dead", is_dead).await;
        browser.shows("revoked").await;
        browser.click(".who button").await;
        browser.is_at("/admin/sign-in").await;
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

/// Every page there is, with something on it.
async fn pages(site: &Site<'_>, key: &str) -> Vec<String> {
    let owner = site.secrets.owner().await.public_id;
    [
        "/admin",
        "/admin/guards",
        "/admin/keys",
        "/admin/keys?q=nothing",
        &format!("/admin/keys/{key}"),
        "/admin/owners",
        &format!("/admin/owners/{owner}?end="),
        "/admin/policies",
        "/admin/policies/acme?field=max_ttl_days&value=20&notice=10&spread=5",
        "/admin/notices",
        "/admin/notices/1",
        "/admin/approvals",
        "/admin/audit",
        "/admin/nothing",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[tokio::test]
async fn every_page_is_for_those_who_read_german_too() {
    at_site(|site| async move {
        let key = site.secrets.create().await;
        site.secrets.app.clock.advance(days(83));
        site.link().await;
        let browser = Browser::german().await;
        sign_in(site, &browser).await;
        for path in pages(site, &key.id.to_string()).await {
            browser.go(&format!("{}{path}", site.url)).await;
            assert!(browser.page().await.contains("<html lang=\"de\">"), "{path}");
            browser.is_accessible().await;
        }
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn somebody_leaves_after_a_preview() {
    at_site(|site| async move {
        let key = site.secrets.create().await;
        let browser = Browser::open().await;
        sign_in(site, &browser).await;
        browser.go(&format!("{}/admin/owners", site.url)).await;
        browser.click("tbody a").await;
        browser.click("section.danger button").await;
        browser.shows("One key would end earlier").await;
        browser.is_accessible().await;
        assert!(site.takes(key.expose()).await, "looking changes nothing");
        browser.fill("#name", "ada").await;
        browser.click("section.danger button.bad").await;
        browser.shows("That is not the name").await;
        browser.is_accessible().await;
        let owner = site.secrets.owner().await.public_id;
        browser.go(&format!("{}/admin/owners/{owner}?end=", site.url)).await;
        browser.fill("#name", "ada@acme.example").await;
        browser.click("section.danger button.bad").await;
        let is_dead = async || (!site.takes(key.expose()).await).then_some(());
        until("the key is dead", is_dead).await;
        browser.is_accessible().await;
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_policy_is_tried_out_and_applied() {
    at_site(|site| async move {
        site.secrets.create().await;
        let browser = Browser::open().await;
        sign_in(site, &browser).await;
        browser.go(&format!("{}/admin/policies", site.url)).await;
        browser.click("main a[href='/admin/policies/acme']").await;
        let tried = "/admin/policies/acme?field=window_days&value=3&kind=user";
        browser.go(&format!("{}{tried}", site.url)).await;
        browser.shows("1 would have a window of another length").await;
        browser.is_accessible().await;
        browser.click("form[method=post][action='/admin/policies/acme'] button").await;
        browser.shows("from the tenant").await;
        browser.is_accessible().await;
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn what_holds_the_daemon_up_is_seen_and_decided() {
    at_site(|site| async move {
        let app = site.secrets.app;
        lapsed::store::flags::set(&app.db, "test", lapsed::store::flags::PAUSE_PURGE, "the audit")
            .await
            .unwrap();
        let plan = serde_json::json!({ "hash": "a".repeat(64), "n": 412,
            "reason": "412 of 500 active keys", "since": app.now(), "as_of": app.now() });
        app.execute(&format!(
            "INSERT INTO flags (name, value, set_at, set_by) VALUES ('brake.purge', '{plan}', 0, 'daemon')"
        ))
        .await;
        let browser = Browser::open().await;
        sign_in(site, &browser).await;
        browser.is_accessible().await;
        browser.click("a[href='/admin/guards']").await;
        browser.shows("412 of 500 active keys").await;
        browser.is_accessible().await;
        browser.fill("input[name=n]", "412").await;
        browser.press(&[ENTER]).await;
        browser.shows("Released: the next run carries it out").await;
        browser.is_accessible().await;
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}
