//! `[clock]`

use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;

use crate::config::{period::Period, rule::Rule, schema::Rules};

/// `[clock]`: when the clock is believed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockConfig {
    /// Whether the clock is doubted at all.
    pub guard: bool,
    /// How long a doubt stands.
    settle: Period,
}

impl ClockConfig {
    /// How long a doubt stands; `None` if the clock is never doubted.
    pub fn settle(&self) -> Option<TimeDelta> {
        self.guard.then(|| TimeDelta::from_std(self.settle.get()).unwrap_or(TimeDelta::MAX))
    }
}

pub(super) const RULES: Rules = &[
    ("clock.guard", Rule::Flag),
    ("clock.settle", Rule::Time(Duration::from_secs(60), Duration::from_secs(7 * 86_400))),
];

#[cfg(test)]
mod tests {
    use crate::{config::Config, domain::doubt::SETTLE};

    #[test]
    fn the_domain_has_the_same_default() {
        let config = Config::load(None, std::iter::empty()).unwrap().config;
        assert_eq!(config.clock.settle(), Some(SETTLE));
    }
}
