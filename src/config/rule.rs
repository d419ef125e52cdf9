//! What one option may be: the single place for its type, its limits and the words about them.

use std::time::Duration;

use toml::Value;

use crate::config::{period::Period, secret::SecretFile, url};

/// What one option may be.
pub(super) enum Rule {
    /// A whole number from `.0` to `.1`.
    Whole(u32, u32),
    /// A whole number from `.0` to `.1`, or "never".
    WholeOrNever(u32, u32),
    /// A list of whole numbers from `.0` to `.1`.
    Wholes(u32, u32),
    /// Yes or no.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A length of time from `.0` to `.1`.
    Time(Duration, Duration),
    /// A text that `check` admits. `allowed` completes "must be …".
    Text { allowed: &'static str, check: fn(&str) -> Result<(), Misfit> },
    /// A list of texts that `check` admits, one by one.
    Texts { allowed: &'static str, check: fn(&str) -> Result<(), Misfit> },
    /// The path of a file with a secret, a credential, or nothing.
    Secret,
    /// The path of a file that must exist, or nothing.
    File,
    /// The path of a folder that must exist, or nothing.
    Folder,
}

/// Why a value is not admitted.
#[derive(Debug, Default)]
pub(super) struct Misfit {
    /// What is wrong, in words that follow the option's name. `None`: that it is not an allowed
    /// value, which the caller can say itself.
    pub(super) says: Option<String>,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

impl Misfit {
    /// Admits what `fits`.
    pub(super) fn unless(fits: bool) -> Result<(), Self> {
        if fits { Ok(()) } else { Err(Self::default()) }
    }

    /// "Not an allowed value", with advice.
    pub(super) fn hint(hint: impl Into<String>) -> Self {
        Self { says: None, hint: Some(hint.into()) }
    }
}

impl Rule {
    /// Whether the option may be `value`.
    pub(super) fn check(&self, value: &Value) -> Result<(), Misfit> {
        if let Some(text) = value.as_str()
            && text.contains(char::is_control)
        {
            // Nothing here has a use for them, and in a mail header or a log they are an attack.
            let says = Some("contains a control character".to_owned());
            return Err(Misfit { says, hint: None });
        }
        match (self, value) {
            (Self::Whole(least, most), Value::Integer(number)) => {
                Misfit::unless(within(*number, *least, *most))
            }
            (Self::WholeOrNever(least, most), Value::Integer(number)) => {
                Misfit::unless(within(*number, *least, *most))
            }
            (Self::WholeOrNever(..), Value::String(text)) => Misfit::unless(text == "never"),
            (Self::Wholes(least, most), Value::Array(numbers)) => {
                Misfit::unless(numbers.iter().all(|number| {
                    number.as_integer().is_some_and(|number| within(number, *least, *most))
                }))
            }
            (Self::Flag, Value::Boolean(_)) => Ok(()),
            (Self::Choice(words), Value::String(text)) => {
                Misfit::unless(words.contains(&text.as_str()))
            }
            (Self::Time(least, most), Value::String(text)) => Misfit::unless(
                text.parse::<Period>().is_ok_and(|period| (*least..=*most).contains(&period.get())),
            ),
            (Self::Text { check, .. }, Value::String(text)) => check(text),
            (Self::Texts { check, .. }, Value::Array(texts)) => texts.iter().try_for_each(|text| {
                text.as_str()
                    .filter(|text| !text.contains(char::is_control))
                    .map_or(Err(Misfit::default()), check)
            }),
            (Self::Secret, Value::String(text)) => {
                Misfit::unless(text.is_empty() || text.parse::<SecretFile>().is_ok())
            }
            (Self::File | Self::Folder, Value::String(_)) => Ok(()),
            _ => Err(Misfit::default()),
        }
    }

    /// The allowed values, to complete "must be …".
    pub(super) fn allowed(&self) -> String {
        match self {
            Self::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Self::WholeOrNever(least, most) => {
                format!("a whole number from {least} to {most}, or \"never\"")
            }
            Self::Wholes(least, most) => {
                format!("a list of whole numbers from {least} to {most} such as [30, 7, 1]")
            }
            Self::Flag => "true or false".to_owned(),
            Self::Choice(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                match quoted.split_last() {
                    Some((last, [])) => last.clone(),
                    Some((last, others)) => format!("{} or {last}", others.join(", ")),
                    None => String::new(),
                }
            }
            Self::Time(least, most) => format!(
                "a time with its unit such as \"30s\", from {} to {}",
                humantime::format_duration(*least),
                humantime::format_duration(*most)
            ),
            Self::Text { allowed, .. } | Self::Texts { allowed, .. } => (*allowed).to_owned(),
            Self::Secret => "the path of a file, `credential:NAME`, or empty".to_owned(),
            Self::File => "the path of a file, or empty".to_owned(),
            Self::Folder => "the path of a folder, or empty".to_owned(),
        }
    }

    /// Reads `text`, which has no types of its own, as what the option wants. What cannot be read
    /// stays a text, for [`Rule::check`] to refuse; what should be a text stays as it is, even if
    /// it looks like a number.
    pub(super) fn read(&self, text: &str) -> Value {
        let whole = |text: &str| text.trim().parse().ok().map(Value::Integer);
        let read = match self {
            Self::Whole(..) | Self::WholeOrNever(..) => whole(text),
            Self::Wholes(..) => items(text).map(whole).collect::<Option<_>>().map(Value::Array),
            Self::Texts { .. } => {
                let texts = items(text).map(|item| Value::String(unquoted(item).to_owned()));
                Some(Value::Array(texts.collect()))
            }
            Self::Flag => text.trim().parse().ok().map(Value::Boolean),
            _ => None,
        };
        read.unwrap_or_else(|| Value::String(text.to_owned()))
    }
}

fn within(number: i64, least: u32, most: u32) -> bool {
    (i64::from(least)..=i64::from(most)).contains(&number)
}

/// The items of a list written `[30, 7, 1]` or `30,7,1`.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    inner.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// The value as an error message shows it: on one line, not endless, without a URL's password.
pub(super) fn found(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        Value::Table(_) => return "a table".to_owned(),
        Value::String(text) => format!("{:?}", url::mask_password(text)),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(found).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(numbers: &[i64]) -> Value {
        Value::Array(numbers.iter().copied().map(Value::Integer).collect())
    }

    #[test]
    fn a_list_is_read_with_and_without_brackets() {
        for text in ["30,7,1", "[30,7,1]", " [ 30, 7 , 1 ] ", "30,7,1,"] {
            assert_eq!(Rule::Wholes(1, 90).read(text), integers(&[30, 7, 1]), "{text}");
        }
        assert_eq!(Rule::Wholes(1, 90).read(""), integers(&[]));
        assert_eq!(Rule::Wholes(1, 90).read("30;7"), Value::String("30;7".to_owned()));
    }

    #[test]
    fn a_text_that_looks_like_something_else_stays_a_text() {
        let rule = Rule::Text { allowed: "a text", check: |_| Ok(()) };
        for text in ["0123", "true", "1.50", " padded ", "[1]", "\"quoted\""] {
            assert_eq!(rule.read(text), Value::String(text.to_owned()));
        }
    }

    #[test]
    fn limits_belong_to_the_range() {
        let fits = |number| Rule::Whole(1, 90).check(&Value::Integer(number)).is_ok();
        assert_eq!(
            [0, 1, 90, 91, -1, i64::MAX].map(fits),
            [false, true, true, false, false, false]
        );
    }

    #[test]
    fn what_was_found_is_shown_on_one_line_and_cut() {
        assert_eq!(found(&Value::String("a\nb".to_owned())), r#""a\nb""#);
        assert_eq!(found(&integers(&[1, 2])), "[1, 2]");
        assert_eq!(found(&Value::String("x".repeat(100))).chars().count(), 61);
        assert_eq!(found(&Value::String("a://b:c@d".to_owned())), r#""a://b:***@d""#);
    }
}
