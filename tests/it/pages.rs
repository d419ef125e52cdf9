//! What the pages behind a link promise to the owner who follows it, and against everybody else.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use chrono::TimeDelta;
use data_encoding::BASE32_NOPAD;
use lapsed::{
    domain::{
        identity::KeyKind,
        link::LinkToken,
        otp::Seed,
        policy::{Deed, Policies, Policy, PolicyFields},
    },
    http::{
        self, House,
        pages::{self, Pages},
    },
    jobs::Deps,
    shutdown::Shutdown,
};
use tokio::net::TcpListener;

use crate::{
    links::{enable, sent},
    on_each_engine,
    support::{
        app::{TestApp, days},
        secrets::Secrets,
    },
    watch::{Answer, send, send_body},
};

/// The pages of one installation, served on a port of their own.
pub struct Site {
    pub address: SocketAddr,
    shutdown: Shutdown,
}

impl Site {
    /// Serves the pages of `secrets`' installation.
    pub async fn open(secrets: &Secrets<'_>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, secrets)
    }

    pub fn on(listener: TcpListener, secrets: &Secrets<'_>) -> Self {
        let shutdown = Shutdown::new();
        let pages = Pages::new(shutdown.clone());
        pages.reached(Arc::new(House {
            db: secrets.app.db.clone(),
            runner: secrets.app.runner.clone(),
            keyring: Arc::clone(&secrets.keyring),
            brand: secrets.brand,
        }));
        let address = listener.local_addr().unwrap();
        let router = pages::router(pages);
        shutdown.tracker.spawn(http::serve(listener, router, shutdown.clone()));
        Self { address, shutdown }
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.address, "GET", path, "").await
    }

    pub async fn post(&self, path: &str, form: &str) -> Answer {
        self.post_with(path, form, "sec-fetch-site: same-origin\r\n").await
    }

    pub async fn post_with(&self, path: &str, form: &str, headers: &str) -> Answer {
        let headers = format!(
            "{headers}content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n",
            form.len()
        );
        send_body(self.address, "POST", path, &headers, form).await
    }

    pub async fn close(self) {
        self.shutdown.token.cancel();
        self.shutdown.tracker.close();
        let stopped = tokio::time::timeout(Duration::from_secs(5), self.shutdown.tracker.wait());
        stopped.await.expect("a site without visitors closes at once");
    }
}

/// The token that a page shows as the new secret.
pub fn secret_in(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("value=\"lpu_")?;
    let (_, _) = rest.split_once('"')?;
    let start = page.find("value=\"lpu_")? + "value=\"".len();
    page[start..].split('"').next()
}

/// Ends the wait before a key's expiry, and returns the link of the mail about it.
pub async fn newest_link(app: &TestApp) -> LinkToken {
    app.sweep().await;
    app.job("deliver").await;
    sent(app).pop().unwrap()
}

