//! Pages that few come by: a key that nothing used, what was decided since, cut addresses, too many
//! codes and requests; and what administrators do with a code, and by two. Each walk is gone twice: to
//! see that its pages are for everybody, and for their pictures.

use std::sync::Arc;

use chrono::TimeDelta;
use lapsed::{
    domain::{
        identity::{PublicId, Role},
        token::{Brand, Token},
    },
    store::{
        admin_tokens::{FORM, Holder},
        suspension,
    },
};
use serde_json::json;

use crate::{
    api::{
        Face,
        mfa::{enrol, holder},
        own::next_code,
    },
    browser::{Browser, Site, at_site, driver::ENTER},
    policy_fields::tenant_sets,
    support::app::days,
};

/// An owner whose keys come to little good. `seen` is called on each page, with its name.
pub(super) async fn owner(site: &Site<'_>, browser: &Browser, seen: impl AsyncFn(&str)) {
    let app = site.secrets.app;
    tenant_sets(app, &json!({ "unused_days": 10 })).await;
    let key = site.secrets.create().await;
    app.execute("UPDATE api_keys SET name = 'billing-sync'").await;
    site.link().await;
    for _ in 0..2 {
        app.clock.advance(days(5));
        app.pass().await;
    }
    browser.go(&site.newest("/k/").await).await;
    browser.shows("nothing has used it").await;
    seen("unused").await;
    browser.click("form[action$='/resume'] button").await;
    browser.shows("billing-sync goes on").await;
    seen("resumed").await;

    app.clock.advance(TimeDelta::seconds(1));
    site.secrets.rotate(&key).await.unwrap();
    app.clock.advance(TimeDelta::seconds(1));
    let not_me = site.link().await;
    let id = key.id.to_string();
    suspension::suspend(&app.db, "operator", (&id, None), None, None).await.unwrap();
    app.clock.advance(TimeDelta::seconds(1));
    app.job("deliver").await;
    let policies = site.secrets.policies().await;
    suspension::unsuspend(&app.db, &policies, "operator", (&id, None), None).await.unwrap();
    browser.go(&not_me).await;
    browser.shows("has looked at this key since").await;
    seen("suspend-late").await;
    browser.go(&format!("{}/k/{}/cut/off", site.url, "0".repeat(20))).await;
    browser.shows("it may have been cut off").await;
    seen("nothing").await;

    site.secrets.require_mfa().await;
    site.secrets.enrol(&[]).await;
    app.clock.advance(days(83));
    let link = site.link().await;
    browser.go(&link).await;
    browser.fill("#name", "billing").await;
    browser.click("form[action$='/stop'] button").await;
    browser.shows("That is not the key's name").await;
    seen("wrong-name").await;
    let nonsense = "document.querySelector('input[name=overlap]:checked').value = 'nonsense'";
    browser.script(nonsense, json!([])).await;
    browser.fill("#otp", "123456").await;
    browser.press(&[ENTER]).await;
    browser.shows("was not filled in completely").await;
    seen("bad-form").await;
    browser.go(&link).await;
    for n in 0.. {
        browser.fill("#otp", &format!("00000{n}")).await;
        browser.press(&[ENTER]).await;
        browser.shows("role=\"alert\"").await;
        if browser.page().await.contains("Try again after") {
            break;
        }
        browser.go(&link).await;
    }
    seen("otp-wait").await;
}

/// Somebody who asks too often of a daemon that has no database.
pub(super) async fn flood(browser: &Browser, seen: impl AsyncFn(&str)) {
    let face = crate::http::Face::start().await;
    let url = format!("http://{}/k/{}", face.address, "0".repeat(64));
    browser.go(&url).await;
    browser.shows("cannot reach its database").await;
    seen("away").await;
    while !browser.page().await.contains("Too many requests") {
        browser.go(&url).await;
    }
    seen("busy").await;
    face.stop().await;
}

async fn sign_in(site: &Site<'_>, browser: &Browser, token: &str) {
    browser.go(&format!("{}/admin/sign-in", site.url)).await;
    browser.fill("#token", token).await;
    browser.press(&[ENTER]).await;
}

