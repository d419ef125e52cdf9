//! Values of fields that are words, as they are written.

use serde::{Deserialize, Serialize};

use crate::domain::{
    name::Label,
    policy::{Channel, Deed, PurgeMode, WindowProof},
    quiet::QuietHours,
};

/// What stands for a text that is not there.
pub(super) const NONE: &str = "none";

/// A length in days or a number, or no end: `90` or `"never"` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "LimitText", into = "LimitText")]
pub enum Limit {
    /// So many days.
    Days(u16),
    /// For ever, or not at all.
    Never,
}

impl Limit {
    /// As the domain has it.
    pub fn days(self) -> Option<u16> {
        match self {
            Self::Days(days) => Some(days),
            Self::Never => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum LimitText {
    Days(u16),
    Word(String),
}

impl TryFrom<LimitText> for Limit {
    type Error = String;

    fn try_from(text: LimitText) -> Result<Self, String> {
        match text {
            LimitText::Days(days) => Ok(Self::Days(days)),
            LimitText::Word(word) if word == "never" => Ok(Self::Never),
            LimitText::Word(word) => Err(format!("`{word}` is neither days nor `never`")),
        }
    }
}

impl From<Limit> for LimitText {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::Days(days) => Self::Days(days),
            Limit::Never => Self::Word("never".to_owned()),
        }
    }
}

/// A [`WindowProof`] as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProofWord(pub WindowProof);

impl TryFrom<String> for ProofWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let proof = WindowProof::of_word(&word).map(Self);
        proof.ok_or_else(|| format!("`{word}` is not one of `mail_link`, `otp`, `secret_and_otp`"))
    }
}

impl From<ProofWord> for String {
    fn from(word: ProofWord) -> Self {
        word.0.as_str().to_owned()
    }
}

/// A [`Deed`] as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeedWord(pub Deed);

impl TryFrom<String> for DeedWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        Deed::of_word(&word).map(Self).ok_or_else(|| {
            let all = Deed::ALL.map(|deed| format!("`{}`", deed.as_str())).join(", ");
            format!("`{word}` is not one of {all}")
        })
    }
}

impl From<DeedWord> for String {
    fn from(word: DeedWord) -> Self {
        word.0.as_str().to_owned()
    }
}

/// A [`PurgeMode`] as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModeWord(pub PurgeMode);

impl TryFrom<String> for ModeWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let mode = PurgeMode::of_word(&word).map(Self);
        mode.ok_or_else(|| format!("`{word}` is neither `auto` nor `manual`"))
    }
}

impl From<ModeWord> for String {
    fn from(word: ModeWord) -> Self {
        word.0.as_str().to_owned()
    }
}

/// A [`Channel`] as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelWord(pub Channel);

impl TryFrom<String> for ChannelWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let channel = Channel::of_word(&word).map(Self);
        channel.ok_or_else(|| format!("`{word}` is neither `owner` nor `contacts`"))
    }
}

impl From<ChannelWord> for String {
    fn from(word: ChannelWord) -> Self {
        word.0.as_str().to_owned()
    }
}

/// Quiet hours as they are written, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HoursWord(pub Option<QuietHours>);

impl TryFrom<String> for HoursWord {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == NONE {
            return Ok(Self(None));
        }
        text.parse().map(|hours| Self(Some(hours))).map_err(|error| format!("quiet_hours: {error}"))
    }
}

impl From<HoursWord> for String {
    fn from(word: HoursWord) -> Self {
        word.0.map_or_else(|| NONE.to_owned(), |hours| hours.to_string())
    }
}

/// Where it is written why the rules are as they are: a text, or `none`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefWord(pub Option<Label>);

impl TryFrom<String> for RefWord {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == NONE {
            return Ok(Self(None));
        }
        let label = text.parse::<Label>().map(|label| Self(Some(label)));
        label.map_err(|_| {
            format!("risk_analysis_ref has 1 to {} characters, all on one line", Label::MAX_CHARS)
        })
    }
}

impl From<RefWord> for String {
    fn from(word: RefWord) -> Self {
        word.0.map_or_else(|| NONE.to_owned(), |label| label.as_str().to_owned())
    }
}