on_each_engine! {
    async fn a_link_leads_to_a_new_secret_once(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let old = secrets.create().await;
        app.clock.advance(days(83));
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let path = format!("/k/{}/{}", link.expose(), old.id);
        let unused = site.get(&format!("{path}/use")).await;
        assert_eq!((unused.status, unused.body.as_str()), (410, ""), "there is no new secret yet");
        for _ in 0..3 {
            let page = site.get(&format!("/k/{}", link.expose())).await;
            assert_eq!(page.status, 200, "{}", page.body);
            assert!(page.body.contains("deploy") && page.body.contains("name=\"overlap\""));
            let back = "<dt>Can be brought back until</dt><dd>2027-04-22 10:00 CEST</dd>";
            assert!(page.body.contains(back), "{}", page.body);
        }
        assert_eq!(secrets.finding(&old).await, "valid", "looking changes nothing");
        let elsewhere = "sec-fetch-site: cross-site\r\n";
        let refused = site.post_with(&format!("{path}/rotate"), "overlap=24", elsewhere).await;
        assert_eq!(refused.status, 400);

        // As two impatient fingers do.
        let rotate = format!("{path}/rotate");
        let (one, two) = tokio::join!(site.post(&rotate, "overlap=1"), site.post(&rotate, "overlap=1"));
        let shown: Vec<&str> = [&one, &two].iter().filter_map(|page| secret_in(&page.body)).collect();
        assert_eq!(shown.len(), 1, "{} {}\n{}\n{}", one.status, two.status, one.body, two.body);
        assert_eq!(secrets.verify(shown[0]).await.finding.as_str(), "valid");
        assert_eq!(secrets.finding(&old).await, "valid", "it overlaps for an hour");
        app.clock.advance(TimeDelta::hours(1));
        assert_ne!(secrets.finding(&old).await, "valid");

        let again = site.post(&rotate, "overlap=1").await;
        assert!(again.body.contains("This link has been used"), "{}", again.body);
        assert!(secret_in(&again.body).is_none());
        assert!(again.body.contains("Waiting for first use"));
        let asked = format!("{path}/use");
        assert!(again.body.contains(&asked), "the script is told where to ask");
        let answer = site.get(&asked).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        secrets.verifier.uses.flush(&app.db).await.unwrap();
        let answer = site.get(&asked).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.starts_with("The new secret is in use, first seen 2"), "{}", answer.body);
        let page = site.get(&path).await.body;
        assert!(page.contains(&answer.body) && !page.contains(&asked), "nothing is left to ask: {page}");
        site.close().await;
    }
}

on_each_engine! {
    async fn a_reload_changes_the_rules_of_the_pages_too(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        app.clock.advance(days(83));
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let path = format!("/k/{}/{}", link.expose(), key.id);
        assert!(site.get(&path).await.body.contains("name=\"overlap\""));

        let user = PolicyFields { mfa_required_for: vec![Deed::Rotate, Deed::WindowRotate], ..PolicyFields::default() };
        let user = Policy::new(KeyKind::User, user).unwrap();
        let policies = Arc::new(Policies { user, ..(*app.deps.policies).clone() });
        app.runner.renew(Deps { policies, ..app.deps.clone() }, Duration::from_secs(60));
        let refused = site.post(&format!("{path}/rotate"), "overlap=1").await;
        assert!(secret_in(&refused.body).is_none(), "no code was given: {}", refused.body);
        assert_eq!(secrets.finding(&key).await, "valid");
        site.close().await;
    }
}

on_each_engine! {
    async fn a_code_is_needed_where_it_is_required(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        secrets.require_mfa().await;
        let old = secrets.create().await;
        app.clock.advance(days(83));
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let path = format!("/k/{}/{}", link.expose(), old.id);
        let (rotate, page) = (format!("{path}/rotate"), site.get(&path).await);
        assert!(page.body.contains("Set up a second factor"), "{}", page.body);
        assert!(secret_in(&site.post(&rotate, "overlap=24").await.body).is_none());

        let seed = set_up(&site, &path, &app).await;
        let page = site.get(&path).await;
        assert!(page.body.contains("autocomplete=\"one-time-code\""), "{}", page.body);
        let again = site.post(&format!("{path}/otp"), "").await;
        assert!(!again.body.contains("<svg"), "a link is no way round a second factor");

        app.clock.advance(TimeDelta::seconds(30));
        let right = seed.code_at(app.now()).unwrap();
        let wrong = if right.expose() == "000000" { "000001" } else { "000000" };
        let refused = site.post(&rotate, &format!("overlap=0&otp={wrong}")).await;
        assert_eq!(refused.status, 422);
        assert!(refused.body.contains("The code is wrong"), "{}", refused.body);
        // As it is pasted from an authenticator.
        let (a, b) = right.expose().split_at(3);
        let done = site.post(&rotate, &format!("overlap=0&otp={a}+{b}")).await;
        let new = secret_in(&done.body).expect("the new secret is shown");
        assert_eq!(secrets.verify(new).await.finding.as_str(), "valid");
        assert_ne!(secrets.finding(&old).await, "valid");
        site.close().await;
    }
}

