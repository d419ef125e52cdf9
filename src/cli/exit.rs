//! How a command ends: its exit code, and what is said on stderr if it did not go well.

use std::{io, process::ExitCode};

use thiserror::Error;

use crate::{
    cli::output::Out,
    config::ConfigErrors,
    domain::{life::LifeError, rotation::Refusal},
    store::{StoreError, keys::KeyError, otp::OtpError, rotation::RotationError},
};

/// How a command ended. The codes are relied upon; usage errors (2) are clap's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Done,
    /// Nothing was done, or nobody knows.
    Failed,
    /// It was called wrongly.
    Usage,
    /// It ran, but some items failed or are parked.
    Partial,
    /// The brake is on.
    Brake,
    /// The configuration is wrong.
    Config,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::Brake => 4,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Something a person has to put right: what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Failure {
    message: String,
    hint: Option<String>,
    exit: Exit,
}

impl Failure {
    /// `message` says what is wrong and where, in lower case.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, exit: Exit::Failed }
    }

    /// What to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// That the command was called wrongly.
    pub fn usage(mut self) -> Self {
        self.exit = Exit::Usage;
        self
    }
}

/// Says once, on stderr, what went wrong, and decides how the process ends.
pub(super) fn report(out: &Out, error: &anyhow::Error) -> Exit {
    if is_broken_pipe(error) {
        // Whoever read our output has seen enough.
        return Exit::Done;
    }
    if let Some(errors) = error.downcast_ref::<ConfigErrors>() {
        for problem in errors.problems() {
            let text = problem.to_string();
            let (message, hint) = split_hint(&text);
            out.error(message, hint);
        }
        return Exit::Config;
    }
    let (failure, text) = (error.downcast_ref::<Failure>(), format!("{error:#}"));
    let (message, hint) = split_hint(&text);
    let hint = hint.or_else(|| failure.and_then(|failure| failure.hint.as_deref()));
    out.error(message, hint.or_else(|| usual_hint(error)));
    failure.map_or(Exit::Failed, |failure| failure.exit)
}

/// Rooms that know no `Failure` put their advice on a second line.
fn split_hint(text: &str) -> (&str, Option<&str>) {
    match text.split_once("\n  hint: ") {
        Some((message, hint)) => (message, Some(hint)),
        None => (text, None),
    }
}

/// What helps against errors that many commands can meet.
fn usual_hint(error: &anyhow::Error) -> Option<&'static str> {
    if let Some(error) = error.chain().find_map(|cause| cause.downcast_ref::<KeyError>()) {
        return match error {
            KeyError::Expired(_) => Some("an expired key is rotated, not extended"),
            KeyError::Revoked => Some("make a new key with `lapsed keys create`"),
            KeyError::NoKey(_) => Some("`lapsed keys list` shows the keys there are"),
            KeyError::Corrupt(_) => Some("`lapsed keys show ID` says what is wrong with its row"),
            KeyError::Life(error) => life_hint(error),
            KeyError::TooMany { .. } => Some("`lapsed keys revoke ID` makes room for another"),
            KeyError::NotAwaited(_) => Some("`lapsed keys explain` says what comes next and why"),
            KeyError::Suspension(_) => Some("`lapsed keys explain` says what has happened to it"),
            KeyError::NoOwner
            | KeyError::Stale
            | KeyError::Once(_)
            | KeyError::Otp(_)
            | KeyError::Second(_)
            | KeyError::Store(_) => None,
        };
    }
    if let Some(error) = error.chain().find_map(|cause| cause.downcast_ref::<RotationError>()) {
        return rotation_hint(error);
    }
    if let Some(error) = error.chain().find_map(|cause| cause.downcast_ref::<OtpError>()) {
        return otp_hint(error);
    }
    match error.chain().find_map(|cause| cause.downcast_ref::<StoreError>())? {
        StoreError::Unavailable { .. } => {
            Some("`lapsed config show` names the database in database.url: is it running?")
        }
        StoreError::Busy { .. } => Some("nothing has changed: try again"),
        _ => None,
    }
}

fn rotation_hint(error: &RotationError) -> Option<&'static str> {
    match error {
        RotationError::Refused(Refusal::Life(error)) => life_hint(error),
        RotationError::Refused(Refusal::Suspended) => {
            Some("`lapsed keys explain` says why; `lapsed keys unsuspend` lifts it")
        }
        RotationError::Refused(Refusal::Revoked | Refusal::WindowClosed { .. }) => {
            Some("make a new key with `lapsed keys create`")
        }
        RotationError::Otp(error) => otp_hint(error),
        RotationError::NoKey(_) => Some("`lapsed keys list` shows the keys there are"),
        RotationError::Conflict => Some("`lapsed keys explain ID` tells who it was"),
        RotationError::NotReissuable => Some("lapsed keys rotate ID"),
        RotationError::Corrupt(_) => Some("`lapsed keys show ID` says what is wrong with its row"),
        RotationError::NoOverlap | RotationError::Mismatch | RotationError::Store(_) => None,
    }
}

fn otp_hint(error: &OtpError) -> Option<&'static str> {
    match error {
        OtpError::Required => Some("give it on stdin with --otp -, or call lapsed from a terminal"),
        OtpError::NotEnrolled => Some("`lapsed otp setup MAIL` sets one up"),
        OtpError::AlreadyEnrolled | OtpError::Stopped => {
            Some("`lapsed otp reset MAIL` takes it away")
        }
        OtpError::Invalid => Some("is the device's clock right?"),
        OtpError::Seal(_) => {
            Some("`lapsed config show` names the master key file: is it the right one?")
        }
        _ => None,
    }
}

fn life_hint(error: &LifeError) -> Option<&'static str> {
    match error {
        LifeError::TooLong { .. } | LifeError::TooShort { .. } | LifeError::MustExpire { .. } => {
            Some("`lapsed policy show` shows what is allowed, and who says so")
        }
        LifeError::AccessEnded { .. } | LifeError::AccessEnds { .. } => {
            Some("`lapsed owners set MAIL --access-ends DATE` gives the owner more time")
        }
        LifeError::NotLonger { .. } => Some("`lapsed keys revoke ID` ends a key at once"),
        LifeError::Past { .. } => None,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let mut io = cause.downcast_ref::<io::Error>();
        // csv wraps what it is told by the writer.
        if let Some(csv::ErrorKind::Io(error)) =
            cause.downcast_ref::<csv::Error>().map(csv::Error::kind)
        {
            io = Some(error);
        }
        io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_taken_off_its_message() {
        assert_eq!(split_hint("bad\n  hint: mend it"), ("bad", Some("mend it")));
        assert_eq!(split_hint("bad"), ("bad", None));
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let error = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&anyhow::Error::from(error).context("print")));
        let error = csv::Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_broken_pipe(&error.into()));
        assert!(!is_broken_pipe(&io::Error::from(io::ErrorKind::NotFound).into()));
    }
}
