//! Mistakes in a configuration, as the person reads them who has to put them right.

use std::fmt;

use serde::Serialize;

use crate::config::{
    origin::Origin,
    rule::{Misfit, Rule, found},
};

/// One mistake, or one doubt: where it is, what it is, and what to do.
///
/// Its text is `lapsed.toml:12:1: lifecycle.notice_days is not an option`, followed by a second
/// line `  hint: …` where there is advice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where to look. [`Origin::Default`] where no single place is at fault.
    pub origin: Origin,
    /// The option at fault, if it is one that exists.
    pub option: Option<&'static str>,
    /// What is wrong and what is allowed, on one line. It never contains a secret.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// `option` is `value`, which `rule` does not admit because of `misfit`.
    pub(super) fn misfit(
        option: &'static str,
        rule: &Rule,
        value: &toml::Value,
        misfit: Misfit,
        origin: Origin,
    ) -> Self {
        let says = misfit
            .says
            .unwrap_or_else(|| format!("is {}, but must be {}", found(value), rule.allowed()));
        let message = format!("{option} {says}");
        Self { origin, option: Some(option), message, hint: misfit.hint }
    }

    /// Something that belongs to no option.
    pub(super) fn stray(origin: Origin, message: String, hint: Option<String>) -> Self {
        Self { origin, option: None, message, hint }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File { column, .. } => write!(f, "{}:{column}: ", self.origin)?,
            Origin::Env { .. } => write!(f, "{}: ", self.origin)?,
            Origin::Default => {}
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration. Never empty.
///
/// The text has one problem after the other, in the order of the file, then of the environment;
/// each is a line, and a second one where there is a hint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", self.0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(Vec<Problem>);

impl ConfigErrors {
    /// Nothing if there are no `problems`; otherwise all of them.
    pub(super) fn unless_empty(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self::new(problems)) }
    }

    /// All of `problems`, of which there is at least one, in their order.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        // Stable: what has the same place keeps the order in which it was found.
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        Self(problems)
    }

    /// The problems, one by one.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}
