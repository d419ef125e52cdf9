//! How mails leave, and what becomes of those that do not.

use chrono::TimeDelta;
use lapsed::{
    jobs::{
        self,
        runner::{Cause, Runner},
    },
    mail::{
        memory::MemoryOutbox,
        outcome::{Class, Outcome, SmtpStage},
        transport::Transport,
    },
    shutdown::Shutdown,
    store::{channel, retry},
};

use crate::{
    on_each_engine,
    support::app::{days, deps},
};

/// A refusal of this class.
fn refused(class: Class) -> Outcome {
    let (code, reply) = (550, "no".to_owned());
    Outcome::Refused { stage: SmtpStage::Rcpt, class, code, enhanced: None, reply }
}

on_each_engine! {
    async fn an_owner_gets_one_mail_about_many_keys(app: TestApp) {
        app.people().await;
        app.owner(2, "bob@acme.example").await;
        for id in 1..=3 {
            app.key(id, days(7)).await;
        }
        app.key_of(2, 4, days(1)).await;
        app.pass().await;
        let mut subjects = app.subjects();
        subjects.sort();
        assert_eq!(subjects.len(), 2, "{subjects:?}");
        assert!(subjects[0].starts_with("ada@acme.example: 3 API keys"), "{subjects:?}");
        assert!(subjects[1].starts_with("bob@acme.example: "), "{subjects:?}");
        app.pass().await;
        assert_eq!(app.subjects().len(), 2, "nobody is told twice");
    }
}

on_each_engine! {
    async fn what_is_gathered_batch_after_batch_leaves_in_one_run(app: TestApp) {
        app.people().await;
        for id in 2..=31 {
            app.owner(id, &format!("owner{id}@acme.example")).await;
            app.key_of(id, id, days(7)).await;
        }
        app.sweep().await;
        // Whoever sends is done with a batch long before the next is there.
        let app = app.with(|deps| deps.limits.batch = 3);
        let outcome = app.job("deliver").await;
        assert_eq!((outcome.n_examined, outcome.n_changed), (30, 30));
        let mut mails = app.subjects();
        mails.sort();
        mails.dedup();
        assert_eq!(mails.len(), 30, "each owner has one");
    }
}

on_each_engine! {
    async fn a_mail_is_in_its_owners_language(app: TestApp) {
        app.people().await;
        for (id, locale) in [(2, "de-AT"), (3, "fr"), (4, "de")] {
            app.owner(id, &format!("owner{id}@acme.example")).await;
            app.execute(&format!("UPDATE owners SET locale = '{locale}' WHERE id = {id}")).await;
            app.key_of(id, id, days(7)).await;
        }
        app.sweep().await;
        // Whoever is told in the place of an owner can pass on what they get.
        app.execute("UPDATE owners SET email = 'nobody' WHERE id = 4").await;
        app.execute("UPDATE owners SET mail_status = 2 WHERE id = 4").await;
        app.job("deliver").await;
        let mut subjects = app.subjects();
        subjects.sort();
        assert!(subjects[0].starts_with("ops@acme.example: Für "), "{subjects:?}");
        assert!(subjects[1].starts_with("owner2@acme.example: API-Schlüssel "), "{subjects:?}");
        assert!(subjects[2].starts_with("owner3@acme.example: API key "), "{subjects:?}");
        assert_eq!(subjects.len(), 3);
    }
}

on_each_engine! {
    async fn a_key_that_changed_before_the_mail_left_is_left_out(app: TestApp) {
        app.people().await;
        app.key(1, days(7)).await;
        app.key(2, days(7)).await;
        app.sweep().await;
        app.execute("UPDATE api_keys SET expires_at = expires_at + 864000000 WHERE id = 1").await;
        app.job("deliver").await;
        assert_eq!(app.notices(1).await[1], "expiring-7d void");
        assert_eq!(app.notices(2).await[1], "expiring-7d told");
        app.key(3, days(7)).await;
        app.sweep().await;
        app.execute("DELETE FROM api_keys WHERE id = 3").await;
        app.job("deliver").await;
        assert_eq!(app.notices(3).await[1], "expiring-7d void");
        assert_eq!(app.subjects().len(), 1, "a mail with nothing to say is not sent");
    }
}

on_each_engine! {
    async fn an_unreachable_owners_contacts_are_told_instead(app: TestApp) {
        app.people().await;
        app.key(1, days(7)).await;
        app.sweep().await;
        app.outbox.next_outcomes([refused(Class::Recipient)]);
        app.job("deliver").await;
        assert_eq!(app.notices(1).await[1], "expiring-7d pending");
        app.job("deliver").await;
        assert_eq!(app.notices(1).await[1], "expiring-7d escalated");
        assert!(app.subjects()[0].starts_with("ops@acme.example: "), "{:?}", app.subjects());
    }
}

