//! `[traces]`

use serde::Deserialize;

use crate::config::{
    rule::{Misfit, Rule},
    schema::Rules,
    url::is_fetchable,
};

/// `[traces]`: where requests and runs are told as spans.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// The collector's address for traces. Empty: none.
    pub url: String,
}

pub(super) const RULES: Rules = &[(
    "traces.url",
    Rule::Text {
        allowed: "a URL that begins with http:// or https://, or empty",
        check: |text| Misfit::unless(text.is_empty() || is_fetchable(text)),
    },
)];
