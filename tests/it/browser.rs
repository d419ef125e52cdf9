//! The pages in a real browser: from the mail in an SMTP server to the new secret that verifies.
//!
//! On one engine: what the engines have to do with it is tried elsewhere, without a browser.

use std::{net::SocketAddr, sync::Arc};

use chrono::TimeDelta;
use data_encoding::BASE32_NOPAD;
use lapsed::{
    domain::{link::LinkKey, otp::Seed},
    http::{
        self, House,
        pages::Pages,
        v1,
        v1::{Api, Guesses},
    },
    jobs::deliver::Links,
    mail::transport::Transport,
    shutdown::Shutdown,
    store::Engine,
};
use mail_parser::MessageParser;
use tokio::net::TcpListener;

use self::driver::{Browser, ENTER, SPACE, TAB};
use crate::{
    support::{
        app::{self, TestApp, days},
        secrets::Secrets,
        smtp::{Plan, SmtpServer, sending::settings},
    },
    watch::send,
};

mod admin;
mod driver;
mod owner;
mod pictures;
mod rare;

/// All that a daemon serves, on a port of its own, and the relay that takes its mails.
struct Site<'a> {
    secrets: Secrets<'a>,
    api: Api,
    relay: &'a SmtpServer,
    url: String,
    address: SocketAddr,
    shutdown: Shutdown,
}

impl<'a> Site<'a> {
    async fn open(app: &'a TestApp, relay: &'a SmtpServer, listener: TcpListener) -> Self {
        let secrets = Secrets::new(app).await;
        let shutdown = Shutdown::new();
        let (pages, api) =
            (Pages::new(shutdown.clone()), Api::new(shutdown.clone(), Guesses::default()));
        let house = Arc::new(House {
            db: app.db.clone(),
            runner: app.runner.clone(),
            keyring: Arc::clone(&secrets.keyring),
            brand: secrets.brand,
        });
        pages.reached(house.clone());
        api.reached(house);
        let address = listener.local_addr().unwrap();
        let router = http::pages::router(pages)
            .merge(v1::router(api.clone()))
            .merge(http::admin::router(api.clone()));
        shutdown.tracker.spawn(http::serve(listener, router, shutdown.clone()));
        let url = format!("http://{address}");
        Self { secrets, api, relay, url, address, shutdown }
    }

    /// The link in the newest mail that the relay has taken, after what is due was done.
    async fn link(&self) -> String {
        self.secrets.app.sweep().await;
        self.secrets.app.job("deliver").await;
        self.newest("/k/").await
    }

    /// The address in the newest mail whose path begins so.
    async fn newest(&self, path: &str) -> String {
        let mail = self.relay.seen().mails.pop().expect("a mail has come");
        let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
        let text = parsed.body_text(0).unwrap();
        let start = text.find(&format!("{}{path}", self.url)).expect("the mail has a link");
        text[start..].split_whitespace().next().unwrap().to_owned()
    }

    /// Whether the API takes `secret` for valid.
    async fn takes(&self, secret: &str) -> bool {
        let headers = format!("authorization: Bearer {secret}\r\n");
        send(self.address, "GET", "/v1/self", &headers).await.json()["valid"] == true
    }
}

/// Runs `promise` with a site whose mails go through an SMTP server.
async fn at_site<F: Future<Output = ()>>(promise: impl FnOnce(&'static Site<'static>) -> F) {
    // A test's own, and for as long as its process lives.
    crate::support::db::with_db(Engine::Sqlite, |test_db| async move {
        let relay: &SmtpServer = Box::leak(Box::new(Plan::new().start().await));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let public_url = format!("http://{}", listener.local_addr().unwrap());
        let app = TestApp::start(test_db).await.with(|deps| {
            let mut mailer = app::mailer(Transport::Smtp(settings(relay)));
            mailer.links = Some(Links { public_url, key: LinkKey::new([9; 32]) });
            deps.mailer = Arc::new(mailer);
        });
        let app: &TestApp = Box::leak(Box::new(app));
        let site: &Site<'_> = Box::leak(Box::new(Site::open(app, relay, listener).await));
        promise(site).await;
        site.shutdown.token.cancel();
    })
    .await;
}