on_each_engine! {
    async fn a_notice_that_nobody_can_be_told_is_recorded_as_such(app: TestApp) {
        app.people().await;
        app.execute("UPDATE owners SET email = 'no address'").await;
        app.execute("UPDATE tenants SET contacts = '[]'").await;
        app.key(1, days(7)).await;
        app.pass().await;
        assert_eq!(app.notices(1).await[1], "expiring-7d failed");
        assert!(app.subjects().is_empty());
    }
}

on_each_engine! {
    async fn a_transient_refusal_is_tried_again_with_the_same_message_id(app: TestApp) {
        app.people().await;
        app.key(1, days(7)).await;
        app.sweep().await;
        app.outbox.next_outcomes([refused(Class::Transient), Outcome::Unknown { why: "lost".into() }]);
        app.job("deliver").await;
        app.clock.advance(TimeDelta::minutes(3));
        app.job("deliver").await;
        app.clock.advance(TimeDelta::minutes(6));
        app.job("deliver").await;
        let attempts = app.outbox.attempts();
        assert_eq!(attempts.len(), 3);
        let id = |n: usize| {
            let text = String::from_utf8_lossy(&attempts[n].0.bytes).into_owned();
            text.lines().find(|line| line.starts_with("Message-ID")).unwrap().to_owned()
        };
        assert_eq!(id(0), id(1));
        assert_eq!(id(0), id(2));
        let ambiguous: Vec<i64> = app.column("SELECT ambiguous FROM messages").await;
        assert_eq!(ambiguous, [1], "what may have arrived twice is counted");
        assert_eq!(app.notices(1).await[1], "expiring-7d told");
    }
}

on_each_engine! {
    async fn a_broken_channel_burns_no_attempt(app: TestApp) {
        app.people().await;
        for owner in 2..=40 {
            app.owner(owner, &format!("o{owner}@acme.example")).await;
            app.key_of(owner, owner, days(7)).await;
        }
        app.sweep().await;
        app.outbox.decide_with(|_| Outcome::NotSent {
            stage: SmtpStage::Auth,
            why: "535 5.7.8 wrong password".to_owned(),
        });
        app.job("deliver").await;
        app.job("deliver").await;
        let tried: Vec<i64> = app.column("SELECT attempts FROM messages").await;
        assert_eq!(tried.iter().sum::<i64>(), 0);
        assert_eq!(app.count("messages WHERE status = 1").await, 39);
        app.outbox.decide_with(|_| MemoryOutbox::accepted());
        app.clock.advance(TimeDelta::minutes(1));
        app.job("deliver").await;
        app.job("deliver").await;
        assert_eq!(app.count("messages WHERE status = 3").await, 39);
    }
}

on_each_engine! {
    async fn a_message_whose_sender_died_is_sent_by_another_and_counted(app: TestApp) {
        app.people().await;
        app.key(1, days(7)).await;
        app.sweep().await;
        app.outbox.next_outcomes([refused(Class::Transient)]);
        app.job("deliver").await;
        let lease = (app.now() + TimeDelta::minutes(10)).timestamp_millis();
        app.execute(&format!("UPDATE messages SET status = 2, holder = 'dead', lease_until = {lease}, next_attempt_at = {lease}")).await;
        app.clock.advance(TimeDelta::minutes(10) - TimeDelta::seconds(1));
        app.job("deliver").await;
        assert_eq!(app.subjects().len(), 0, "it may still live");
        app.clock.advance(TimeDelta::seconds(1));
        app.job("deliver").await;
        assert_eq!(app.subjects().len(), 1);
        assert_eq!(app.column::<i64>("SELECT crashes FROM messages").await, [1]);
    }
}

on_each_engine! {
    async fn a_message_that_kills_its_senders_is_put_aside(app: TestApp) {
        app.people().await;
        app.key(1, days(7)).await;
        app.sweep().await;
        app.outbox.next_outcomes([refused(Class::Transient)]);
        app.job("deliver").await;
        for _ in 0..3 {
            app.execute("UPDATE messages SET status = 2, holder = 'dead', lease_until = 0, next_attempt_at = 0, crashes = crashes").await;
            app.outbox.next_outcomes([refused(Class::Transient)]);
            app.job("deliver").await;
        }
        assert_eq!(app.column::<i16>("SELECT status FROM messages").await, [6]);
    }
}

