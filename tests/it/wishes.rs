//! How early owners want to be told: what they can switch off, and what comes all the same.

use lapsed::{
    domain::wish::Wish,
    explain,
    jobs::sweep,
    mail::transport::Outgoing,
    store::{
        key_list,
        owners::{self, OwnerChange},
        policies::PolicyBook,
    },
};
use mail_parser::MessageParser;

use crate::{
    links::enable,
    on_each_engine,
    pages::Site,
    support::{
        app::{TestApp, days},
        secrets::Secrets,
    },
};

/// A header of a mail.
fn header(mail: &Outgoing, name: &str) -> Option<String> {
    let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
    parsed.header_raw(name).map(|value| value.trim().to_owned())
}

/// Where the newest mail says that its reader chooses, as a path of the site.
pub fn wish_path(app: &TestApp) -> Option<String> {
    let mail = app.outbox.sent().pop().expect("a mail has gone out");
    let link = header(&mail, "List-Unsubscribe")?;
    let link = link.strip_prefix("<https://keys.example").unwrap().strip_suffix('>').unwrap();
    let text =
        MessageParser::default().parse(&mail.bytes).unwrap().body_text(0).unwrap().into_owned();
    assert!(text.contains(link), "people see it too: {text}");
    Some(link.to_owned())
}

async fn wish(app: &TestApp) -> Wish {
    owners::find(app.db.conn(), 1, "ada@acme.example").await.unwrap().unwrap().wish
}

async fn want(app: &TestApp, wish: Wish) {
    let owner = owners::find(app.db.conn(), 1, "ada@acme.example").await.unwrap().unwrap();
    let change = OwnerChange { wish: Some(wish), ..OwnerChange::default() };
    owners::change(&app.db, "test", &owner, &change).await.unwrap();
}

on_each_engine! {
    async fn what_an_owner_does_not_want_is_written_down_and_not_told(app: TestApp) {
        app.people().await;
        app.key(1, days(60)).await;
        let second = app.now() + days(53);
        want(&app, Wish::Within { days: 14 }).await;
        let book = PolicyBook::load(&app.db, (*app.deps.policies).clone()).await.unwrap();
        app.clock.advance(days(30));
        assert_eq!(sweep::foretell(&app.db, &book).await.unwrap().n_notices, 0, "nobody will be told");
        app.pass().await;
        assert_eq!(app.notices(1).await, ["expiring-30d muted"]);
        assert_eq!(app.subjects(), [""; 0]);
        let view = key_list::find(app.db.conn(), "key000000001").await.unwrap().unwrap();
        let (lines, next) = explain::key(&app.db, &book, &view, days(3), app.now()).await.unwrap();
        let muted = lines.iter().find(|line| line.what == "notice expiring-30d muted").unwrap();
        assert_eq!(muted.detail, "its owner does not want to be told so early");
        assert_eq!(next.at, Some(second), "{next:?}");
        let why = "its owner wants no reminder earlier than 14 days before; the last one comes all the same";
        assert!(next.why.iter().any(|line| line == why), "{next:?}");

        app.clock.advance(days(23));
        app.pass().await;
        want(&app, Wish::Last).await;
        for ahead in [6, 1, 6, 1] {
            app.clock.advance(days(ahead));
            app.pass().await;
        }
        let told = ["expiring-30d muted", "expiring-7d told", "expiring-1d told", "expired told", "closing told", "purged told"];
        assert_eq!(app.notices(1).await, told);
        assert_eq!(app.subjects().len(), 5);
    }
}

on_each_engine! {
    async fn after_an_outage_the_wish_is_about_the_reminder_that_is_due(app: TestApp) {
        app.people().await;
        app.owner(2, "bob@acme.example").await;
        want(&app, Wish::Last).await;
        app.key(1, days(5)).await;
        app.key_of(2, 2, days(5)).await;
        app.pass().await;
        assert_eq!(app.notices(1).await, ["expiring-30d superseded", "expiring-7d muted"]);
        assert_eq!(app.notices(2).await, ["expiring-30d superseded", "expiring-7d told"], "Bob wants them");
        app.clock.advance(days(5));
        app.pass().await;
        let told = ["expiring-30d superseded", "expiring-7d muted", "expiring-1d superseded", "expired told"];
        assert_eq!(app.notices(1).await, told);
    }
}

