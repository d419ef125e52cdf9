//! What is told of a secret, and to whom nothing is.

use chrono::TimeDelta;
use futures_util::future::join_all;
use lapsed::{
    domain::{
        token::{Class, Token},
        verdict::Verdict,
    },
    store::{Engine, key_changes, last_use::LastUse},
};

use crate::{
    on_each_engine,
    support::{
        app::{OPERATOR, days},
        secrets::Secrets,
    },
};

on_each_engine! {
    async fn the_date_decides_and_not_the_daemon(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        let verdict = secrets.verify(key.expose()).await;
        assert!(verdict.is_valid());
        let known = verdict.key.unwrap();
        assert_eq!((known.id, known.version, known.days_left), (key.id, 1, Some(90)));
        assert_eq!(known.expires_at, Some(app.now() + days(90)));

        app.clock.advance(days(90) - TimeDelta::milliseconds(1));
        assert_eq!(secrets.finding(&key).await, "valid");
        app.clock.advance(TimeDelta::milliseconds(1));
        assert_eq!(secrets.finding(&key).await, "expired", "though no sweep came by");
        app.sweep().await;
        let known = secrets.verify(key.expose()).await.key.unwrap();
        assert_eq!(known.window_ends_at, Some(app.now() + days(7)));
    }
}

on_each_engine! {
    async fn one_answer_for_all_that_is_nobodys(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        let forged = |id, secret| Token::new(secrets.brand, key.kind, Class::Live, id, &secret);
        let unknown = forged("nobodyskey00".parse().unwrap(), [1; 32]);
        let wrong = forged(key.id, [1; 32]);
        let other_class = Token::new(secrets.brand, key.kind, Class::Test, key.id, &[1; 32]);
        let mut mistyped = key.expose().to_owned();
        mistyped.replace_range(30..31, if &mistyped[30..31] == "0" { "1" } else { "0" });
        let texts = ["", "nonsense", &mistyped, unknown.expose(), wrong.expose(), other_class.expose()];
        for text in texts {
            assert_eq!(secrets.verify(text).await, Verdict::INVALID, "{text}");
        }
        app.clock.advance(days(100));
        assert_eq!(secrets.verify(wrong.expose()).await, Verdict::INVALID, "and not `expired`");
        app.pass().await;
        app.clock.advance(days(7));
        app.pass().await;
        assert_eq!(app.count("api_keys").await, 0);
        assert_eq!(secrets.verify(key.expose()).await, Verdict::INVALID, "purged");
    }
}

on_each_engine! {
    async fn as_much_is_done_for_a_key_that_is_not_there_as_for_a_wrong_secret(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let (key, purged) = (secrets.create().await, secrets.create().await);
        let rotated = secrets.create().await;
        secrets.rotate(&rotated).await.unwrap();
        app.execute(&format!("DELETE FROM key_secrets WHERE key_id = (SELECT id FROM api_keys WHERE public_id = '{}')", purged.id)).await;
        app.execute(&format!("DELETE FROM api_keys WHERE public_id = '{}'", purged.id)).await;
        let forged = |id| Token::new(secrets.brand, key.kind, Class::Live, id, &[1; 32]);
        let unknown = forged("nobodyskey00".parse().unwrap());
        let (wrong, wrong_of_two) = (forged(key.id), forged(rotated.id));
        let n_statements = || app.db.meter().statements().iter().map(|(_, seen)| seen.count).sum::<u64>();
        for token in [&unknown, &wrong, &wrong_of_two, &purged] {
            let before = n_statements();
            assert_eq!(secrets.verify(token.expose()).await, Verdict::INVALID);
            assert_eq!(n_statements() - before, 1, "one read, and nothing is written");
        }
        let before = n_statements();
        secrets.verify(&key.expose()[1..]).await;
        assert_eq!(n_statements() - before, 0, "anybody can see that a mistyped key is none");
        assert_eq!(secrets.verifier.uses.flush(&app.db).await.unwrap(), 0, "and no use is noted");
    }
}