/// Sets a second factor up by the pages, as an owner with an authenticator does.
async fn set_up(site: &Site, path: &str, app: &TestApp) -> Seed {
    let begun = site.post(&format!("{path}/otp"), "").await;
    assert!(begun.body.contains("<svg"), "{}", begun.body);
    let (_, rest) = begun.body.split_once("<pre><code>").unwrap();
    let (digits, _) = rest.split_once("</code>").unwrap();
    let seed = seed_of(digits);
    let code = seed.code_at(app.now()).unwrap();
    let done = site.post(&format!("{path}/otp/confirm"), &format!("otp={}", code.expose())).await;
    assert!(done.body.contains("recovery codes"), "{}", done.body);
    seed
}

/// The seed that these letters stand for (RFC 4648 section 6).
fn seed_of(base32: &str) -> Seed {
    let bytes = BASE32_NOPAD.decode(base32.replace(' ', "").as_bytes()).unwrap();
    Seed::new(bytes.try_into().unwrap())
}

on_each_engine! {
    async fn an_owner_stops_a_key_with_a_code_where_that_needs_one(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        app.execute("UPDATE tenants SET policy = '{\"mfa_required_for\": [\"revoke\"]}'").await;
        let key = secrets.create().await;
        app.clock.advance(days(83));
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let path = format!("/k/{}/{}", link.expose(), key.id);
        let page = site.get(&path).await;
        assert!(page.body.contains("needed to stop this key"), "{}", page.body);
        assert!(!page.body.contains("autocomplete=\"one-time-code\""), "a rotation needs none");
        let stop = format!("{path}/stop");
        let refused = site.post(&stop, "name=deploy").await;
        assert!(refused.status == 422 && refused.body.contains("needed to stop this key"), "{}", refused.body);

        let seed = set_up(&site, &path, &app).await;
        let page = site.get(&path).await;
        assert_eq!(page.body.matches("autocomplete=\"one-time-code\"").count(), 1, "{}", page.body);
        let refused = site.post(&stop, "name=deploy").await;
        assert!(refused.body.contains("A code of your second factor is needed"), "{}", refused.body);
        assert_eq!(secrets.finding(&key).await, "valid");
        app.clock.advance(TimeDelta::seconds(30));
        let code = seed.code_at(app.now()).unwrap();
        let done = site.post(&stop, &format!("name=deploy&otp={}", code.expose())).await;
        assert_eq!(done.status, 200, "{}", done.body);
        assert_eq!(secrets.finding(&key).await, "revoked");
        site.close().await;
    }
}

on_each_engine! {
    async fn a_mailbox_is_not_enough_for_a_token_of_an_administrator(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        app.execute("UPDATE api_keys SET kind = 3").await;
        app.clock.advance(days(83));
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let path = format!("/k/{}/{}", link.expose(), key.id);
        let page = site.get(&path).await;
        assert!(page.body.contains("A mail is not enough"), "{}", page.body);
        for deed in ["rotate", "otp"] {
            let refused = site.post(&format!("{path}/{deed}"), "").await;
            assert_eq!(refused.status, 422, "{deed}");
            assert!(refused.body.contains("A mail is not enough"), "{}", refused.body);
            assert!(secret_in(&refused.body).is_none() && !refused.body.contains("<svg"));
        }
        assert_eq!(site.post(&format!("{path}/stop"), "name=deploy").await.status, 200, "to stop it is well");
        site.close().await;
    }
}