#[tokio::test]
async fn from_the_mail_to_a_secret_that_verifies() {
    at_site(|site| async move {
        let old = site.secrets.create().await;
        site.secrets.app.clock.advance(days(83));
        let (link, browser) = (site.link().await, Browser::open().await);
        browser.go(&link).await;
        assert_eq!(browser.text("h1").await, "deploy");
        browser.is_accessible().await;
        browser.click("input[name=overlap][value='1']").await;
        browser.click("form[action$='/rotate'] button").await;
        let secret = browser.value("#secret").await;
        browser.is_accessible().await;
        browser.click("button[data-copy]").await;
        assert_eq!(browser.text("button[data-copy]").await, "Copied");
        assert_eq!(browser.text("[role=status]").await, "Waiting for first use");

        assert!(site.takes(&secret).await);
        assert!(site.takes(old.expose()).await, "it overlaps for an hour");
        site.api.flush().await;
        browser.shows("The new secret is in use").await;
        assert_eq!(browser.value("#secret").await, secret, "the page says so by itself");
        browser.is_accessible().await;
        browser.go(&link).await;
        browser.shows("The new secret is in use").await;
        browser.shows("This link has been used").await;
        site.secrets.app.clock.advance(TimeDelta::hours(1));
        assert!(!site.takes(old.expose()).await);
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn the_page_of_a_used_link_turns_by_itself_too() {
    at_site(|site| async move {
        site.secrets.create().await;
        site.secrets.app.clock.advance(days(83));
        let (link, browser) = (site.link().await, Browser::german().await);
        browser.go(&link).await;
        browser.click("form[action$='/rotate'] button").await;
        let secret = browser.value("#secret").await;
        browser.click("[data-unwatched] a").await;
        browser.shows("Dieser Link ist verbraucht").await;
        browser.shows("Noch nicht benutzt").await;
        browser.is_accessible().await;
        assert!(site.takes(&secret).await);
        site.api.flush().await;
        browser.shows("Das neue Geheimnis wird benutzt").await;
        let is_left = "return document.querySelector('[data-unwatched]').hidden";
        assert_eq!(browser.script(is_left, serde_json::json!([])).await, true);
        browser.is_accessible().await;
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_second_factor_is_set_up_and_used_by_keyboard_alone() {
    at_site(|site| async move {
        let app = site.secrets.app;
        site.secrets.require_mfa().await;
        site.secrets.create().await;
        app.clock.advance(days(83));
        let (link, browser) = (site.link().await, Browser::open().await);
        browser.go(&link).await;
        browser.tab_to("form[action$='/otp'] button").await;
        browser.press(&[ENTER]).await;
        browser.is_accessible().await;
        let digits = browser.text("pre code").await;
        let seed = BASE32_NOPAD.decode(digits.replace(' ', "").as_bytes()).unwrap();
        let seed = Seed::new(seed.try_into().unwrap());
        browser.tab_to("#otp").await;
        let code = seed.code_at(app.now()).unwrap();
        let typed: Vec<String> = code.expose().chars().map(String::from).collect();
        browser.press(&typed.iter().map(String::as_str).collect::<Vec<_>>()).await;
        browser.press(&[ENTER]).await;
        browser.shows("recovery codes").await;
        browser.is_accessible().await;
        browser.tab_to("main a").await;
        browser.press(&[ENTER]).await;

        // A wrong code first.
        browser.tab_to("input[name=overlap]:checked").await;
        browser.press(&["\u{e013}", SPACE, TAB]).await;
        app.clock.advance(TimeDelta::seconds(30));
        let right = seed.code_at(app.now()).unwrap();
        let wrong = if right.expose() == "000000" { "000001" } else { "000000" };
        for code in [wrong, right.expose()] {
            let typed: Vec<String> = code.chars().map(String::from).collect();
            browser.press(&typed.iter().map(String::as_str).collect::<Vec<_>>()).await;
            browser.press(&[ENTER]).await;
            if code == wrong {
                browser.shows("The code is wrong").await;
                browser.is_accessible().await;
                browser.tab_to("#otp").await;
            }
        }
        assert!(site.takes(&browser.value("#secret").await).await);
        assert_eq!(browser.complaints().await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn an_expired_key_is_brought_back_with_a_pasted_code_and_no_script() {
    at_site(|site| async move {
        let app = site.secrets.app;
        site.secrets.require_mfa().await;
        let old = site.secrets.create().await;
        let seed = site.secrets.enrol(&[]).await;
        app.clock.advance(days(90));
        let (link, browser) = (site.link().await, Browser::without_scripts().await);
        browser.go(&link).await;
        browser.shows("Expired, can be brought back").await;
        let code = seed.code_at(app.now()).unwrap();
        let (one, two) = code.expose().split_at(3);
        browser.fill("#otp", &format!("{one} {two}")).await;
        browser.click("form[action$='/rotate'] button").await;
        let secret = browser.value("#secret").await;
        browser.shows("Waiting for first use").await;
        assert!(site.takes(&secret).await);
        assert!(!site.takes(old.expose()).await, "what is dead stays dead");
        site.api.flush().await;
        browser.click("[data-unwatched] a").await;
        browser.shows("The new secret is in use").await;

        // The link has done its work; it offers another, and says no more.
        browser.go(&link).await;
        browser.click("form[action$='/again'] button").await;
        browser.shows("a new mail is on its way").await;
        assert_ne!(site.link().await, link);
    })
    .await;
}

#[tokio::test]
async fn a_link_that_is_good_for_nothing_is_accessible_too() {
    at_site(|site| async move {
        let browser = Browser::open().await;
        browser.go(&format!("{}/k/{}", site.url, "0".repeat(64))).await;
        browser.shows("This link does not work any more").await;
        browser.is_accessible().await;
    })
    .await;
}
