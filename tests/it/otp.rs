//! A second factor counts once it has been seen, each code of it once, and guesses are few.

use chrono::TimeDelta;
use futures_util::future::join_all;
use lapsed::{
    domain::otp::{Attempt, RecoveryCode, Seed},
    store::{
        key_changes,
        otp::{self, OtpError},
        rotation::{Proof, RotationError},
    },
};
use secrecy::ExposeSecret as _;

use crate::{
    on_each_engine,
    support::{
        app::{OPERATOR, TestApp, days},
        secrets::Secrets,
    },
};

fn wrong() -> Attempt {
    // No code of a random seed is this one, but once in three hundred thousand test runs.
    Attempt::parse("000000").unwrap()
}

/// The OTP error of a rotation.
fn refusal<T>(result: Result<T, RotationError>) -> OtpError {
    match result {
        Err(RotationError::Otp(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was done"),
    }
}

async fn misses(app: &TestApp) -> i64 {
    app.column("SELECT otp_in_a_row FROM owners WHERE id = 1").await[0]
}

on_each_engine! {
    async fn a_second_factor_counts_once_a_code_was_seen(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        secrets.require_mfa().await;
        let (key, owner) = (secrets.create().await, secrets.owner().await);
        assert!(matches!(refusal(secrets.rotate(&key).await), OtpError::NotEnrolled));

        let (seed, keyring) = (Seed::new([3; 20]), &secrets.keyring);
        otp::begin(&app.db, keyring, "operator", &owner, (&seed, &[1; 24])).await.unwrap();
        let code = Attempt::Code(seed.code_at(app.now()).unwrap());
        let early = secrets.rotate_with(&key, Proof::Otp(&code)).await;
        assert!(matches!(refusal(early), OtpError::NotEnrolled), "begun is not done");

        let confirm = async |code| otp::confirm(&app.db, keyring, "operator", &owner, &code, &[]).await;
        assert!(matches!(confirm(wrong()).await, Err(OtpError::Invalid)));
        confirm(code.clone()).await.unwrap();
        assert!(matches!(confirm(code.clone()).await, Err(OtpError::AlreadyEnrolled)));
        let again = otp::begin(&app.db, keyring, "operator", &owner, (&seed, &[2; 24])).await;
        assert!(matches!(again, Err(OtpError::AlreadyEnrolled)), "no way round it");

        assert!(matches!(refusal(secrets.rotate(&key).await), OtpError::Required));
        let used = secrets.rotate_with(&key, Proof::Otp(&code)).await;
        assert!(matches!(refusal(used), OtpError::Replayed), "the set-up has used it up");
        let next = secrets.next_code(&seed);
        secrets.rotate_with(&key, Proof::Otp(&next)).await.unwrap();
        let details: Vec<String> = app.column("SELECT detail FROM audit_events ORDER BY id").await;
        let step = app.now().timestamp() / 30;
        let detail: serde_json::Value = serde_json::from_str(details.last().unwrap()).unwrap();
        assert_eq!(detail["mfa"], serde_json::json!({ "method": "totp", "step": step }));
        let counted = app.db.meter().otp.read();
        // Where no second factor is set up, and none was given, nobody looked at a code.
        let expected = [
            ("accepted", 2),
            ("wrong", 1),
            ("replayed", 1),
            ("throttled", 0),
            ("held", 0),
            ("missing", 1),
        ];
        assert_eq!(counted, expected);
    }
}

on_each_engine! {
    async fn a_code_is_good_for_one_thing_and_a_replay_is_no_guess(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        secrets.require_mfa().await;
        let seed = secrets.enrol(&[]).await;
        let (one, other) = (secrets.create().await, secrets.create().await);
        let code = secrets.next_code(&seed);
        secrets.rotate_with(&one, Proof::Otp(&code)).await.unwrap();
        for key in [&one, &other, &one, &other, &one, &other] {
            let again = secrets.rotate_with(key, Proof::Otp(&code)).await;
            assert!(matches!(refusal(again), OtpError::Replayed));
        }
        assert_eq!(misses(&app).await, 0);
        // A code from before the last one used is as old.
        let older = Attempt::Code(seed.code_at(app.now() - TimeDelta::seconds(30)).unwrap());
        let older = secrets.rotate_with(&other, Proof::Otp(&older)).await;
        assert!(matches!(refusal(older), OtpError::Replayed));
    }
}

on_each_engine! {
    async fn of_fifty_with_one_good_code_one_wins(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        secrets.require_mfa().await;
        let seed = secrets.enrol(&[]).await;
        let mut keys = Vec::new();
        for _ in 0..10 {
            keys.push(secrets.create().await);
        }
        let code = secrets.next_code(&seed);
        let attempts = (0..50).map(|n| secrets.rotate_with(&keys[n % 10], Proof::Otp(&code)));
        let (mut n_won, mut n_refused) = (0, 0);
        for result in join_all(attempts).await {
            match result {
                Ok(_) => n_won += 1,
                Err(RotationError::Otp(OtpError::Replayed | OtpError::Wait { .. })) => n_refused += 1,
                // The winner's key was read before it won.
                Err(RotationError::Conflict) => n_refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((n_won, n_refused), (1, 49));
        let rotated = "SELECT COUNT(*) FROM audit_events WHERE action = 'key.rotated'";
        assert_eq!(app.column::<i64>(rotated).await, [1]);
        let versions: Vec<i64> = app.column("SELECT version FROM key_secrets WHERE version > 1").await;
        assert_eq!(versions, [2]);
    }
}

on_each_engine! {
    async fn guesses_made_together_never_exceed_the_budget(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        secrets.require_mfa().await;
        let seed = secrets.enrol(&[]).await;
        let key = secrets.create().await;
        let mut n_checked = 0;
        for round in 0..10 {
            let guess = wrong();
            let guesses = (0..20).map(|_| secrets.rotate_with(&key, Proof::Otp(&guess)));
            let mut n_now = 0;
            for result in join_all(guesses).await {
                match refusal(result) {
                    OtpError::Invalid => n_now += 1,
                    OtpError::Wait { .. } => {}
                    error => panic!("{error}"),
                }
            }
            assert!(n_now <= if round == 0 { 5 } else { 1 }, "{n_now} in round {round}");
            n_checked += n_now;
            app.clock.advance(TimeDelta::hours(1));
        }
        assert!((5..=14).contains(&n_checked), "{n_checked}");
        let good = Attempt::Code(seed.code_at(app.now()).unwrap());
        secrets.rotate_with(&key, Proof::Otp(&good)).await.unwrap();
        assert_eq!(misses(&app).await, 0, "a good code ends the row");
    }
}

on_each_engine! {
    async fn twenty_misses_a_day_and_a_hundred_in_all(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        secrets.enrol(&[]).await;
        let key = secrets.create().await;
        let guess = wrong();
        let mut n_misses = 0;
        for _ in 0..23 {
            let result = secrets.rotate_with(&key, Proof::Otp(&guess)).await;
            n_misses += i64::from(matches!(refusal(result), OtpError::Invalid));
            app.clock.advance(TimeDelta::hours(1));
        }
        assert_eq!(n_misses, 20, "of 23 in a day");
        app.execute("UPDATE owners SET otp_in_a_row = 100").await;
        app.clock.advance(days(2));
        let stopped = secrets.rotate_with(&key, Proof::Otp(&guess)).await;
        assert!(matches!(refusal(stopped), OtpError::Stopped));

        let (policies, owner) = (secrets.policies().await, secrets.owner().await);
        otp::reset(&app.db, &policies, OPERATOR, &owner).await.unwrap();
        assert_eq!(misses(&app).await, 0);
        assert!(secrets.rotate(&key).await.is_ok(), "nothing asks for a code here");
    }
}

on_each_engine! {
    async fn a_recovery_code_is_good_once(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        secrets.require_mfa().await;
        let codes: Vec<RecoveryCode> = (0..10).map(|n| RecoveryCode::new([n; 10])).collect();
        secrets.enrol(&codes).await;
        assert_eq!(app.count("recovery_codes").await, 10);
        let key = secrets.create().await;
        let typed = |n: usize| Attempt::parse(codes[n].grouped().expose_secret()).unwrap();
        let (first, second) = (typed(0), typed(1));
        let rotated = secrets.rotate_with(&key, Proof::Otp(&first)).await;
        assert!(rotated.is_ok());
        let again = secrets.rotate_with(&key, Proof::Otp(&first)).await;
        assert!(matches!(refusal(again), OtpError::Replayed));
        assert_eq!(misses(&app).await, 0);
        let unknown = Attempt::Recovery(RecoveryCode::new([99; 10]));
        let unknown = secrets.rotate_with(&key, Proof::Otp(&unknown)).await;
        assert!(matches!(refusal(unknown), OtpError::Invalid));
        assert_eq!(misses(&app).await, 1, "and that was a guess");
        let both = join_all([(); 4].map(|()| secrets.rotate_with(&key, Proof::Otp(&second)))).await;
        assert_eq!(both.iter().filter(|result| result.is_ok()).count(), 1);
    }
}

on_each_engine! {
    async fn after_a_reset_no_code_counts_for_a_day_and_windows_wait_as_long(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        secrets.require_mfa().await;
        let old = secrets.enrol(&[RecoveryCode::new([1; 10])]).await;
        let (key, owner, policies) =
            (secrets.create().await, secrets.owner().await, secrets.policies().await);
        app.clock.advance(days(90));
        app.sweep().await;
        let closes = async || app.column::<i64>("SELECT window_ends_at FROM api_keys").await[0];
        let frozen = closes().await;

        let until = otp::reset(&app.db, &policies, OPERATOR, &owner).await.unwrap();
        app.job("deliver").await;
        assert_eq!(app.subjects().last().unwrap(), "ada@acme.example: Your second factor was reset");
        assert_eq!(until, app.now() + days(1));
        assert_eq!(closes().await, frozen + 86_400_000);
        assert_eq!(app.count("recovery_codes").await, 0);
        let stale = secrets.next_code(&old);
        let stale = secrets.rotate_with(&key, Proof::Otp(&stale)).await;
        assert!(matches!(refusal(stale), OtpError::NotEnrolled));

        let new = secrets.enrol(&[]).await;
        let code = secrets.next_code(&new);
        let held = secrets.rotate_with(&key, Proof::Otp(&code)).await;
        assert!(matches!(refusal(held), OtpError::Held { .. }));
        assert_eq!(misses(&app).await, 0, "nothing was guessed");
        otp::reset(&app.db, &policies, OPERATOR, &owner).await.unwrap();
        assert_eq!(closes().await, frozen + 86_400_000, "once, however often");

        let new = secrets.enrol(&[]).await;
        app.clock.advance(days(1));
        let code = secrets.next_code(&new);
        secrets.rotate_with(&key, Proof::Otp(&code)).await.unwrap();
        let twice = otp::reset(&app.db, &policies, OPERATOR, &owner).await;
        assert!(twice.is_ok());
        let nothing = otp::reset(&app.db, &policies, OPERATOR, &owner).await;
        assert!(matches!(nothing, Err(OtpError::NotEnrolled)));
    }
}

on_each_engine! {
    async fn an_owner_without_a_live_key_is_told_of_a_reset_too(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let (owner, policies) = (secrets.owner().await, secrets.policies().await);
        secrets.enrol(&[]).await;
        let key = secrets.create().await;
        key_changes::revoke(&app.db, &policies, OPERATOR, key.id.as_str(), None).await.unwrap();
        let told = || app.subjects().iter().filter(|one| one.ends_with("was reset")).count();
        otp::reset(&app.db, &policies, OPERATOR, &owner).await.unwrap();
        app.job("deliver").await;
        assert_eq!(told(), 1, "of a revoked key");
        app.clock.advance(days(4));
        app.job("purge").await;
        assert_eq!((app.count("api_keys").await, app.count("tombstones").await), (0, 1));
        secrets.enrol(&[]).await;
        otp::reset(&app.db, &policies, OPERATOR, &owner).await.unwrap();
        app.job("deliver").await;
        assert_eq!(told(), 2, "of a purged key");
    }
}

on_each_engine! {
    async fn an_owner_who_never_had_a_key_is_told_of_a_reset_all_the_same(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let (owner, policies) = (secrets.owner().await, secrets.policies().await);
        secrets.enrol(&[]).await;
        otp::reset(&app.db, &policies, OPERATOR, &owner).await.unwrap();
        // A key that comes meanwhile is told of by another mail.
        secrets.create().await;
        app.job("deliver").await;
        let told = || app.subjects().iter().filter(|one| one.ends_with("econd factor was reset")).count();
        assert_eq!((told(), app.subjects().len()), (1, 2), "{:?}", app.subjects());
        assert!(app.subjects().iter().any(|one| one == "ada@acme.example: Your second factor was reset"));
        let status: Vec<i16> = app.column("SELECT status FROM notices ORDER BY id").await;
        assert_eq!(status, [3, 3]);

        // Where they cannot be reached, the contacts are.
        app.execute("DELETE FROM key_secrets").await;
        app.execute("DELETE FROM api_keys").await;
        app.clock.advance(days(2));
        secrets.enrol(&[]).await;
        app.execute("UPDATE owners SET mail_status = 2, mail_status_reason = 'no such user'").await;
        otp::reset(&app.db, &policies, OPERATOR, &owner).await.unwrap();
        app.job("deliver").await;
        assert_eq!(told(), 2);
        assert!(app.subjects().last().unwrap().starts_with("ops@acme.example: For Ada 1:"), "{:?}", app.subjects());
    }
}

on_each_engine! {
    async fn an_operator_goes_without_only_with_a_reason_in_the_trail(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        secrets.require_mfa().await;
        let key = secrets.create().await;
        let proof = Proof::BreakGlass("Ada is ill, and the shop is down");
        secrets.rotate_with(&key, proof).await.unwrap();
        let details: Vec<String> = app.column("SELECT detail FROM audit_events ORDER BY id").await;
        let detail: serde_json::Value = serde_json::from_str(details.last().unwrap()).unwrap();
        assert_eq!(detail["mfa"]["method"], "break_glass");
        assert_eq!(detail["mfa"]["reason"], "Ada is ill, and the shop is down");
    }
}

on_each_engine! {
    async fn a_seed_copied_to_another_owner_is_none(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let seed = secrets.enrol(&[]).await;
        let key = secrets.create().await;
        app.owner(2, "bob@acme.example").await;
        let seeds: Vec<Vec<u8>> = app.column("SELECT otp_seed FROM owners WHERE id = 1").await;
        assert_eq!(seeds[0].len(), 63);
        app.execute("UPDATE api_keys SET owner_id = 2").await;
        app.execute(&format!(
            "UPDATE owners SET otp_confirmed_at = 0, otp_seed = {} WHERE id = 2", blob(&app, &seeds[0])
        ))
        .await;
        let code = secrets.next_code(&seed);
        let copied = secrets.rotate_with(&key, Proof::Otp(&code)).await;
        assert!(matches!(refusal(copied), OtpError::Seal(_)));
    }
}

/// Bytes as a literal of the engine.
fn blob(app: &TestApp, bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match app.db.engine() {
        lapsed::store::Engine::Postgres => format!("'\\x{hex}'::bytea"),
        _ => format!("X'{hex}'"),
    }
}
