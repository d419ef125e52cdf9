//! Whether a request that waits for a second administrator may be carried out. Nothing in this file
//! can wait, fail for want of a database, or read a clock.

use chrono::{DateTime, Utc};
use thiserror::Error;

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalState {
    /// Waits for a second administrator.
    Pending,
    /// A second administrator approved it, and it was carried out.
    Approved,
    /// Somebody rejected it.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// It cannot be carried out as it was asked for: what it is about has changed, or whoever asked
    /// has lost their token.
    Void,
}

impl ApprovalState {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Approved, Self::Rejected, Self::Expired, Self::Void];

    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Void => "void",
        }
    }

    /// The state that this word names.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The state at `now` of a request that is good until `expires_at`, whether or not anybody has
    /// come by to write down that its time is over.
    pub fn at(self, expires_at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        if self == Self::Pending && expires_at <= now { Self::Expired } else { self }
    }
}

/// Why a request is not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Undecidable {
    /// It has been decided, or its time is over.
    #[error("the request is {} already", .0.as_str())]
    Over(ApprovalState),
    /// Whoever asks for something does not approve it too, whatever token they use.
    #[error("who asked for it cannot approve it: another administrator has to")]
    SamePerson,
}

/// Sees that a request may still be decided.
///
/// # Errors
/// [`Undecidable::Over`].
pub fn see_pending(
    state: ApprovalState,
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), Undecidable> {
    match state.at(expires_at, now) {
        ApprovalState::Pending => Ok(()),
        over => Err(Undecidable::Over(over)),
    }
}

/// Sees that the owner numbered `approver` is another person than `requester`. `None` is whoever is
/// at the machine, who could do it without asking.
///
/// # Errors
/// [`Undecidable::SamePerson`].
pub fn see_two(requester: i64, approver: Option<i64>) -> Result<(), Undecidable> {
    if approver == Some(requester) { Err(Undecidable::SamePerson) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_request_is_good_until_its_very_end() {
        let end = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let second = TimeDelta::seconds(1);
        assert_eq!(see_pending(ApprovalState::Pending, end, end - second), Ok(()));
        let over = see_pending(ApprovalState::Pending, end, end);
        assert_eq!(over, Err(Undecidable::Over(ApprovalState::Expired)));
        for state in ApprovalState::ALL.into_iter().skip(1) {
            let decided = see_pending(state, end, end - second);
            assert_eq!(decided, Err(Undecidable::Over(state)), "{}", state.as_str());
            assert_eq!(state.at(end, end + second), state, "what is decided stays so");
        }
    }

    #[test]
    fn two_are_two_people() {
        assert_eq!(see_two(1, Some(1)), Err(Undecidable::SamePerson));
        assert_eq!((see_two(1, Some(2)), see_two(1, None)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_state_is_read_as_it_is_written() {
        for state in ApprovalState::ALL {
            assert_eq!(ApprovalState::of_word(state.as_str()), Some(state));
        }
        assert_eq!(ApprovalState::of_word("open"), None);
    }
}
