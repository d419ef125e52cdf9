//! Many keys, made by the database itself: a million rows in one statement.
//!
//! Every so many-th key is due, so that they lie all over the table as in a real one. Of those
//! that are due to the sweep, a fifth each is about to be told of 30 days, of 7, of 1, of its
//! expiry, and of its window's last day.

use chrono::{DateTime, Utc};
use lapsed::store::Engine;

use crate::place::Place;

/// A day in milliseconds.
pub(crate) const DAY: i64 = 86_400_000;
/// How many tenants share the keys.
const TENANTS: i64 = 7;

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    /// All keys.
    pub(crate) keys: i64,
    /// Every so many-th is due,
    pub(crate) stride: i64,
    /// of those up to this number.
    pub(crate) within: i64,
    /// All owners.
    pub(crate) owners: i64,
    /// The instant around which everything is laid out, in epoch milliseconds.
    pub(crate) now: i64,
    /// What is due.
    pub(crate) due_to: DueTo,
}

/// To which job the due keys are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DueTo {
    /// Stages of a life in equal parts.
    Sweep,
    /// Keys whose window is over, with their secrets, and with all that was told of them.
    Purge,
}

impl Fleet {
    /// A fleet with five keys to an owner.
    pub(crate) fn new(keys: u64, due: u64, now: DateTime<Utc>, due_to: DueTo) -> Self {
        let (keys, due) = (keys.cast_signed(), due.cast_signed().max(1));
        let now = now.timestamp_millis();
        let owners = (keys / 5).max(1);
        Self { keys, stride: keys / due, within: keys, owners, now, due_to }
    }

    /// A fleet in which the due keys lie equally dense, however many others there are.
    pub(crate) fn dense(keys: u64, due: u64, now: DateTime<Utc>) -> Self {
        let fleet = Self::new(keys, due, now, DueTo::Sweep);
        Self { stride: 5, within: due.cast_signed() * 5, ..fleet }
    }

    /// How many keys are due.
    pub(crate) fn due(&self) -> u64 {
        (self.within / self.stride).cast_unsigned()
    }

    /// Of how many owners they are: the numbers of due keys go round through every so many-th of
    /// the owners' numbers.
    pub(crate) fn due_owners(&self) -> u64 {
        let common = gcd(self.stride, self.owners);
        self.due().min((self.owners / common).cast_unsigned())
    }

    /// Makes the fleet in an empty database.
    pub(crate) async fn fill(&self, place: &Place) -> anyhow::Result<()> {
        let Self { owners, keys, .. } = *self;
        let text = |before: &str| text(place.engine, before);
        let few = series(place.engine, TENANTS);
        place
            .execute(&format!(
                "INSERT INTO tenants (id, slug, name, contacts, created_at) \
                 SELECT n, {0}, {0}, '[]', 0 FROM {few}",
                text("tenant-")
            ))
            .await?;
        place
            .execute(&format!(
                "INSERT INTO environments (id, tenant_id, slug, name, class, contacts, created_at) \
                 SELECT n, n, 'production', 'Production', 1, '[]', 0 FROM {few}"
            ))
            .await?;
        place
            .execute(&format!(
                "INSERT INTO owners (id, public_id, tenant_id, email, name, kind, time_zone, \
                 locale, mail_status, created_at) SELECT n, {}, 1 + n % {TENANTS}, {}, {}, 1, \
                 'Europe/Berlin', 'en', 1, 0 FROM {}",
                public_id(place.engine),
                address(place.engine),
                text("Owner "),
                series(place.engine, owners)
            ))
            .await?;
        place.execute(&self.insert_keys(place.engine, &series(place.engine, keys))).await?;
        if self.due_to == DueTo::Purge {
            self.fill_past(place).await?;
        }
        place.tidy().await
    }

    /// What there is beside a key at the end of its life: a secret, and five notices that were
    /// told in time.
    async fn fill_past(&self, place: &Place) -> anyhow::Result<()> {
        place.execute(&self.insert_secrets(place.engine)).await?;
        for (stage, days) in [(30, 38), (7, 15), (1, 9), (0, 8), (-1, 1)] {
            let told_at = self.now - days * DAY;
            place
                .execute(&format!(
                    "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, status, \
                     created_at, due_at, told_at) SELECT id, tenant_id, owner_id, {stage}, \
                     expires_at, 3, {told_at}, {told_at}, {told_at} \
                     FROM api_keys WHERE next_job = 2"
                ))
                .await?;
        }
        Ok(())
    }

    fn insert_secrets(&self, engine: Engine) -> String {
        let mac = match engine {
            Engine::Sqlite => "x'000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f'",
            Engine::Postgres => {
                "'\\x000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f'::bytea"
            }
            Engine::MariaDb => {
                "x'000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f'"
            }
        };
        format!(
            "INSERT INTO key_secrets (key_id, version, algorithm, mac, pepper_id, created_at) \
             SELECT id, 1, 1, {mac}, 1, created_at FROM api_keys WHERE next_job = 2"
        )
    }

