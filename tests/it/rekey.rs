//! A new master key beside the old one: nothing stops working while both are there, and what has
//! been put under the new one works when the old one is gone.

use std::sync::Arc;

use lapsed::{
    domain::otp::{Attempt, RecoveryCode},
    keyring::Keyring,
    store::{
        StoreError, otp,
        otp::OtpError,
        rekey::{self, Left, Rekeyed},
        rotation::{Proof, RotationError},
    },
};

use crate::{
    on_each_engine,
    support::{app::TestApp, secrets::Secrets},
};

fn key(digits: &str) -> Keyring {
    Keyring::from_hex(&digits.repeat(32).into()).unwrap()
}

fn both() -> Arc<Keyring> {
    Arc::new(key("02").after(key("01")).unwrap())
}

/// One pass over all seeds.
async fn pass(app: &TestApp, keyring: &Keyring, is_dry: bool) -> Rekeyed {
    let nonces = || Ok::<_, StoreError>(rand::random());
    let how = ("operator", is_dry);
    let (done, last) = rekey::next_seeds(&app.db, keyring, how, 0, nonces).await.unwrap();
    let after = last.unwrap_or_default();
    let (more, last) = rekey::next_seeds(&app.db, keyring, how, after, nonces).await.unwrap();
    assert_eq!((more, last), (Rekeyed::default(), None), "there is one batch here");
    done
}

async fn rotates(
    secrets: &Secrets<'_>,
    key: &lapsed::domain::token::Token,
    attempt: &Attempt,
) -> bool {
    match secrets.rotate_with(key, Proof::Otp(attempt)).await {
        Ok(_) => true,
        Err(RotationError::Otp(OtpError::Invalid | OtpError::Seal(_))) => false,
        Err(error) => panic!("{error}"),
    }
}

on_each_engine! {
    async fn what_was_put_under_the_new_key_needs_the_old_one_no_more(app: TestApp) {
        let mut secrets = Secrets::new(&app).await;
        secrets.keyring = Arc::new(key("01"));
        let codes: Vec<_> = (1..=3).map(|n| RecoveryCode::new([n; 10])).collect();
        let seed = secrets.enrol(&codes).await;
        let (used, unused, by_code) = (secrets.create().await, secrets.create().await, secrets.create().await);
        // A seed of another owner's row is opened by no key.
        app.owner(2, "bob@acme.example").await;
        app.execute("UPDATE owners SET otp_seed = (SELECT s.otp_seed FROM (SELECT otp_seed FROM owners WHERE id = 1) s) WHERE id = 2").await;

        // The new key beside the old: everything goes on.
        secrets.keyring = both();
        for token in [&used, &unused] {
            assert_eq!(secrets.finding(token).await, "valid");
        }
        // Only the one of these two is written down: the other was presented to a daemon that died.
        secrets.verifier = Default::default();
        assert_eq!(secrets.finding(&used).await, "valid");
        secrets.verifier.uses.flush(&app.db).await.unwrap();
        assert!(rotates(&secrets, &by_code, &secrets.next_code(&seed)).await);
        let recovery = |n: usize| Attempt::Recovery(codes[n].clone());
        assert!(rotates(&secrets, &by_code, &recovery(0)).await, "an old recovery code counts");
        let left = rekey::left(&app.db, &secrets.keyring).await.unwrap();
        // The secret that was rotated first is forgotten by the second rotation, and that is under the new key.
        assert_eq!(left, Left { n_secrets: 1, n_recovery_codes: 2 });

        let keyring = secrets.keyring.clone();
        let expected = Rekeyed { n_resealed: 1, n_present: 0, n_damaged: 1 };
        assert_eq!(pass(&app, &keyring, true).await, expected);
        assert_eq!(pass(&app, &keyring, false).await, expected, "the dry run had changed nothing");
        let again = Rekeyed { n_resealed: 0, n_present: 1, n_damaged: 1 };
        assert_eq!(pass(&app, &keyring, false).await, again, "what is done is not done again");
        let trail: Vec<String> =
            app.column("SELECT detail FROM audit_events WHERE action = 'otp.rekeyed'").await;
        assert_eq!(trail.len(), 1);
        assert!(trail[0].contains("\"n_seeds\":1"), "{}", trail[0]);

        // The old key is gone.
        secrets.keyring = Arc::new(key("02"));
        assert_eq!(secrets.finding(&used).await, "valid", "its use has moved it");
        assert_eq!(secrets.finding(&unused).await, "invalid");
        assert!(rotates(&secrets, &by_code, &secrets.next_code(&seed)).await);
        assert!(!rotates(&secrets, &by_code, &recovery(1)).await);
        // The old key alone opens nothing of it any more.
        secrets.keyring = Arc::new(key("01"));
        assert_eq!(secrets.finding(&used).await, "invalid");
        assert!(!rotates(&secrets, &by_code, &secrets.next_code(&seed)).await);
    }
}

on_each_engine! {
    async fn a_batch_that_fails_changes_nothing_and_is_begun_again(app: TestApp) {
        let mut secrets = Secrets::new(&app).await;
        secrets.keyring = Arc::new(key("01"));
        secrets.enrol(&[]).await;
        secrets.keyring = both();
        let stop = || Err(StoreError::Url("a stop".to_owned()));
        let stopped = rekey::next_seeds(&app.db, &secrets.keyring, ("operator", false), 0, stop).await;
        assert!(stopped.is_err());
        assert_eq!(app.column::<i64>("SELECT COUNT(*) FROM audit_events WHERE action = 'otp.rekeyed'").await, [0]);
        assert_eq!(pass(&app, &secrets.keyring.clone(), false).await.n_resealed, 1);
    }
}

on_each_engine! {
    async fn renewed_recovery_codes_are_under_the_new_key(app: TestApp) {
        let mut secrets = Secrets::new(&app).await;
        secrets.keyring = Arc::new(key("01"));
        let seed = secrets.enrol(&[RecoveryCode::new([1; 10])]).await;
        secrets.keyring = both();
        let (owner, code) = (secrets.owner().await, secrets.next_code(&seed));
        let new = [RecoveryCode::new([2; 10]), RecoveryCode::new([3; 10])];
        otp::renew(&app.db, &secrets.keyring, "operator", &owner, &code, &new).await.unwrap();
        assert_eq!(rekey::left(&app.db, &secrets.keyring).await.unwrap(), Left::default());
        assert_eq!(app.count("recovery_codes").await, 2);
        let replayed = otp::renew(&app.db, &secrets.keyring, "operator", &owner, &code, &[]).await;
        assert!(matches!(replayed, Err(OtpError::Replayed)), "one code, one action");
        assert_eq!(app.count("recovery_codes").await, 2);
    }
}