on_each_engine! {
    async fn those_who_ask_at_the_same_time_are_answered_together_and_each_for_itself(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let (good, rotated, revoked) =
            (secrets.create().await, secrets.create().await, secrets.create().await);
        let policies = secrets.policies().await;
        key_changes::revoke(&app.db, &policies, OPERATOR, revoked.id.as_str(), None).await.unwrap();
        let next = async |key| secrets.rotate(key).await.unwrap().token.unwrap();
        let second = next(&rotated).await;
        let before = next(&second).await;
        let newest = next(&before).await;
        let forged = |id| Token::new(secrets.brand, good.kind, Class::Live, id, &[1; 32]);
        let (unknown, wrong) = (forged("nobodyskey00".parse().unwrap()), forged(good.id));
        let asked = [
            (&good, "valid", Some(1)),
            (&unknown, "invalid", None),
            (&rotated, "invalid", None),
            (&second, "invalid", None),
            (&wrong, "invalid", None),
            (&before, "valid", Some(3)),
            (&revoked, "revoked", Some(1)),
            (&newest, "valid", Some(4)),
        ];
        let n_statements = || app.db.meter().statements().iter().map(|(_, seen)| seen.count).sum::<u64>();
        let n_before = n_statements();
        let all = asked.iter().cycle().take(140);
        let verdicts = join_all(all.clone().map(|(key, ..)| secrets.verify(key.expose()))).await;
        for (verdict, (key, finding, version)) in verdicts.iter().zip(all) {
            let known = verdict.key.map(|known| (known.id, known.version));
            assert_eq!((verdict.finding.as_str(), known), (*finding, version.map(|n| (key.id, n))));
        }
        let n = n_statements() - n_before;
        // How many there are at the least is a matter of who comes when.
        let are_together = app.db.engine() != Engine::MariaDb;
        assert!(if are_together { n < 70 } else { n == 140 }, "{n} statements for 140 keys");
    }
}

on_each_engine! {
    async fn a_mistyped_key_never_reaches_the_database(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        app.db.close().await.unwrap();
        assert_eq!(secrets.verify(&key.expose()[1..]).await, Verdict::INVALID);
        let given = (secrets.brand, secrets.keyring.pepper());
        let answer = secrets.verifier.verify(&app.db, given, (key.expose(), None)).await;
        assert!(answer.is_err(), "without a database nobody is let in");
    }
}

on_each_engine! {
    async fn a_revoked_key_is_revoked_for_its_holder_alone(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        let policies = secrets.policies().await;
        key_changes::revoke(&app.db, &policies, OPERATOR, key.id.as_str(), None).await.unwrap();
        assert_eq!(secrets.finding(&key).await, "revoked");
        let wrong = Token::new(secrets.brand, key.kind, key.class, key.id, &[1; 32]);
        assert_eq!(secrets.finding(&wrong).await, "invalid");
    }
}

on_each_engine! {
    async fn secrets_of_another_system_are_not_ours_to_verify(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        app.execute("UPDATE key_secrets SET algorithm = 2").await;
        assert_eq!(secrets.finding(&key).await, "invalid");
        let new = secrets.rotate(&key).await.unwrap().token.unwrap();
        assert_eq!(secrets.finding(&new).await, "valid", "but the next one is");
        assert_eq!(secrets.finding(&key).await, "invalid");
    }
}

on_each_engine! {
    async fn uses_are_written_down_together_and_only_forwards(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let (one, other) = (secrets.create().await, secrets.create().await);
        let uses = &secrets.verifier.uses;
        let began = app.now().timestamp_millis();
        assert_eq!(uses.flush_if_due(&app.db, app.now()).await.unwrap(), 0);
        secrets.finding(&one).await;
        app.clock.advance(TimeDelta::seconds(4));
        secrets.finding(&one).await;
        secrets.finding(&other).await;
        let last_used = "SELECT last_used_at FROM api_keys ORDER BY id";
        let uses_of = async || app.column::<Option<i64>>(last_used).await;
        assert_eq!(uses.flush_if_due(&app.db, app.now()).await.unwrap(), 0, "not yet");
        assert_eq!(uses_of().await, [None, None]);
        app.clock.advance(TimeDelta::seconds(6));
        assert_eq!(uses.flush_if_due(&app.db, app.now()).await.unwrap(), 2);
        assert_eq!(uses_of().await, [Some(began + 4000); 2]);
        let first: Vec<Option<i64>> =
            app.column("SELECT first_used_at FROM key_secrets ORDER BY id").await;
        assert_eq!(first, [Some(began), Some(began + 4000)]);

        // A daemon that writes late takes nothing back.
        let late = LastUse::default();
        let ids: Vec<i64> = app.column("SELECT id FROM api_keys ORDER BY id").await;
        let key = lapsed::domain::key::KeyId(ids[0]);
        late.note(lapsed::store::last_use::Use { key, version: 1, at: app.now() - days(1), by: None, mac: None });
        assert_eq!(late.flush(&app.db).await.unwrap(), 0);
        assert_eq!(uses_of().await[0], Some(began + 4000));
        let versions: Vec<i64> = app.column("SELECT version FROM api_keys").await;
        assert_eq!(versions, [1, 1], "a use is no change of a key");

        app.clock.advance(days(91));
        assert_eq!(secrets.finding(&one).await, "expired");
        assert_eq!(uses.flush(&app.db).await.unwrap(), 0, "a dead key is not in use");
    }
}