on_each_engine! {
    async fn an_expired_key_is_brought_back_and_no_factor_is_set_up_for_it(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let old = secrets.create().await;
        app.clock.advance(days(90));
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let path = format!("/k/{}/{}", link.expose(), old.id);
        let page = site.get(&path).await;
        assert!(page.body.contains("Can be brought back until"), "{}", page.body);
        assert!(!page.body.contains("name=\"overlap\""), "what is dead does not overlap");
        let enrolled = site.post(&format!("{path}/otp"), "").await;
        assert!(!enrolled.body.contains("<svg"), "a mailbox alone must not be enough");
        let done = site.post(&format!("{path}/rotate"), "").await;
        let new = secret_in(&done.body).expect("the new secret is shown");
        assert_eq!(secrets.verify(new).await.finding.as_str(), "valid");
        assert_ne!(secrets.finding(&old).await, "valid");
        site.close().await;
    }
}

on_each_engine! {
    async fn where_a_link_is_no_proof_it_brings_nothing_back(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let old = secrets.create().await;
        app.execute("UPDATE tenants SET policy = '{\"window_proof\": [\"secret_and_otp\"]}'").await;
        app.clock.advance(days(90));
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let page = site.post(&format!("/k/{}/{}/rotate", link.expose(), old.id), "").await;
        assert!(page.body.contains("do not let a link bring it back"), "{}", page.body);
        assert_eq!(secret_in(&page.body), None);
        site.close().await;
    }
}

on_each_engine! {
    async fn where_a_code_is_the_proof_a_link_needs_one_with_it(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let seed = secrets.enrol(&[]).await;
        let old = secrets.create().await;
        app.execute("UPDATE tenants SET policy = '{\"window_proof\": [\"otp\"]}'").await;
        app.clock.advance(days(90));
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let path = format!("/k/{}/{}", link.expose(), old.id);
        let page = site.get(&path).await;
        assert!(page.body.contains("autocomplete=\"one-time-code\""), "{}", page.body);
        let refused = site.post(&format!("{path}/rotate"), "").await;
        assert!(refused.body.contains("A code of your second factor is needed"), "{}", refused.body);
        let wrong = site.post(&format!("{path}/rotate"), "otp=000000").await;
        assert!(wrong.body.contains("The code is wrong"), "{}", wrong.body);
        app.clock.advance(TimeDelta::seconds(30));
        let code = seed.code_at(app.now()).unwrap();
        let done = site.post(&format!("{path}/rotate"), &format!("otp={}", code.expose())).await;
        let new = secret_in(&done.body).expect("the new secret is shown");
        assert_eq!(secrets.verify(new).await.finding.as_str(), "valid");
        site.close().await;
    }
}

on_each_engine! {
    async fn a_link_that_is_good_for_nothing_says_the_same_to_everybody(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        secrets.create().await;
        app.clock.advance(days(83));
        let old = newest_link(&app).await;
        app.clock.advance(days(6));
        let newer = newest_link(&app).await;
        assert_ne!(old.expose(), newer.expose());
        let site = Site::open(&secrets).await;
        let unknown = "0".repeat(64);
        let strip = |answer: Answer, token: &str| (answer.status, answer.body.replace(token, ""));
        for path in ["", "/again"] {
            let (of_old, of_unknown) = (format!("/k/{}{path}", old.expose()), format!("/k/{unknown}{path}"));
            let (one, other) = if path.is_empty() {
                (site.get(&of_old).await, site.get(&of_unknown).await)
            } else {
                (site.post(&of_old, "").await, site.post(&of_unknown, "").await)
            };
            assert_eq!(strip(one, old.expose()), strip(other, &unknown));
        }
        let n_mails = app.subjects().len();
        app.job("deliver").await;
        assert_eq!(app.subjects().len(), n_mails + 1, "the owner gets a new link");
        site.post(&format!("/k/{}/again", old.expose()), "").await;
        app.job("deliver").await;
        assert_eq!(app.subjects().len(), n_mails + 1, "and not one for each click");
        let asked = sent(&app).pop().unwrap();
        assert_eq!(site.get(&format!("/k/{}", asked.expose())).await.status, 200);
        assert_eq!(site.get(&format!("/k/{}", newer.expose())).await.status, 410);
        site.close().await;
    }
}

