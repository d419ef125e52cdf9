//! A length of time as people write it.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};
use thiserror::Error;

/// A length of time, written with its unit: "500ms", "5s", "10m", "1h 30m".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

impl Period {
    /// The length of time.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("\"{0}\" is no time with its unit, such as \"30s\" or \"10m\"")]
pub struct NotAPeriod(String);

impl FromStr for Period {
    type Err = NotAPeriod;

    fn from_str(text: &str) -> Result<Self, NotAPeriod> {
        humantime::parse_duration(text).map(Self).map_err(|_| NotAPeriod(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_needs_its_unit() {
        assert_eq!("1h 30m".parse::<Period>().unwrap().get(), Duration::from_secs(5400));
        assert_eq!("500ms".parse::<Period>().unwrap().get(), Duration::from_millis(500));
        for wrong in ["", "5", "5 parsecs", "-5s", "soon"] {
            let error = wrong.parse::<Period>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("\"{wrong}\" is no time")), "{error}");
        }
    }
}
