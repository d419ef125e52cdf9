//! What an owner can do in a session that was made from a mail's link, and the many ways in which it
//! ends.

use chrono::TimeDelta;
use lapsed::{
    domain::{link::LinkToken, otp::Seed, token::Token},
    store::{
        access, otp,
        owners::{self, OwnerChange},
    },
};

use crate::{
    links::enable,
    on_each_engine,
    pages::{Site, newest_link, secret_in},
    support::{
        app::{OPERATOR, TestApp, days},
        secrets::Secrets,
    },
    watch::{Answer, send},
};

/// A browser with a session's cookie.
struct Session<'a> {
    site: &'a Site,
    cookie: String,
    csrf: String,
}

impl<'a> Session<'a> {
    async fn begin(site: &'a Site, link: &LinkToken) -> Self {
        let begun = site.post(&format!("/k/{}/mine", link.expose()), "").await;
        assert_eq!(
            (begun.status, begun.header("location")),
            (303, Some("/mine")),
            "{}",
            begun.body
        );
        let set = begun.header("set-cookie").unwrap();
        let (cookie, attributes) = set.split_once("; ").unwrap();
        assert!(cookie.starts_with("__Host-lapsed-keys="));
        assert_eq!(
            attributes, "Path=/; Secure; HttpOnly; SameSite=Strict",
            "and no end: until the browser is closed"
        );
        let mut session =
            Self { site, cookie: format!("cookie: {cookie}\r\n"), csrf: String::new() };
        let page = session.get("/mine").await;
        assert_eq!(page.status, 200, "{}", page.body);
        let (_, rest) = page.body.split_once("name=\"csrf\" value=\"").unwrap();
        rest.split('"').next().unwrap().clone_into(&mut session.csrf);
        session
    }

    async fn get(&self, path: &str) -> Answer {
        send(self.site.address, "GET", path, &self.cookie).await
    }

    async fn post(&self, path: &str, form: &str) -> Answer {
        let headers = format!("{}sec-fetch-site: same-origin\r\n", self.cookie);
        self.site.post_with(path, &format!("csrf={}&{form}", self.csrf), &headers).await
    }

    async fn rotate(&self, key: &Token, form: &str) -> Answer {
        self.post(&format!("/mine/{}/rotate", key.id), form).await
    }

    /// Whether it is good still.
    async fn is_good(&self) -> bool {
        let page = self.get("/mine").await;
        assert!([200, 403].contains(&page.status), "{}", page.body);
        page.status == 200
    }
}

/// Two keys, and the link of a mail that tells of the first alone.
async fn two_keys(secrets: &Secrets<'_>) -> (Token, Token, LinkToken) {
    let first = secrets.create().await;
    newest_link(secrets.app).await;
    secrets.app.clock.advance(days(40));
    let second = secrets.create().await;
    newest_link(secrets.app).await;
    secrets.app.clock.advance(days(43));
    let link = newest_link(secrets.app).await;
    (first, second, link)
}

on_each_engine! {
    async fn a_link_is_traded_for_a_session_that_rotates_every_key_of_its_owner(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let (first, second, link) = two_keys(&secrets).await;
        let site = Site::open(&secrets).await;
        let own = format!("/k/{}", link.expose());
        assert_eq!(site.get(&format!("{own}/{}", second.id)).await.status, 410, "the link alone does not reach it");
        assert!(site.get(&own).await.body.contains(&format!("{own}/mine")), "the page offers it");
        let scanned = site.get(&format!("{own}/mine")).await;
        assert_eq!((scanned.status, scanned.header("set-cookie")), (303, None), "scanners follow links");
        let elsewhere = site.post_with(&format!("{own}/mine"), "", "sec-fetch-site: cross-site\r\n").await;
        assert_eq!((elsewhere.status, elsewhere.header("set-cookie")), (400, None));
        assert_eq!(app.count("owner_sessions").await, 0);

        let session = Session::begin(&site, &link).await;
        let kept: String = app.column("SELECT token_hash FROM owner_sessions").await.remove(0);
        assert!(!session.cookie.contains(&kept) && kept != session.csrf, "only a digest is stored");
        let list = session.get("/mine").await.body;
        for key in [&first, &second] {
            assert!(list.contains(&format!("/mine/{}", key.id)), "{list}");
        }
        assert!(!list.contains("ada@acme.example"), "the address is masked: {list}");
        let page = session.get(&format!("/mine/{}", second.id)).await.body;
        for deed in ["/stop", "/lapse", "/otp", "/resume", "/suspend"] {
            let path = format!("/mine/{}{deed}", second.id);
            assert!(!page.contains(&path), "{page}");
            assert_eq!(session.post(&path, "name=deploy").await.status, 404);
        }

        app.clock.advance(TimeDelta::seconds(1));
        let done = session.rotate(&second, "overlap=1").await;
        let new = secret_in(&done.body).expect("the new secret is shown").to_owned();
        let asked = format!("/mine/{}/use", second.id);
        assert!(done.body.contains(&asked));
        assert_eq!(secrets.finding(&second).await, "valid", "it overlaps");
        assert_eq!(session.get(&asked).await.status, 204);
        assert_eq!(secrets.verify(&new).await.finding.as_str(), "valid");
        secrets.verifier.uses.flush(&app.db).await.unwrap();
        assert!(session.get(&asked).await.body.contains("is in use"));
        let again = session.rotate(&second, "overlap=1").await;
        assert!(secret_in(&again.body).is_none(), "once in a session: {}", again.body);
        assert!(again.body.contains("It was rotated since you signed in"), "{}", again.body);
        assert!(secret_in(&session.rotate(&first, "overlap=0").await.body).is_some());
        assert_ne!(secrets.finding(&first).await, "valid");
        let actors: Vec<String> = app.column("SELECT actor FROM audit_events WHERE action = 'key.rotated'").await;
        let owner = secrets.owner().await.public_id;
        assert_eq!(actors, [format!("owner {owner} by session"), format!("owner {owner} by session")]);
        site.close().await;
    }
}

