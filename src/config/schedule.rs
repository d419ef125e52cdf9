//! `[schedule]`

use chrono_tz::{TZ_VARIANTS, Tz};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::config::{
    cron::{self, CronLine},
    rule::{Misfit, Rule},
    schema::Rules,
    suggest,
};

/// `[schedule]`: when the jobs run. `None`: only when they are asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// The time zone of the lines.
    #[serde(deserialize_with = "time_zone")]
    pub time_zone: Tz,
    /// When due keys are looked for.
    #[serde(deserialize_with = "cron::optional")]
    pub sweep: Option<CronLine>,
    /// When mails that wait are sent.
    #[serde(deserialize_with = "cron::optional")]
    pub deliver: Option<CronLine>,
    /// When keys whose window has ended are purged.
    #[serde(deserialize_with = "cron::optional")]
    pub purge: Option<CronLine>,
    /// When old history is deleted.
    #[serde(deserialize_with = "cron::optional")]
    pub prune: Option<CronLine>,
    /// When the audit trail is sealed.
    #[serde(deserialize_with = "cron::optional")]
    pub seal: Option<CronLine>,
}

fn time_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

const CRON: Rule = Rule::Text {
    allowed: "empty, or a cron line of six fields such as \"0 */5 * * * *\"",
    check: cron::check,
};

pub(super) const RULES: Rules = &[
    (
        "schedule.time_zone",
        Rule::Text { allowed: "a time zone such as Europe/Berlin", check: check_time_zone },
    ),
    ("schedule.sweep", CRON),
    ("schedule.deliver", CRON),
    ("schedule.purge", CRON),
    ("schedule.prune", CRON),
    ("schedule.seal", CRON),
];

fn check_time_zone(text: &str) -> Result<(), Misfit> {
    if text.parse::<Tz>().is_ok() {
        return Ok(());
    }
    match suggest::nearest(text, TZ_VARIANTS.iter().map(|zone| zone.name())) {
        Some(near) => Err(Misfit::hint(format!("did you mean `{near}`?"))),
        None => Err(Misfit::default()),
    }
}
