//! `[log]`

use serde::Deserialize;

use crate::config::{
    rule::{Misfit, Rule},
    schema::Rules,
};

/// `[log]`: what the program tells about itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// For whom lines are written.
    pub format: LogFormat,
    /// What is logged, in the words of tracing's filters. Only telemetry can tell whether each
    /// of them makes sense.
    pub filter: String,
}

/// For whom log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people on a terminal, for the journal where stderr goes there, otherwise for machines.
    Auto,
    /// For people.
    Text,
    /// For machines, one JSON object a line.
    Json,
    /// For the journal of systemd, with the fields of each line.
    Journal,
}

pub(super) const RULES: Rules = &[
    ("log.format", Rule::Choice(&["auto", "text", "json", "journal"])),
    (
        "log.filter",
        Rule::Text {
            allowed: "a level such as \"info\", or a list such as \"info,lapsed::mail=debug\"",
            check: |text| Misfit::unless(!text.trim().is_empty()),
        },
    ),
];
