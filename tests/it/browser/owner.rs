//! The pages of owners in a real browser, beside the way to a new secret.

use chrono::TimeDelta;

use crate::{
    browser::{Browser, at_site},
    support::app::days,
};

#[tokio::test]
async fn of_several_keys_one_is_let_go_and_one_is_stopped() {
    at_site(|site| async move {
        let keys = [site.secrets.create().await, site.secrets.create().await];
        site.secrets.app.clock.advance(days(83));
        let (link, browser) = (site.link().await, Browser::open().await);
        browser.go(&link).await;
        browser.shows("Your API keys").await;
        browser.is_accessible().await;
        browser.click(&format!("a[href$='/{}']", keys[0].id)).await;
        browser.click("form[action$='/lapse'] button").await;
        browser.shows("You are reminded of deploy no more").await;
        browser.is_accessible().await;
        assert!(site.takes(keys[0].expose()).await, "it goes on to its end");

        browser.go(&format!("{link}/{}", keys[1].id)).await;
        browser.fill("#name", "another").await;
        browser.click("form[action$='/stop'] button").await;
        browser.shows("That is not the key's name").await;
        browser.is_accessible().await;
        browser.fill("#name", "deploy").await;
        browser.click("form[action$='/stop'] button").await;
        browser.shows("deploy has been stopped").await;
        browser.is_accessible().await;
        assert!(!site.takes(keys[1].expose()).await);
        browser.go(&format!("{link}/{}", keys[1].id)).await;
        browser.shows("Stopped for good").await;
        browser.is_accessible().await;
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn in_the_window_without_a_second_factor_and_then_by_the_used_link() {
    at_site(|site| async move {
        let old = site.secrets.create().await;
        site.secrets.app.clock.advance(days(90));
        let (link, browser) = (site.link().await, Browser::open().await);
        browser.go(&link).await;
        browser.shows("Expired, can be brought back").await;
        browser.is_accessible().await;
        browser.click("form[action$='/rotate'] button").await;
        let secret = browser.value("#secret").await;
        browser.is_accessible().await;
        assert!(site.takes(&secret).await);
        assert!(!site.takes(old.expose()).await, "what is dead stays dead");
        browser.go(&link).await;
        browser.shows("This link has been used").await;
        browser.is_accessible().await;
        browser.click("form[action$='/again'] button").await;
        browser.shows("a new mail is on its way").await;
        browser.is_accessible().await;
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn from_the_link_of_one_key_to_all_keys_and_a_new_secret_of_another() {
    at_site(|site| async move {
        let first = site.secrets.create().await;
        site.link().await;
        site.secrets.app.clock.advance(days(40));
        let second = site.secrets.create().await;
        site.link().await;
        site.secrets.app.clock.advance(days(43));
        let (link, browser) = (site.link().await, Browser::open().await);
        browser.go(&format!("{}/mine", site.url)).await;
        browser.shows("You are not signed in").await;
        browser.is_accessible().await;
        browser.go(&link).await;
        browser.is_accessible().await;
        browser.click("form[action$='/mine'] button").await;
        browser.is_at("/mine").await;
        browser.is_accessible().await;
        assert_eq!(browser.script("return document.cookie", serde_json::json!([])).await, "");
        site.secrets.app.clock.advance(TimeDelta::seconds(1));
        browser.click(&format!("a[href='/mine/{}']", second.id)).await;
        browser.is_at(&format!("/mine/{}", second.id)).await;
        browser.is_accessible().await;
        browser.click("input[name=overlap][value='1']").await;
        browser.click("form[action$='/rotate'] button").await;
        let secret = browser.value("#secret").await;
        browser.is_accessible().await;
        assert!(site.takes(&secret).await && site.takes(first.expose()).await);
        site.api.flush().await;
        browser.shows("The new secret is in use").await;
        browser.go(&format!("{}/mine/{}", site.url, second.id)).await;
        browser.shows("It was rotated since you signed in").await;
        browser.is_accessible().await;
        browser.click("main a[href='/mine']").await;
        browser.is_at("/mine").await;
        browser.click("form[action='/mine/sign-out'] button").await;
        browser.shows("You are signed out").await;
        browser.is_accessible().await;
        browser.go(&format!("{}/mine", site.url)).await;
        browser.shows("You are not signed in").await;
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_link_that_a_newer_mail_replaced_offers_another() {
    at_site(|site| async move {
        site.secrets.create().await;
        site.secrets.app.clock.advance(days(83));
        let old = site.link().await;
        site.secrets.app.clock.advance(days(6));
        let newer = site.link().await;
        let browser = Browser::open().await;
        browser.go(&old).await;
        browser.shows("This link does not work any more").await;
        browser.is_accessible().await;
        browser.click("form[action$='/again'] button").await;
        browser.shows("a new mail is on its way").await;
        let asked = site.link().await;
        assert!(asked != old && asked != newer);
        browser.go(&asked).await;
        browser.shows("Give it a new secret").await;
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn early_reminders_are_switched_off_and_on_again() {
    at_site(|site| async move {
        site.secrets.create().await;
        site.link().await;
        site.secrets.app.clock.advance(days(60));
        let link = site.link().await;
        let browser = Browser::open().await;
        browser.go(&site.newest("/reminders/").await).await;
        browser.shows("Which reminders do you want?").await;
        browser.is_accessible().await;
        browser.click("input[value=last]").await;
        browser.click("main button").await;
        browser.shows("Saved").await;
        browser.is_accessible().await;
        assert_eq!(site.secrets.owner().await.wish.to_string(), "last");
        // The way back, by keyboard, from the page of a key.
        browser.go(&link).await;
        browser.tab_to("a[href^='/reminders/']").await;
        browser.press(&[crate::browser::driver::ENTER]).await;
        browser.tab_to("input[value=last]:checked").await;
        browser.press(&["\u{e013}", "\u{e013}", "\u{e013}", crate::browser::driver::ENTER]).await;
        browser.shows("Saved").await;
        assert_eq!(site.secrets.owner().await.wish.to_string(), "all");
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn whoever_did_not_rotate_a_key_has_it_suspended() {
    at_site(|site| async move {
        let app = site.secrets.app;
        let key = site.secrets.create().await;
        site.link().await;
        app.clock.advance(TimeDelta::seconds(1));
        let stolen = site.secrets.rotate(&key).await.unwrap().token.unwrap();
        app.clock.advance(TimeDelta::seconds(1));
        let (link, browser) = (site.link().await, Browser::open().await);
        assert!(link.ends_with("/suspend"), "the mail leads to its one deed: {link}");
        browser.go(&link).await;
        browser.shows("Was it not you who rotated").await;
        browser.is_accessible().await;
        // The key's own page has the same button.
        browser.go(link.trim_end_matches("/suspend")).await;
        browser.is_accessible().await;
        browser.click("form[action$='/suspend'] button").await;
        browser.shows("deploy is suspended").await;
        browser.is_accessible().await;
        assert!(!site.takes(stolen.expose()).await);
        browser.go(link.trim_end_matches("/suspend")).await;
        browser.shows("cannot be rotated until an administrator").await;
        browser.is_accessible().await;
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn every_page_is_for_those_who_read_german_too() {
    at_site(|site| async move {
        let key = site.secrets.create().await;
        site.link().await;
        site.secrets.app.clock.advance(days(60));
        let (link, browser) = (site.link().await, Browser::german().await);
        let wish = site.newest("/reminders/").await;
        for (url, says) in [
            (link.clone(), "Schlüssel erneuern"),
            (wish, "Welche Erinnerungen möchten Sie?"),
            (format!("{}/k/{}", site.url, "0".repeat(64)), "Dieser Link gilt nicht mehr"),
        ] {
            browser.go(&url).await;
            browser.shows(says).await;
            assert!(browser.page().await.contains("<html lang=\"de\">"), "{url}");
            browser.is_accessible().await;
        }
        browser.go(&link).await;
        browser.click("form[action$='/rotate'] button").await;
        let secret = browser.value("#secret").await;
        browser.shows("Ihr neues Geheimnis").await;
        browser.is_accessible().await;
        assert!(site.takes(&secret).await);
        browser.go(&format!("{link}/{}", key.id)).await;
        browser.shows("Dieser Link ist verbraucht").await;
        browser.is_accessible().await;
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}
