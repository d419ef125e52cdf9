//! No secret, seed or code is anywhere but where it is shown: not in a row of any table, not in a
//! log, not in an error.

use std::{
    io,
    sync::{Arc, Mutex},
};

use lapsed::{
    domain::otp::{Attempt, RecoveryCode},
    store::{Engine, otp, rotation::Proof},
};
use secrecy::ExposeSecret as _;

use crate::{
    on_each_engine,
    support::{
        app::{OPERATOR, TestApp},
        secrets::Secrets,
    },
};

/// Everything that was logged.
#[derive(Clone, Default)]
pub struct Log(pub Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

on_each_engine! {
    async fn no_secret_is_left_anywhere(app: TestApp) {
        let log = Log::default();
        let writer = { let log = log.clone(); move || log.clone() };
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(writer)
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let (secrets, shown) = live(&app).await;
        drop(guard);

        let stored = dump(&app).await;
        assert!(stored.contains("key.rotated"), "the dump shows what there is");
        let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
        for (place, text) in [("the database", stored), ("the log", logged), ("an error", shown)] {
            let text = text.to_ascii_lowercase();
            for secret in &secrets {
                assert!(!text.contains(&secret.to_ascii_lowercase()), "{place} has `{secret}`");
                let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
                assert!(!text.contains(&hex), "{place} has `{secret}` in hexadecimal digits");
            }
        }
    }
}

/// Does everything there is with secrets. Returns them, and all that `Debug` and errors show.
async fn live(app: &TestApp) -> (Vec<String>, String) {
    let secrets = Secrets::new(app).await;
    secrets.require_mfa().await;
    let recovery = [RecoveryCode::new(rand::random())];
    let seed = secrets.enrol(&recovery).await;
    let first = secrets.create().await;
    let code = secrets.next_code(&seed);
    let rotated = secrets.rotate_with(&first, Proof::Otp(&code)).await.unwrap();
    let mut shown = format!("{rotated:?} {first:?} {seed:?} {code:?} {recovery:?}");
    let wrong = Attempt::parse("918273").unwrap();
    for attempt in [&code, &wrong] {
        let error = secrets.rotate_with(&first, Proof::Otp(attempt)).await.unwrap_err();
        shown += &format!("{error} {error:?}");
    }
    let second = rotated.token.unwrap();
    for text in [first.expose(), second.expose(), &second.expose()[1..], "lpu_live_junk"] {
        shown += &format!("{:?}", secrets.verify(text).await);
    }
    secrets.verifier.uses.flush(&app.db).await.unwrap();
    app.pass().await;
    let keys = [&first, &second].map(|token| token.expose().to_owned());
    let uri = seed.uri("lapsed", "ada").unwrap().expose_secret().to_owned();
    let base32 = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let grouped = recovery[0].grouped().expose_secret().to_owned();
    let policies = secrets.policies().await;
    let mut all = Vec::from(keys.clone());
    all.extend(keys.map(|key| key[22..65].to_owned()));
    all.extend([base32, grouped.replace('-', ""), grouped, "918273".to_owned()]);
    otp::reset(&app.db, &policies, OPERATOR, &secrets.owner().await).await.unwrap();
    (all, shown)
}

/// Every row of every table as text, bytes in hexadecimal digits.
pub async fn dump(app: &TestApp) -> String {
    let (tables, columns) = match app.db.engine() {
        Engine::Sqlite => (
            "SELECT name FROM sqlite_master WHERE type = 'table'",
            "SELECT name FROM pragma_table_info('{}')",
        ),
        Engine::Postgres => (
            "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
            "SELECT column_name::text FROM information_schema.columns WHERE table_name = '{}' \
             AND table_schema = current_schema()",
        ),
        Engine::MariaDb => (
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
            "SELECT column_name FROM information_schema.columns WHERE table_name = '{}' \
             AND table_schema = DATABASE()",
        ),
    };
    let mut dump = String::new();
    for table in app.column::<String>(tables).await {
        for column in app.column::<String>(&columns.replace("{}", &table)).await {
            let text = match app.db.engine() {
                Engine::Sqlite => format!(
                    "CASE typeof({column}) WHEN 'blob' THEN hex({column}) \
                     ELSE COALESCE(CAST({column} AS TEXT), '') END"
                ),
                Engine::Postgres => format!("COALESCE(\"{column}\"::text, '')"),
                Engine::MariaDb => format!(
                    "CONCAT(COALESCE(HEX({column}), ''), ' ', COALESCE(CONVERT({column} USING utf8mb4), ''))"
                ),
            };
            dump += &app.column::<String>(&format!("SELECT {text} FROM {table}")).await.join("\n");
            dump += "\n";
        }
    }
    dump
}