on_each_engine! {
    async fn of_two_rotations_of_a_session_at_once_one_wins(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let (_, second, link) = two_keys(&secrets).await;
        let site = Site::open(&secrets).await;
        let session = Session::begin(&site, &link).await;
        app.clock.advance(TimeDelta::seconds(1));
        let (one, two) = tokio::join!(session.rotate(&second, "overlap=0"), session.rotate(&second, "overlap=0"));
        let shown = [&one, &two].iter().filter(|page| secret_in(&page.body).is_some()).count();
        assert_eq!(shown, 1, "{} {}\n{}\n{}", one.status, two.status, one.body, two.body);
        site.close().await;
    }
}

on_each_engine! {
    async fn a_session_reaches_no_key_of_anybody_else(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let (first, second, link) = two_keys(&secrets).await;
        app.owner(2, "bob@acme.example").await;
        app.execute(&format!("UPDATE api_keys SET owner_id = 2 WHERE public_id = '{}'", second.id)).await;
        let site = Site::open(&secrets).await;
        let session = Session::begin(&site, &link).await;
        let list = session.get("/mine").await.body;
        assert!(list.contains(&first.id.to_string()) && !list.contains(&second.id.to_string()));
        let page = session.get(&format!("/mine/{}", second.id)).await;
        let unknown = session.get("/mine/7Hk2pQ9rT4aB").await;
        assert_eq!((page.status, &page.body), (404, &unknown.body), "as if there were none");
        let refused = session.rotate(&second, "overlap=0").await;
        assert_eq!((refused.status, secret_in(&refused.body)), (404, None));
        assert_eq!(secrets.finding(&second).await, "valid");
        site.close().await;
    }
}

on_each_engine! {
    async fn a_form_without_the_sessions_proof_rotates_nothing(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let (_, second, link) = two_keys(&secrets).await;
        let site = Site::open(&secrets).await;
        let other = Session::begin(&site, &link).await;
        let session = Session::begin(&site, &link).await;
        assert!(!other.is_good().await, "a link has one session");
        let path = format!("/mine/{}/rotate", second.id);
        let same = format!("{}sec-fetch-site: same-origin\r\n", session.cookie);
        let cross = format!("{}sec-fetch-site: cross-site\r\n", session.cookie);
        let (own, foreign) = (format!("csrf={}&overlap=0", session.csrf), format!("csrf={}&overlap=0", other.csrf));
        for (headers, form, status) in [
            (same.as_str(), "overlap=0", 400),
            (&same, &foreign, 400),
            (&cross, &own, 400),
            (&session.cookie, &own, 400),
            ("sec-fetch-site: same-origin\r\n", &own, 403),
            (&other.cookie, &own, 403),
        ] {
            let refused = site.post_with(&path, form, headers).await;
            assert_eq!((refused.status, secret_in(&refused.body)), (status, None), "{headers} {form}");
        }
        assert_eq!(site.post_with("/mine/sign-out", "", &same).await.status, 400);
        assert!(session.is_good().await);
        assert_eq!(secrets.finding(&second).await, "valid");
        assert!(secret_in(&session.rotate(&second, "overlap=0").await.body).is_some());
        site.close().await;
    }
}

