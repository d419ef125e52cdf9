//! What the links in mails promise: to their owners, and about everybody else.

use std::sync::Arc;

use lapsed::{
    domain::link::{LinkKey, LinkToken},
    jobs::{Deps, deliver::Links},
    mail::{outcome::Outcome, transport::Transport},
    store::links::{self, LinkedKey},
};
use mail_parser::MessageParser;

use crate::{
    on_each_engine,
    support::app::{self, TestApp, days},
};

/// What makes mails of `deps` have links.
pub fn enable(deps: &mut Deps, public_url: &str) {
    let Transport::Memory(outbox) = &deps.mailer.transport else { unreachable!() };
    let mut mailer = app::mailer(Transport::Memory(outbox.clone()));
    mailer.links = Some(Links { public_url: public_url.to_owned(), key: LinkKey::new([9; 32]) });
    deps.mailer = Arc::new(mailer);
}

/// The links of all mails that were taken over, in order.
pub fn sent(app: &TestApp) -> Vec<LinkToken> {
    let token = |mail: &lapsed::mail::transport::Outgoing| {
        let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
        let text = parsed.body_text(0).unwrap();
        let (_, rest) = text.split_once("https://keys.example/k/")?;
        LinkToken::parse(rest.get(..64)?).ok()
    };
    app.outbox.sent().iter().filter_map(token).collect()
}

async fn opened(app: &TestApp, token: &LinkToken) -> Vec<LinkedKey> {
    match links::find(&app.db, token).await.unwrap() {
        Some(link) => links::keys(app.db.conn(), &link).await.unwrap(),
        None => Vec::new(),
    }
}

on_each_engine! {
    async fn a_link_opens_the_keys_of_its_mail_and_no_others(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        app.people().await;
        app.owner(2, "bob@acme.example").await;
        app.key(1, days(7)).await;
        app.key(2, days(7)).await;
        app.key_of(2, 3, days(7)).await;
        app.pass().await;
        let mut opened_ids = Vec::new();
        for token in sent(&app) {
            let ids: Vec<i64> = opened(&app, &token).await.iter().map(|key| key.id.0).collect();
            opened_ids.push(ids);
        }
        opened_ids.sort();
        assert_eq!(opened_ids, [vec![1, 2], vec![3]]);
        app.execute("UPDATE api_keys SET owner_id = 2 WHERE id = 1").await;
        for token in sent(&app) {
            let ids: Vec<i64> = opened(&app, &token).await.iter().map(|key| key.id.0).collect();
            assert!(!ids.contains(&1), "whoever has a key no longer has no link to it");
        }
        let none = LinkToken::parse(&"0".repeat(64)).unwrap();
        assert_eq!(opened(&app, &none).await, []);
        let stored: Vec<String> = app.column("SELECT token_hash FROM links").await;
        for token in sent(&app) {
            assert!(!stored.iter().any(|hash| hash == token.expose()), "only digests are stored");
        }
    }
}

on_each_engine! {
    async fn a_resent_mail_has_the_same_link(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        app.people().await;
        app.key(1, days(7)).await;
        app.sweep().await;
        app.outbox.next_outcomes([Outcome::Unknown { why: "it hung up".to_owned() }]);
        app.job("deliver").await;
        app.clock.advance(chrono::TimeDelta::hours(2));
        app.job("deliver").await;
        let tokens: Vec<_> = sent(&app).iter().map(|token| token.expose().to_owned()).collect();
        assert!(!tokens.is_empty());
        assert!(tokens.iter().all(|token| *token == tokens[0]), "one mail, one link");
        assert_eq!(app.count("links").await, 1);
        assert_eq!(opened(&app, &sent(&app)[0]).await.len(), 1);
    }
}

on_each_engine! {
    async fn a_newer_mail_and_a_new_secret_end_a_link(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        app.people().await;
        app.key(1, days(7)).await;
        app.pass().await;
        let first = sent(&app).remove(0);
        assert!(!opened(&app, &first).await[0].is_replaced);
        app.clock.advance(days(6));
        app.sweep().await;
        let mail_not_out_yet = opened(&app, &first).await;
        assert!(!mail_not_out_yet[0].is_replaced, "only a mail that has gone out replaces a link");
        app.job("deliver").await;
        assert!(opened(&app, &first).await[0].is_replaced);
        let second = sent(&app).remove(1);
        let key = &opened(&app, &second).await[0];
        assert!(!key.is_replaced && !key.is_used);
        app.clock.advance(days(1));
        let now = app.now().timestamp_millis();
        app.execute(&format!("UPDATE api_keys SET issued_at = {now}")).await;
        assert!(opened(&app, &second).await[0].is_used, "the key has had a new secret since");
    }
}

on_each_engine! {
    async fn contacts_get_no_link(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        app.people().await;
        app.execute("UPDATE owners SET mail_status = 2").await;
        app.key(1, days(7)).await;
        app.pass().await;
        assert_eq!(app.subjects().len(), 1);
        assert_eq!((sent(&app).len(), app.count("links").await), (0, 0));
    }
}
