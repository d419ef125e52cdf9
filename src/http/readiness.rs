//! Whether the daemon is ready, decided from what is known. Nothing here waits or asks.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::store::schema::SchemaState;

/// How long a database that was there may be away, or full, before the daemon is not ready. A restart of
/// the database must not take every replica out of service at once.
pub(super) const GRACE: Duration = Duration::from_secs(60);

/// What is known.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// How the database is.
    pub(super) database: Database,
    /// How its schema stands to this program, if it could be asked.
    pub(super) schema: Option<SchemaState>,
    /// Until when no mail is tried, if the channel rests.
    pub(super) mail_rests_until: Option<DateTime<Utc>>,
}

/// How the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Database {
    /// It has not answered since the daemon started.
    Awaited,
    /// It answers.
    Up,
    /// It has not answered for that long.
    Away(Duration),
    /// It answers, but has taken no changes for that long.
    Unwritable(Duration),
}

/// What `/readyz` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    pub(super) status: Status,
    checks: Checks,
}

/// The worst of all checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// All is well.
    Ready,
    /// Something is wrong that taking this daemon out of service would not better.
    Degraded,
    /// Requests should go elsewhere.
    Unready,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Checks {
    database: Check,
    schema: Check,
    mail: Check,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Status {
    /// What trouble that began so long ago amounts to.
    fn of_trouble(since: Duration) -> Self {
        if since < GRACE { Self::Degraded } else { Self::Unready }
    }
}

impl Check {
    fn ready() -> Self {
        Self { status: Status::Ready, detail: None }
    }

    fn but(status: Status, detail: impl Into<String>) -> Self {
        Self { status, detail: Some(detail.into()) }
    }
}

impl Evidence {
    /// Weighs it.
    pub(super) fn report(&self) -> Report {
        let checks = Checks { database: self.database(), schema: self.schema(), mail: self.mail() };
        let worst = checks.database.status.max(checks.schema.status).max(checks.mail.status);
        Report { status: worst, checks }
    }

    fn database(&self) -> Check {
        match self.database {
            Database::Up => Check::ready(),
            Database::Awaited => Check::but(Status::Unready, "it has not been reached yet"),
            Database::Away(since) => Check::but(
                Status::of_trouble(since),
                format!("it has not answered for {} s", since.as_secs()),
            ),
            Database::Unwritable(since) => Check::but(
                Status::of_trouble(since),
                format!(
                    "it has taken no changes for {} s: is its disk full, or is it read-only?",
                    since.as_secs()
                ),
            ),
        }
    }

    fn schema(&self) -> Check {
        match &self.schema {
            Some(SchemaState::Current) => Check::ready(),
            // A newer daemon has begun to take over; this one serves until it is replaced.
            Some(SchemaState::Ahead { .. }) => {
                Check::but(Status::Degraded, "a newer lapsed has migrated the database")
            }
            Some(SchemaState::Behind { n_pending }) => {
                let detail = format!("{n_pending} migrations have to be applied");
                Check::but(Status::Unready, detail)
            }
            // That nobody could be asked is the database's fault, and stands there.
            None => Check::but(self.database().status, "unknown"),
        }
    }

    fn mail(&self) -> Check {
        match self.mail_rests_until {
            None => Check::ready(),
            Some(until) => {
                let until = until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
                Check::but(Status::Degraded, format!("its channel failed; it rests until {until}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(change: impl FnOnce(&mut Evidence)) -> String {
        let mut evidence = Evidence {
            database: Database::Up,
            schema: Some(SchemaState::Current),
            mail_rests_until: None,
        };
        change(&mut evidence);
        serde_json::to_string(&evidence.report()).unwrap()
    }

    fn status(database: Database) -> String {
        let report = report(|evidence| {
            evidence.database = database;
            evidence.schema = None;
        });
        report.split('"').nth(3).unwrap().to_owned()
    }

    #[test]
    fn a_database_that_was_there_has_a_minute() {
        assert_eq!(status(Database::Awaited), "unready");
        assert_eq!(status(Database::Away(Duration::ZERO)), "degraded");
        assert_eq!(status(Database::Away(GRACE - Duration::from_millis(1))), "degraded");
        assert_eq!(status(Database::Away(GRACE)), "unready");
    }

    #[test]
    fn the_report_is_for_programs_and_for_people() {
        let ready = r#"{"status":"ready"}"#;
        let check =
            |status: &str, detail: &str| format!(r#"{{"status":"{status}","detail":"{detail}"}}"#);
        let whole = |status: &str, database: &str, schema: &str, mail: &str| {
            format!(
                r#"{{"status":"{status}","checks":{{"database":{database},"schema":{schema},"mail":{mail}}}}}"#
            )
        };
        assert_eq!(report(|_| ()), whole("ready", ready, ready, ready));

        let rests = check("degraded", "its channel failed; it rests until 2027-01-15T08:00:00Z");
        let found = report(|evidence| {
            evidence.mail_rests_until = DateTime::from_timestamp(1_800_000_000, 0);
        });
        assert_eq!(found, whole("degraded", ready, ready, &rests));

        let newer = check("degraded", "a newer lapsed has migrated the database");
        let found = report(|evidence| {
            evidence.schema = Some(SchemaState::Ahead { unknown: "m2".to_owned() });
        });
        assert_eq!(found, whole("degraded", ready, &newer, ready));

        let older = check("unready", "2 migrations have to be applied");
        let found = report(|evidence| {
            evidence.schema = Some(SchemaState::Behind { n_pending: 2 });
        });
        assert_eq!(found, whole("unready", ready, &older, ready));

        let full = "it has taken no changes for 75 s: is its disk full, or is it read-only?";
        let found = report(|evidence| {
            evidence.database = Database::Unwritable(Duration::from_secs(75));
        });
        assert_eq!(found, whole("unready", &check("unready", full), ready, ready));

        let away = check("unready", "it has not answered for 75 s");
        let found = report(|evidence| {
            evidence.database = Database::Away(Duration::from_secs(75));
            evidence.schema = None;
        });
        assert_eq!(found, whole("unready", &away, &check("unready", "unknown"), ready));
    }
}