on_each_engine! {
    async fn a_pause_of_the_channel_holds_for_all_and_over_a_restart(app: TestApp) {
        app.people().await;
        app.key(1, days(7)).await;
        app.sweep().await;
        app.outbox.decide_with(|_| Outcome::NotSent {
            stage: SmtpStage::Auth,
            why: "535 5.7.8 wrong password".to_owned(),
        });
        for minutes in [1, 2, 5, 15, 30, 30] {
            app.job("deliver").await;
            let down = channel::get(app.db.conn()).await.unwrap().unwrap();
            assert_eq!((down.rests_until - app.now()).num_minutes(), minutes);
            assert_eq!(down.why, "AUTH: 535 5.7.8 wrong password");
            // Another daemon, or this one after a restart, knows nothing of its own.
            let transport = Transport::Memory(app.outbox.clone());
            let deps = deps(app.db.clone(), app.clock.clone(), transport);
            let other = Runner::new(deps.clone(), std::time::Duration::from_secs(60), Shutdown::new());
            let n_tried = app.outbox.attempts().len();
            other.run(jobs::find("deliver").unwrap(), Cause::Manual).await.unwrap();
            assert_eq!(app.outbox.attempts().len(), n_tried, "it rests as well");
            assert_eq!(deps.mailer.breaker.rests_until(app.now()), Some(down.rests_until));
            app.clock.advance(TimeDelta::minutes(minutes));
        }
        app.job("deliver").await;
        channel::end_pause(app.db.conn(), "test", app.now()).await.unwrap();
        app.outbox.decide_with(|_| MemoryOutbox::accepted());
        app.job("deliver").await;
        assert_eq!(app.notices(1).await[1], "expiring-7d told");
        assert_eq!(channel::get(app.db.conn()).await.unwrap(), None);
    }
}

on_each_engine! {
    async fn one_policy_for_all_recipients_is_the_channels(app: TestApp) {
        app.people().await;
        for owner in 2..=13 {
            app.owner(owner, &format!("o{owner}@acme.example")).await;
            app.key_of(owner, owner, days(7)).await;
        }
        app.sweep().await;
        app.outbox.decide_with(|_| refused(Class::Policy));
        for n_failures in 1..=3 {
            app.job("deliver").await;
            let down = channel::get(app.db.conn()).await.unwrap().unwrap();
            assert_eq!((down.n_failures, down.by_policy), (n_failures, true));
            app.clock.advance(TimeDelta::minutes(30));
        }
        let tried: Vec<i64> = app.column("SELECT attempts FROM messages").await;
        assert_eq!(tried, [0; 12], "nobody's attempt is burnt");
        assert_eq!(app.count("owners WHERE mail_status <> 1").await, 0, "and nobody's address");
        // It was the relay's doing after all, but for two recipients.
        app.outbox.decide_with(|mail| match mail.to[0].as_str() {
            "o2@acme.example" | "o3@acme.example" => refused(Class::Policy),
            _ => MemoryOutbox::accepted(),
        });
        for _ in 0..6 {
            app.job("deliver").await;
            app.clock.advance(TimeDelta::minutes(12));
        }
        assert_eq!(channel::get(app.db.conn()).await.unwrap(), None);
        assert_eq!(app.count("notices WHERE status = 3").await, 10);
        assert_eq!(app.count("notices WHERE status = 6").await, 2, "their contacts were told");
        let refused: Vec<i64> = app.column("SELECT id FROM owners WHERE mail_status = 2 ORDER BY id").await;
        assert_eq!(refused, [2, 3]);
    }
}

on_each_engine! {
    async fn a_mail_whose_answer_is_lost_is_sent_once_more_and_no_third_time(app: TestApp) {
        app.people().await;
        app.key(1, days(7)).await;
        app.sweep().await;
        app.outbox.decide_with(|_| Outcome::Unknown { why: "the connection broke".to_owned() });
        for _ in 0..4 {
            app.job("deliver").await;
            app.clock.advance(TimeDelta::minutes(30));
        }
        assert_eq!(app.outbox.attempts().len(), 2);
        let row = &app.rows("SELECT status, ambiguous, last_reply FROM messages").await[0];
        let (status, ambiguous): (i16, i64) = (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap());
        assert_eq!((status, ambiguous), (6, 2), "put aside");
        let reply: String = row.try_get_by_index(2).unwrap();
        assert_eq!(reply, "may have been delivered: the connection broke, as it may have been before");
        assert_eq!(app.notices(1).await[1], "expiring-7d queued", "nobody is said to have been told");
        // Whoever has it sent again has looked: it is in doubt twice more before it is put aside.
        retry::retry(&app.db, "operator", retry::Which::All).await.unwrap();
        for _ in 0..4 {
            app.job("deliver").await;
            app.clock.advance(TimeDelta::minutes(30));
        }
        assert_eq!(app.outbox.attempts().len(), 4);
        let ambiguous: Vec<i64> = app.column("SELECT ambiguous FROM messages WHERE status = 6").await;
        assert_eq!(ambiguous, [4], "and the count of doubts is for good");
        app.outbox.decide_with(|_| MemoryOutbox::accepted());
        retry::retry(&app.db, "operator", retry::Which::All).await.unwrap();
        app.job("deliver").await;
        assert_eq!(app.notices(1).await[1], "expiring-7d told");
    }
}
