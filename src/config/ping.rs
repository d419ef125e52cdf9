//! `[ping]`

use std::time::Duration;

use serde::Deserialize;

use crate::config::{
    period::Period,
    rule::{Misfit, Rule},
    schema::Rules,
    url::is_fetchable,
};

/// `[ping]`: a sign of life for whoever watches from outside.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PingConfig {
    /// What is fetched. Empty: nothing.
    pub url: String,
    /// How long an answer may take.
    pub timeout: Period,
}

pub(super) const RULES: Rules = &[
    (
        "ping.url",
        Rule::Text {
            allowed: "a URL that begins with http:// or https://, or empty",
            check: |text| Misfit::unless(text.is_empty() || is_fetchable(text)),
        },
    ),
    ("ping.timeout", Rule::Time(Duration::from_millis(100), Duration::from_secs(60))),
];
