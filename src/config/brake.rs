//! `[brake]`

use serde::Deserialize;

use crate::{
    config::{rule::Rule, schema::Rules},
    domain::brake::{Limit, Limits},
};

/// `[brake]`: how much may be destroyed before somebody has to look.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrakeConfig {
    /// Whether there is a brake.
    pub enabled: bool,
    /// How many keys may expire within half an hour.
    pub expire_keys: u32,
    /// How many of a hundred active keys may.
    pub expire_percent: u8,
    /// How many keys may be purged within half an hour.
    pub purge_keys: u32,
    /// How many of a hundred keys may.
    pub purge_percent: u8,
}

impl BrakeConfig {
    /// As the domain has it.
    pub fn limits(&self) -> Limits {
        let limit = |keys: u32, percent: u8| Limit { keys: keys.into(), percent: percent.into() };
        Limits {
            is_enabled: self.enabled,
            expire: limit(self.expire_keys, self.expire_percent),
            purge: limit(self.purge_keys, self.purge_percent),
        }
    }
}

const KEYS: Rule = Rule::Whole(10, 1_000_000);
const PERCENT: Rule = Rule::Whole(1, 100);

pub(super) const RULES: Rules = &[
    ("brake.enabled", Rule::Flag),
    ("brake.expire_keys", KEYS),
    ("brake.expire_percent", PERCENT),
    ("brake.purge_keys", KEYS),
    ("brake.purge_percent", PERCENT),
];

#[cfg(test)]
mod tests {
    use crate::{config::Config, domain::brake::Limits};

    #[test]
    fn the_domain_has_the_same_defaults() {
        let config = Config::load(None, std::iter::empty()).unwrap().config;
        assert_eq!(config.brake.limits(), Limits::default());
    }
}