on_each_engine! {
    async fn only_early_reminders_offer_to_be_switched_off(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        Secrets::new(&app).await.create().await;
        let mut offered = Vec::new();
        for ahead in [0, 60, 23, 6, 1, 6, 1] {
            app.clock.advance(days(ahead));
            let n_before = app.subjects().len();
            app.pass().await;
            for mail in &app.outbox.sent()[n_before..] {
                let post = header(mail, "List-Unsubscribe-Post");
                assert_eq!(post.is_some(), header(mail, "List-Unsubscribe").is_some());
                assert!(post.is_none_or(|post| post == "List-Unsubscribe=One-Click"));
                offered.push(header(mail, "List-Unsubscribe").is_some());
            }
        }
        // 30 and 7 days before; then the last day, expired, closing and purged.
        assert_eq!(offered[offered.len() - 6..], [true, true, false, false, false, false]);
        assert!(offered[..offered.len() - 6].iter().all(|is_offered| !is_offered), "nor that it was made");
    }
}

on_each_engine! {
    async fn one_click_is_enough_and_there_is_a_way_back(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        app.pass().await;
        app.clock.advance(days(60));
        app.pass().await;
        let path = wish_path(&app).unwrap();
        let site = Site::open(&secrets).await;
        for _ in 0..3 {
            let page = site.get(&path).await;
            assert!(page.status == 200 && page.body.contains("Which reminders do you want?"), "{}", page.body);
            assert!(!page.body.contains("ada@"), "a mail may have been passed on: {}", page.body);
        }
        assert_eq!(wish(&app).await, Wish::All, "looking changes nothing");
        // As a mail service sends it: no page of ours, and nothing of a browser's.
        let done = site.post_with(&path, "List-Unsubscribe=One-Click", "").await;
        assert_eq!((done.status, wish(&app).await), (200, Wish::Last));
        let n_mails = app.subjects().len();
        app.clock.advance(days(23));
        app.pass().await;
        assert_eq!(app.subjects().len(), n_mails);
        app.clock.advance(days(6));
        app.pass().await;
        assert_eq!(app.subjects().len(), n_mails + 1, "the last one comes all the same");
        assert_eq!(wish_path(&app), None, "and does not offer to be switched off");

        // The way back: the page of the key leads there.
        let link = crate::links::sent(&app).pop().unwrap();
        let page = site.get(&format!("/k/{}/{}", link.expose(), key.id)).await;
        assert!(page.body.contains(&path), "{}", page.body);
        let saved = site.post(&path, "wish=7d").await;
        assert!(saved.status == 200 && saved.body.contains("Saved"), "{}", saved.body);
        assert_eq!(wish(&app).await, Wish::Within { days: 7 });
        let told = "SELECT detail FROM audit_events WHERE action = 'owner.changed' ORDER BY id";
        let trail: Vec<String> = app.column(told).await;
        assert_eq!(trail.len(), 2, "{trail:?}");
        assert!(trail[0].contains("\"reminders\":\"last\"") && trail[1].contains("\"reminders\":\"7d\""), "{trail:?}");
        site.post(&path, "wish=7d").await;
        assert_eq!(app.column::<String>(told).await.len(), 2, "what changes nothing is not recorded");
        for form in ["", "wish=", "wish=none", "wish=0d", "other=last"] {
            assert_eq!(site.post(&path, form).await.status, 400, "{form}");
        }
        let elsewhere = "sec-fetch-site: cross-site\r\n";
        assert_eq!(site.post_with(&path, "wish=last", elsewhere).await.status, 400);
        assert_eq!(wish(&app).await, Wish::Within { days: 7 });
        site.close().await;
    }
}

on_each_engine! {
    async fn a_wish_link_is_for_its_owner_at_their_address_and_for_nothing_else(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        secrets.create().await;
        app.pass().await;
        app.owner(60, "bob@acme.example").await;
        app.clock.advance(days(60));
        app.pass().await;
        let path = wish_path(&app).unwrap();
        let token = path.rsplit('/').next().unwrap();
        let site = Site::open(&secrets).await;
        let of_bob = format!("/reminders/owner0000060/{token}");
        let unknown = format!("/reminders/000000000000/{token}");
        let guessed = path.replace(token, &"0".repeat(64));
        for wrong in [&of_bob, &unknown, &guessed, &path.replace(token, "x")] {
            let (shown, done) = (site.get(wrong).await, site.post(wrong, "wish=last").await);
            assert_eq!((shown.status, done.status), (410, 410), "{wrong}");
            assert_eq!(shown.body, done.body, "whatever is wrong with it");
        }
        assert_eq!(site.get(&format!("/k/{token}")).await.status, 410, "it opens no key");
        app.execute("UPDATE owners SET email = 'ada@new.example' WHERE id = 1").await;
        assert_eq!(site.get(&path).await.status, 410, "whoever reads the old mailbox");
        site.close().await;
    }
}