on_each_engine! {
    async fn only_a_link_that_still_rotates_a_key_makes_a_session(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let (first, _, link) = two_keys(&secrets).await;
        let site = Site::open(&secrets).await;
        app.clock.advance(days(6));
        let newer = newest_link(&app).await;
        for link in [link.expose(), &"0".repeat(64), "nonsense"] {
            let refused = site.post(&format!("/k/{link}/mine"), "").await;
            assert_eq!((refused.status, refused.header("set-cookie")), (410, None), "{link}");
        }
        let rotated = site.post(&format!("/k/{}/{}/rotate", newer.expose(), first.id), "overlap=0").await;
        assert!(secret_in(&rotated.body).is_some());
        assert_eq!(site.post(&format!("/k/{}/mine", newer.expose()), "").await.status, 410, "it is used up");
        assert_eq!(app.count("owner_sessions").await, 0);
        site.close().await;
    }
}

on_each_engine! {
    async fn a_session_ends_after_a_quarter_of_an_hour_and_by_the_button(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let (_, second, link) = two_keys(&secrets).await;
        let site = Site::open(&secrets).await;
        let session = Session::begin(&site, &link).await;
        app.clock.advance(TimeDelta::minutes(15) - TimeDelta::milliseconds(1));
        assert!(session.is_good().await);
        app.clock.advance(TimeDelta::milliseconds(1));
        assert!(!session.is_good().await, "used or not");
        let late = session.rotate(&second, "overlap=0").await;
        assert_eq!((late.status, secret_in(&late.body)), (403, None));
        assert_eq!(session.get(&format!("/mine/{}/use", second.id)).await.status, 403);
        app.job("prune").await;
        assert_eq!(app.count("owner_sessions").await, 1, "it is kept to the very end");
        app.clock.advance(TimeDelta::milliseconds(1));
        app.job("prune").await;
        assert_eq!(app.count("owner_sessions").await, 0);

        let session = Session::begin(&site, &link).await;
        let out = session.post("/mine/sign-out", "").await;
        assert!(out.status == 200 && out.header("set-cookie").unwrap().contains("Max-Age=0"), "{}", out.body);
        assert!(!session.is_good().await, "it is over here too");
        let done: Vec<String> = app.column("SELECT action FROM audit_events WHERE action LIKE 'owner.signed%' ORDER BY id").await;
        assert_eq!(done, ["owner.signed-in", "owner.signed-in", "owner.signed-out"]);
        site.close().await;
    }
}

on_each_engine! {
    async fn whatever_says_that_somebody_else_may_have_it_ends_a_session(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        secrets.enrol(&[]).await;
        let (first, second, link) = two_keys(&secrets).await;
        let site = Site::open(&secrets).await;
        let (db, policies) = (&app.db, secrets.policies().await);

        let session = Session::begin(&site, &link).await;
        otp::reset(db, &policies, OPERATOR, &secrets.owner().await).await.unwrap();
        assert!(!session.is_good().await, "their second factor was reset");

        let session = Session::begin(&site, &link).await;
        let moved = OwnerChange { email: Some("ada@new.example".to_owned()), ..OwnerChange::default() };
        let owner = owners::change(db, "operator", &secrets.owner().await, &moved).await.unwrap();
        assert!(!session.is_good().await, "mails go elsewhere");
        let back = OwnerChange { email: Some("ada@acme.example".to_owned()), ..OwnerChange::default() };
        let owner = owners::change(db, "operator", &owner, &back).await.unwrap();

        let session = Session::begin(&site, &link).await;
        let named = OwnerChange { name: Some("Ada L.".parse().unwrap()), ..OwnerChange::default() };
        owners::change(db, "operator", &owner, &named).await.unwrap();
        assert!(session.is_good().await, "another name is no reason");
        app.clock.advance(TimeDelta::seconds(1));
        assert!(secret_in(&session.rotate(&second, "overlap=0").await.body).is_some());
        app.clock.advance(TimeDelta::seconds(1));
        let told = newest_link(&app).await;
        let disowned = site.post(&format!("/k/{}/{}/suspend", told.expose(), second.id), "").await;
        assert_eq!(disowned.status, 200, "{}", disowned.body);
        assert!(!session.is_good().await, "that rotation was not theirs");

        let session = Session::begin(&site, &told).await;
        let end = Some(app.now() + days(1));
        access::set_end(db, &policies, OPERATOR, &secrets.owner().await, end).await.unwrap();
        assert!(!session.is_good().await, "their access was given an end");
        app.clock.advance(TimeDelta::seconds(1));
        let link = newest_link(&app).await;
        let session = Session::begin(&site, &link).await;
        app.execute(&format!("UPDATE owners SET access_ends_at = {}", app.now().timestamp_millis())).await;
        assert!(!session.is_good().await, "and is over");
        assert_eq!(secrets.finding(&first).await, "valid", "none of it says anything of this key");
        site.close().await;
    }
}