    /// Puts back what a sweep or a purge has changed.
    pub(crate) async fn reset(&self, place: &Place) -> anyhow::Result<()> {
        let truncate =
            if place.engine == Engine::Sqlite { "DELETE FROM" } else { "TRUNCATE TABLE" };
        for table in ["links", "messages", "audit_events", "tombstones", "job_runs", "flags"] {
            place.execute(&format!("{truncate} {table}")).await?;
        }
        match self.due_to {
            DueTo::Sweep => {
                place.execute(&format!("{truncate} notices")).await?;
                place
                    .execute(&format!(
                        "DELETE FROM api_keys WHERE id % {} = 0 AND id <= {}",
                        self.stride, self.within
                    ))
                    .await?;
            }
            DueTo::Purge => {
                place.execute("DELETE FROM notices WHERE stage = -2").await?;
            }
        }
        let due = format!(
            "(SELECT n * {} AS n FROM {}) AS due",
            self.stride,
            series(place.engine, self.within / self.stride)
        );
        place.execute(&self.insert_keys(place.engine, &due)).await?;
        if self.due_to == DueTo::Purge {
            place.execute(&self.insert_secrets(place.engine)).await?;
        }
        place.tidy().await
    }

    /// The keys whose numbers are in `numbers`.
    fn insert_keys(&self, engine: Engine, numbers: &str) -> String {
        let Self { stride, within, owners, now, .. } = *self;
        let over = if engine == Engine::MariaDb { "DIV" } else { "/" };
        // The instant at which a due key became due: within the last hour.
        let at = format!("({now} - 1 - n % 3600000)");
        let ahead = |days: i64| format!("{at} + {}", days * DAY);
        let later = format!("{now} + {} + n * 7919 % {}", 31 * DAY, 59 * DAY);
        // Class 0 to 4: the stages of a life; 8: to be purged; 9: not due.
        let class = match self.due_to {
            DueTo::Sweep => format!(
                "CASE WHEN n % {stride} = 0 AND n <= {within} THEN (n {over} {stride} + n {over} {owners}) % 5 \
                 ELSE 9 END"
            ),
            DueTo::Purge => format!("CASE WHEN n % {stride} = 0 THEN 8 ELSE 9 END"),
        };
        let by_class = |cases: &[(u8, String)], rest: &str| {
            let cases: String =
                cases.iter().map(|(class, value)| format!("WHEN {class} THEN {value} ")).collect();
            format!("CASE class {cases}ELSE {rest} END")
        };
        let number = |n: i64| n.to_string();
        let expires_at = by_class(
            &[
                (0, ahead(30)),
                (1, ahead(7)),
                (2, ahead(1)),
                (3, ahead(0)),
                (4, ahead(-6)),
                (8, ahead(-8)),
            ],
            &later,
        );
        let state = by_class(&[(4, number(2)), (8, number(2))], "1");
        let ends = by_class(&[(4, ahead(1)), (8, ahead(0))], "NULL");
        let job = by_class(&[(8, number(2))], "1");
        let next = by_class(&[(9, format!("{later} - {}", 30 * DAY))], &at);
        let stage = by_class(
            &[(1, number(30)), (2, number(7)), (3, number(1)), (4, number(0)), (8, number(-1))],
            "NULL",
        );
        format!(
            "INSERT INTO api_keys (id, public_id, tenant_id, environment_id, owner_id, kind, name, \
             ttl_ms, created_at, issued_at, expires_at, state, window_ends_at, next_job, \
             next_action_at, last_stage, version) \
             SELECT n, {public_id}, 1 + owner % {TENANTS}, 1 + owner % {TENANTS}, owner, 1, {name}, \
             {life}, {expires_at} - {life}, {expires_at} - {life}, {expires_at}, {state}, {ends}, \
             {job}, {next}, {stage}, 1 \
             FROM (SELECT n, 1 + n % {owners} AS owner, {class} AS class FROM {numbers}) AS made",
            public_id = public_id(engine),
            name = text(engine, "deploy key of service "),
            life = 90 * DAY,
        )
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The numbers from 1 to `n_rows`, as a table with the column `n`.
fn series(engine: Engine, n_rows: i64) -> String {
    match engine {
        Engine::Sqlite => format!(
            "(WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count \
             WHERE n < {n_rows}) SELECT n FROM count) AS series"
        ),
        Engine::Postgres => format!("generate_series(1, {n_rows}::bigint) AS series(n)"),
        Engine::MariaDb => format!("(SELECT seq AS n FROM seq_1_to_{n_rows}) AS series"),
    }
}

/// `before` with the number behind it.
fn text(engine: Engine, before: &str) -> String {
    match engine {
        Engine::MariaDb => format!("CONCAT('{before}', n)"),
        _ => format!("'{before}' || n"),
    }
}

/// A mail address that nobody else has.
fn address(engine: Engine) -> String {
    match engine {
        Engine::MariaDb => "CONCAT('owner.', n, '@example.org')".to_owned(),
        _ => "'owner.' || n || '@example.org'".to_owned(),
    }
}

/// Twelve characters that nobody else has, in no order, as the real ones.
fn public_id(engine: Engine) -> String {
    let scattered = "n * 387420489 % 999999999989";
    match engine {
        Engine::Sqlite => format!("printf('%012d', {scattered})"),
        Engine::Postgres => format!("lpad(({scattered})::text, 12, '0')"),
        Engine::MariaDb => format!("LPAD({scattered}, 12, '0')"),
    }
}