on_each_engine! {
    async fn a_key_that_is_no_longer_needed_ends_without_another_reminder(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        app.clock.advance(days(83));
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let lapse = format!("/k/{}/{}/lapse", link.expose(), key.id);
        let done = site.post(&lapse, "").await;
        assert!(done.status == 200 && done.body.contains("You are reminded of deploy no more"), "{}", done.body);
        assert_eq!(secrets.finding(&key).await, "valid", "it goes on to its end");
        let n_mails = app.subjects().len();
        app.clock.advance(days(6));
        app.pass().await;
        assert_eq!(app.subjects().len(), n_mails, "no reminder of the last day");
        app.clock.advance(days(1));
        app.pass().await;
        assert_eq!(app.subjects().len(), n_mails + 1, "but that it has expired");
        let link = sent(&app).pop().unwrap();
        site.post(&format!("/k/{}/{}/lapse", link.expose(), key.id), "").await;
        app.clock.advance(days(6));
        app.pass().await;
        assert_eq!(app.subjects().len(), n_mails + 1, "and nothing of the window's last day");

        let done = site.post(&format!("/k/{}/{}/rotate", link.expose(), key.id), "").await;
        let new = secret_in(&done.body).expect("whoever thinks better of it is in time");
        assert_eq!(secrets.verify(new).await.finding.as_str(), "valid");
        app.clock.advance(days(60));
        let n_mails = app.subjects().len();
        app.pass().await;
        assert_eq!(app.subjects().len(), n_mails + 1, "and is reminded again");
        site.close().await;
    }
}

on_each_engine! {
    async fn a_key_is_stopped_only_by_its_name(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        app.clock.advance(days(83));
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let stop = format!("/k/{}/{}/stop", link.expose(), key.id);
        assert_eq!(site.post(&stop, "name=other").await.status, 422);
        assert_eq!(secrets.finding(&key).await, "valid");
        assert_eq!(site.post(&stop, "name=deploy").await.status, 200);
        assert_eq!(secrets.finding(&key).await, "revoked");
        site.close().await;
    }
}

#[tokio::test]
async fn pages_tell_nobody_where_they_are_and_load_nothing_foreign() {
    crate::support::app::run(lapsed::store::Engine::Sqlite, |app| async move {
        let secrets = Secrets::new(&app).await;
        let site = Site::open(&secrets).await;
        let page = site.get(&format!("/k/{}", "0".repeat(64))).await;
        for header in [
            "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'; \
             connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            "strict-transport-security: max-age=31536000",
            "referrer-policy: no-referrer",
            "x-content-type-options: nosniff",
            "cross-origin-opener-policy: same-origin",
            "cache-control: no-store",
        ] {
            assert!(page.head.to_lowercase().contains(header), "{header}\n{}", page.head);
        }
        for (start, kind) in [("href=\"", "text/css"), ("src=\"", "text/javascript")] {
            let (_, rest) = page.body.split_once(&format!("{start}/assets/")).unwrap();
            let asset = site.get(&format!("/assets/{}", rest.split('"').next().unwrap())).await;
            assert_eq!(asset.status, 200);
            assert!(asset.head.contains(kind) && asset.head.contains("immutable"));
        }
        site.close().await;
    })
    .await;
}

#[tokio::test]
async fn before_there_is_a_database_the_pages_say_so() {
    let shutdown = Shutdown::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = pages::router(Pages::new(shutdown.clone()));
    shutdown.tracker.spawn(http::serve(listener, router, shutdown.clone()));
    let path = format!("/k/{}", "0".repeat(64));
    let answer = send(address, "GET", &path, "accept-language: de-DE\r\n").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("Die Datenbank ist im Augenblick nicht erreichbar"));
    shutdown.token.cancel();
}
