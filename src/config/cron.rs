//! Cron lines: six fields, seconds first.

use std::{fmt, str::FromStr};

use chrono::DateTime;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use serde::{Deserialize, Deserializer, de::Error as _};
use thiserror::Error;

use crate::config::rule::Misfit;

/// A cron line of six fields that fires at some time.
///
/// Where a day of the month and a day of the week are given, both have to fit.
#[derive(Clone, Debug)]
pub struct CronLine {
    text: String,
    cron: Cron,
}

impl CronLine {
    /// The line as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The line, parsed.
    pub fn cron(&self) -> &Cron {
        &self.cron
    }
}

impl fmt::Display for CronLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// A text that is no cron line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotACronLine {
    /// There are five fields, as in crontab(5).
    #[error("it has no field for the seconds")]
    NoSeconds,
    /// It names a date that no calendar has.
    #[error("it names a time that never comes")]
    Never,
    /// Anything else, in the parser's words.
    #[error("{0}")]
    Syntax(String),
}

impl FromStr for CronLine {
    type Err = NotACronLine;

    fn from_str(text: &str) -> Result<Self, NotACronLine> {
        if text.split_whitespace().count() == 5 {
            return Err(NotACronLine::NoSeconds);
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Disallowed)
            .dom_and_dow(true)
            .build();
        let cron = parser.parse(text).map_err(|error| NotACronLine::Syntax(error.to_string()))?;
        // Any start will do: without a year, what comes at all comes within a few decades.
        cron.find_next_occurrence(&DateTime::UNIX_EPOCH, false).map_err(|_| NotACronLine::Never)?;
        Ok(Self { text: text.to_owned(), cron })
    }
}

/// Reads a line; an empty text is none.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<CronLine>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
}

/// Admits a line, or an empty text.
pub(super) fn check(text: &str) -> Result<(), Misfit> {
    if text.is_empty() {
        return Ok(());
    }
    text.parse::<CronLine>().map(drop).map_err(|error| match error {
        NotACronLine::NoSeconds => {
            Misfit::hint(format!("put a field for the seconds at the beginning: `0 {text}`"))
        }
        NotACronLine::Never => Misfit {
            says: Some(format!("is {text:?}, which names a time that never comes")),
            hint: Some("an empty text switches a job off".to_owned()),
        },
        NotACronLine::Syntax(_) => Misfit::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, NotACronLine> {
        text.parse::<CronLine>().map(|line| line.to_string())
    }

    #[test]
    fn a_line_has_six_fields_and_fires() {
        for text in ["0 * * * * *", "*/15 * * * * *", "0 17 3 * * *", "0 0 0 29 2 *", "0 0 9 L * *"]
        {
            assert_eq!(parse(text).as_deref(), Ok(text));
        }
        assert_eq!(parse("17 3 * * *"), Err(NotACronLine::NoSeconds));
        assert_eq!(parse("0 0 0 30 2 *"), Err(NotACronLine::Never));
        for wrong in ["", "often", "0 * * * *  * 2030", "61 * * * * *", "0 * * * * MOON"] {
            assert!(matches!(parse(wrong), Err(NotACronLine::Syntax(_))), "{wrong}");
        }
    }

    #[test]
    fn both_days_have_to_fit() {
        let line: CronLine = "0 0 0 13 * FRI".parse().unwrap();
        let next = line.cron().find_next_occurrence(&DateTime::UNIX_EPOCH, false).unwrap();
        assert_eq!(next.to_string(), "1970-02-13 00:00:00 UTC");
    }
}