/// What Grace asks for, Heidi approves; and what she does herself takes a code.
pub(super) async fn administrators(site: &Site<'_>, browser: &Browser, seen: impl AsyncFn(&str)) {
    let app = site.secrets.app;
    let (one, other) = (site.secrets.create().await, site.secrets.create().await);
    app.execute("UPDATE api_keys SET name = 'billing-sync'").await;
    let face = Face::with(app, Arc::clone(&site.secrets.keyring)).await;
    let token = async |mail| face.token_of(Holder::Mail(mail), Role::Admin, None).await;
    let (_, grace) = token("grace@acme.example").await;
    let (heidis, heidi) = token("heidi@acme.example").await;
    tenant_sets(app, &json!({ "two_person": true })).await;
    let mfa = json!({ "set": { "mfa_required_for": ["revoke"], "two_person": false } });
    for (method, path, body) in [
        ("POST", format!("/v1/keys/{}/revoke", one.id), json!({ "reason": "seen in a log" })),
        ("PATCH", "/v1/tenants/acme/policy".to_owned(), mfa),
    ] {
        let asked = face.call(&grace, method, &path, body).await;
        assert_eq!(asked.status, 202, "{asked:?}");
        app.clock.advance(TimeDelta::minutes(7));
    }
    sign_in(site, browser, &heidi).await;
    browser.is_at("/admin").await;
    browser.click("a[href='/admin/approvals']").await;
    browser.shows("Revoke a key").await;
    seen("approvals").await;
    browser.click("tbody tr:first-child a").await;
    browser.shows("seen in a log").await;
    seen("approval").await;
    browser.tab_to("#name").await;
    browser.press(&["b", "i", "l", "l", ENTER]).await;
    browser.shows("That is not the name").await;
    seen("refused").await;
    browser.click("main p > a").await;
    browser.shows("seen in a log").await;
    browser.click("a[href='/admin/approvals']").await;
    browser.click("tbody tr:last-child a").await;
    browser.shows("two_person").await;
    seen("approval-policy").await;
    browser.click("form[action$='/approve'] button").await;
    browser.shows("approved").await;
    seen("approved").await;

    let seed = enrol(&face, &holder(&face, "heidi@acme.example").await).await;
    browser.go(&format!("{}/admin/keys/{}", site.url, other.id)).await;
    browser.shows("one-time-code").await;
    seen("code").await;
    browser.fill("#name", "billing-sync").await;
    browser.fill("#otp", "000000").await;
    browser.press(&[ENTER]).await;
    browser.shows("That is not the code").await;
    seen("wrong-code").await;
    browser.go(&format!("{}/admin/keys/{}", site.url, other.id)).await;
    browser.fill("#name", "billing-sync").await;
    browser.fill("#otp", &next_code(&face, &seed)).await;
    browser.press(&[ENTER]).await;
    browser.shows("revoked").await;
    assert!(!site.takes(other.expose()).await && site.takes(one.expose()).await);
    browser.go(&format!("{}/admin/nothing", site.url)).await;
    browser.shows("There is nothing here").await;
    seen("admin-nothing").await;
    browser.click(".who button").await;
    browser.is_at("/admin/sign-in").await;
    let (kind, class) = FORM;
    let id: PublicId = heidis.parse().unwrap();
    while !browser.page().await.contains("Too many wrong tokens") {
        let guess = Token::new(Brand::new("lp").unwrap(), kind, class, id, &rand::random());
        sign_in(site, browser, guess.expose()).await;
        browser.shows("role=\"alert\"").await;
    }
    seen("sign-in-rest").await;
}

#[tokio::test]
async fn what_few_owners_come_by_is_for_everybody_too() {
    at_site(|site| async move {
        let browser = Browser::open().await;
        owner(site, &browser, async |_| browser.is_accessible().await).await;
        flood(&browser, async |_| browser.is_accessible().await).await;
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn what_takes_two_or_a_code_is_done_and_for_everybody() {
    at_site(|site| async move {
        let browser = Browser::open().await;
        administrators(site, &browser, async |_| browser.is_accessible().await).await;
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}