on_each_engine! {
    async fn a_code_is_asked_for_each_key_that_needs_one(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        secrets.require_mfa().await;
        let seed = secrets.enrol(&[]).await;
        let (first, second, link) = two_keys(&secrets).await;
        let site = Site::open(&secrets).await;
        let session = Session::begin(&site, &link).await;
        app.clock.advance(TimeDelta::seconds(1));
        let page = session.get(&format!("/mine/{}", second.id)).await.body;
        assert!(page.contains("autocomplete=\"one-time-code\""), "{page}");
        for (form, says) in [
            ("overlap=0", "A code of your second factor is needed"),
            ("overlap=0&otp=000000", "The code is wrong"),
        ] {
            let refused = session.rotate(&second, form).await;
            assert!(refused.status == 422 && refused.body.contains(says), "{}", refused.body);
        }
        let misses: Vec<i64> = app.column("SELECT otp_in_a_row FROM owners WHERE id = 1").await;
        assert_eq!(misses, [1], "a wrong code is counted here too");
        let code = code_of(&app, &seed);
        assert!(secret_in(&session.rotate(&second, &format!("overlap=0&otp={code}")).await.body).is_some());
        let again = session.rotate(&first, &format!("overlap=0&otp={code}")).await;
        assert!(again.body.contains("This code has been used"), "one code, one key: {}", again.body);
        app.clock.advance(TimeDelta::seconds(30));
        let code = code_of(&app, &seed);
        assert!(secret_in(&session.rotate(&first, &format!("overlap=0&otp={code}")).await.body).is_some());
        site.close().await;
    }
}

fn code_of(app: &TestApp, seed: &Seed) -> String {
    seed.code_at(app.now()).unwrap().expose().to_owned()
}

on_each_engine! {
    async fn a_second_factor_set_up_by_the_link_opens_no_other_key(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        secrets.require_mfa().await;
        let (_, second, link) = two_keys(&secrets).await;
        let site = Site::open(&secrets).await;
        let session = Session::begin(&site, &link).await;
        let page = session.get(&format!("/mine/{}", second.id)).await.body;
        assert!(page.contains("you have set up none yet") && !page.contains("/otp\""), "{page}");
        // As whoever has somebody's link could do.
        let seed = secrets.enrol(&[]).await;
        app.clock.advance(TimeDelta::seconds(30));
        for session in [session, Session::begin(&site, &link).await] {
            let form = format!("overlap=0&otp={}", code_of(&app, &seed));
            let refused = session.rotate(&second, &form).await;
            assert!(!session.is_good().await || refused.body.contains("after the mail was sent"), "{}", refused.body);
            assert_eq!(secret_in(&refused.body), None);
        }
        assert_eq!(secrets.finding(&second).await, "valid");
        // A newer mail is the owner's.
        app.clock.advance(days(6));
        let newer = newest_link(&app).await;
        let session = Session::begin(&site, &newer).await;
        let form = format!("overlap=0&otp={}", code_of(&app, &seed));
        assert!(secret_in(&session.rotate(&second, &form).await.body).is_some());
        site.close().await;
    }
}

on_each_engine! {
    async fn in_the_window_a_session_proves_what_a_link_proves(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let old = secrets.create().await;
        newest_link(&app).await;
        app.clock.advance(days(60));
        let young = secrets.create().await;
        newest_link(&app).await;
        app.clock.advance(days(31));
        app.pass().await;
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let session = Session::begin(&site, &link).await;
        app.execute("UPDATE tenants SET policy = '{\"window_proof\": [\"secret_and_otp\"]}'").await;
        let refused = session.rotate(&old, "").await;
        assert!(refused.body.contains("do not let a link bring it back"), "{}", refused.body);
        app.execute("UPDATE tenants SET policy = '{}'").await;
        app.clock.advance(TimeDelta::seconds(1));
        let done = session.rotate(&old, "").await;
        let new = secret_in(&done.body).expect("it is brought back").to_owned();
        assert_eq!(secrets.verify(&new).await.finding.as_str(), "valid");
        assert_ne!(secrets.finding(&old).await, "valid", "what is dead stays dead");
        assert_eq!(secrets.finding(&young).await, "valid");
        app.execute(&format!("UPDATE api_keys SET kind = 3 WHERE public_id = '{}'", young.id)).await;
        let token = session.rotate(&young, "overlap=0").await;
        assert!(token.body.contains("A mail is not enough"), "{}", token.body);
        site.close().await;
    }
}
