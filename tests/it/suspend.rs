//! "This was not me": what an owner's click does to a key that somebody else rotated.

use chrono::TimeDelta;
use lapsed::{
    domain::{link::LinkToken, rotation::Refusal},
    store::{rotation::RotationError, suspension},
};

use crate::{
    links::{enable, sent},
    on_each_engine,
    pages::Site,
    support::{app::days, secrets::Secrets},
};

/// Rotates the key, has its owner told, and returns the link of that mail.
async fn rotate(secrets: &Secrets<'_>, key: &lapsed::domain::token::Token) -> (String, LinkToken) {
    secrets.app.clock.advance(TimeDelta::seconds(1));
    let rotated = secrets.rotate(key).await.unwrap().token.unwrap();
    secrets.app.clock.advance(TimeDelta::seconds(1));
    secrets.app.job("deliver").await;
    (rotated.expose().to_owned(), sent(secrets.app).pop().unwrap())
}

on_each_engine! {
    async fn a_disowned_rotation_suspends_the_key_until_somebody_lifts_that(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        app.execute("UPDATE tenants SET contacts = '[\"ops@acme.example\"]'").await;
        let key = secrets.create().await;
        let (new, link) = rotate(&secrets, &key).await;
        let finding = async |text: &str| secrets.verify(text).await.finding.as_str();
        let site = Site::open(&secrets).await;
        let path = format!("/k/{}/{}/suspend", link.expose(), key.id);
        for _ in 0..3 {
            let page = site.get(&path).await;
            assert!(page.status == 200 && page.body.contains("It was not me"), "{}", page.body);
        }
        assert_eq!(finding(&new).await, "valid", "looking changes nothing");
        let elsewhere = site.post_with(&path, "", "sec-fetch-site: cross-site\r\n").await;
        assert_eq!((elsewhere.status, finding(&new).await), (400, "valid"));

        let n_mails = app.subjects().len();
        for _ in 0..2 {
            let done = site.post(&path, "").await;
            assert!(done.status == 200 && done.body.contains("deploy is suspended"), "{}", done.body);
        }
        assert_eq!((finding(&new).await, secrets.finding(&key).await), ("suspended", "suspended"));
        let refused = secrets.rotate(&key).await.unwrap_err();
        assert!(matches!(refused, RotationError::Refused(Refusal::Suspended)), "{refused}");
        let refused = secrets.reissue(&key).await.unwrap_err();
        assert!(matches!(refused, RotationError::Refused(Refusal::Suspended)), "{refused}");
        let n: i64 = app.column("SELECT COUNT(*) FROM audit_events WHERE action = 'key.suspended'").await[0];
        assert_eq!(n, 1, "a second click is no second suspension");
        app.job("deliver").await;
        assert_eq!(app.subjects().len(), n_mails + 2, "owner and contacts: {:?}", app.subjects());
        let to: Vec<String> = app.outbox.sent().iter().skip(n_mails)
            .flat_map(|mail| mail.to.iter().map(|to| to.as_str().to_owned())).collect();
        assert!(to.contains(&"ada@acme.example".to_owned()) && to.contains(&"ops@acme.example".to_owned()), "{to:?}");

        app.clock.advance(TimeDelta::seconds(1));
        let id = key.id.to_string();
        suspension::unsuspend(&app.db, &secrets.policies().await, "operator", (&id, None), None).await.unwrap();
        assert_eq!(finding(&new).await, "valid");
        let again = site.post(&path, "").await;
        assert!(again.status == 409 && again.body.contains("let it go on"), "{}", again.body);
        assert_eq!(finding(&new).await, "valid", "a link does not undo what was decided after it");
        suspension::unsuspend(&app.db, &secrets.policies().await, "operator", (&id, None), None).await.unwrap_err();
        site.close().await;
    }
}

on_each_engine! {
    async fn the_life_of_a_suspended_key_goes_on_and_ends(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        let (_, first) = rotate(&secrets, &key).await;
        let (newest, _) = rotate(&secrets, &key).await;
        let site = Site::open(&secrets).await;
        // The first mail is heard though another has gone out since, and stops what came after it.
        let path = format!("/k/{}/{}/suspend", first.expose(), key.id);
        let page = site.get(&path).await;
        assert!(page.body.contains("another new secret since"), "{}", page.body);
        assert_eq!(site.post(&path, "").await.status, 200);
        assert_eq!(secrets.verify(&newest).await.finding.as_str(), "suspended");
        app.clock.advance(days(91));
        app.pass().await;
        let state: i64 = app.column("SELECT CAST(state AS CHAR(1)) FROM api_keys").await
            .into_iter().map(|state: String| state.parse::<i64>().unwrap()).next().unwrap();
        assert_eq!(state, 2, "its window is open");
        app.clock.advance(days(8));
        app.pass().await;
        app.clock.advance(days(8));
        app.pass().await;
        assert_eq!(app.count("api_keys").await, 0, "it is purged like any other");
        assert_eq!(site.get(&path).await.status, 410);
        assert_eq!(site.post(&path, "").await.status, 410);
        site.close().await;
    }
}

on_each_engine! {
    async fn of_several_rotated_keys_each_is_disowned_on_its_own_page(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let (one, other) = (secrets.create().await, secrets.create().await);
        app.job("deliver").await;
        app.clock.advance(TimeDelta::seconds(1));
        secrets.rotate(&one).await.unwrap();
        let others = secrets.rotate(&other).await.unwrap().token.unwrap();
        app.clock.advance(TimeDelta::seconds(1));
        app.job("deliver").await;
        let mail = app.outbox.sent().pop().unwrap();
        let parsed = mail_parser::MessageParser::default().parse(&mail.bytes).unwrap();
        let text = parsed.body_text(0).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("say so on the page of that key"), "{text}");
        let link = sent(&app).pop().unwrap();
        let site = Site::open(&secrets).await;
        let list = site.get(&format!("/k/{}", link.expose())).await;
        let path = format!("/k/{}/{}", link.expose(), one.id);
        assert!(list.body.contains(&format!("href=\"{path}\"")), "{}", list.body);
        let page = site.get(&path).await;
        assert!(page.body.contains(&format!("action=\"{path}/suspend\"")), "{}", page.body);
        // A newer mail about one of them leaves the list with its one deed.
        let (stolen, newer) = rotate(&secrets, &one).await;
        let list = site.get(&format!("/k/{}", link.expose())).await;
        assert!(list.body.contains(&format!("href=\"{path}\"")), "{}", list.body);
        assert_eq!(site.post(&format!("{path}/suspend"), "").await.status, 200);
        assert_eq!(secrets.verify(&stolen).await.finding.as_str(), "suspended");
        assert_eq!(secrets.verify(others.expose()).await.finding.as_str(), "valid");
        let page = site.get(&format!("/k/{}/{}", newer.expose(), one.id)).await;
        assert!(!page.body.contains("/suspend\""), "it is suspended already: {}", page.body);
        site.close().await;
    }
}
