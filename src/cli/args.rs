//! Arguments that several commands read alike.

use std::str::FromStr;

use clap::Args;

use crate::{
    cli::when::{self, End},
    domain::{identity::PublicId, life::Ask},
    mail::address::EmailAddress,
};

/// Reads a mail address into the form that is stored: its domain in lower case.
///
/// # Errors
/// What would be right.
pub(super) fn email(text: &str) -> Result<String, String> {
    text.parse::<EmailAddress>()
        .map(|address| address.expose().to_owned())
        .map_err(|error| error.to_string())
}

/// Reads an IANA time zone.
///
/// # Errors
/// What would be right.
pub(super) fn time_zone(text: &str) -> Result<String, String> {
    text.parse::<chrono_tz::Tz>()
        .map(|zone| zone.name().to_owned())
        .map_err(|_| "a time zone is written Europe/Berlin, or UTC".to_owned())
}

/// Reads a language tag such as `en` or `pt-BR`.
///
/// # Errors
/// What would be right.
pub(super) fn locale(text: &str) -> Result<String, String> {
    let is_part = |part: &str| {
        (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if text.len() <= 16 && text.split('-').all(is_part) {
        Ok(text.to_owned())
    } else {
        Err("a language is written en, or pt-BR".to_owned())
    }
}

/// A key as people name it: by its id, or by the visible part of its token.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyName(pub(super) PublicId);

impl FromStr for KeyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = text.split('_').nth(2).unwrap_or(text);
        id.parse()
            .map(Self)
            .map_err(|error: crate::domain::identity::NotAPublicId| error.to_string())
    }
}

/// How long a key shall live.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct LifeArgs {
    /// Let it live so many days from now.
    #[arg(long, value_name = "N", group = "life", value_parser = clap::value_parser!(u16).range(1..))]
    days: Option<u16>,
    /// Let it live until this date.
    #[arg(long, value_name = "DATE", group = "life", value_parser = when::instant)]
    until: Option<chrono::DateTime<chrono::Utc>>,
    /// Let it never expire, where the policy allows that.
    #[arg(long, group = "life")]
    never: bool,
}

impl LifeArgs {
    pub(super) fn ask(self) -> Ask {
        match self {
            Self { days: Some(days), .. } => Ask::For(chrono::TimeDelta::days(days.into())),
            Self { until: Some(until), .. } => Ask::Until(until),
            Self { never: true, .. } => Ask::Never,
            _ => Ask::Default,
        }
    }

    pub(super) fn is_given(self) -> bool {
        self.ask() != Ask::Default
    }
}

/// Contacts, as they are set: all of them, or none.
#[derive(Clone, Debug, Args)]
pub(super) struct ContactArgs {
    /// An address that is told what an owner cannot be told. May be repeated; replaces all.
    #[arg(long = "contact", value_name = "MAIL", value_parser = email)]
    contacts: Vec<String>,
}

impl ContactArgs {
    pub(super) fn list(self) -> Vec<String> {
        self.contacts
    }

    /// What is to be changed; `None` leaves them as they are.
    pub(super) fn change(self, is_cleared: bool) -> Option<Vec<String>> {
        (is_cleared || !self.contacts.is_empty()).then_some(self.contacts)
    }
}

/// The end of an access as an argument: a date, or `never`.
pub(super) fn access_end(text: &str) -> Result<End, String> {
    when::end(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_id_or_by_its_token() {
        for text in ["7Hk2pQ9rT4aB", "lpu_live_7Hk2pQ9rT4aB_", "lpu_live_7Hk2pQ9rT4aB_…"] {
            assert_eq!(text.parse::<KeyName>().unwrap().0.as_str(), "7Hk2pQ9rT4aB");
        }
        assert!("lpu_live".parse::<KeyName>().is_err());
    }

    #[test]
    fn an_address_is_stored_in_one_form() {
        assert_eq!(email(" Ada@EXAMPLE.org ").unwrap(), "Ada@example.org");
        assert!(email("ada").is_err());
        assert!(locale("pt-BR").is_ok() && locale("p").is_err() && locale("en_US").is_err());
        assert!(time_zone("Europe/Berlin").is_ok() && time_zone("Berlin").is_err());
    }
}
