//! Doubt about the clock: what is destroyed by a wrong clock does not come back, so nothing is
//! while there is a reason not to believe it.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

/// So far may the database's clock and this machine's be apart.
pub const MAX_APART: TimeDelta = TimeDelta::seconds(60);
/// So far may the clock move away from what has gone by on the monotonic one, which nobody sets.
pub const MAX_DRIFT: TimeDelta = TimeDelta::minutes(5);
/// So much later may a start be than the last time that was believed.
pub const MAX_GAP: TimeDelta = TimeDelta::hours(1);

/// How long a doubt usually stands.
pub const SETTLE: TimeDelta = TimeDelta::hours(24);

/// What the clocks show when somebody asks whether to believe them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// The time that decides.
    pub now: DateTime<Utc>,
    /// How far this machine's clock is from it; zero where there is only one clock.
    pub apart: TimeDelta,
    /// What the time must be, by the monotonic clock and the time this process last believed.
    pub expected: Option<DateTime<Utc>>,
    /// The latest time that any process believed.
    pub mark: Option<DateTime<Utc>>,
    /// A doubt that stands since an earlier look, and for how long it has.
    pub standing: Option<(Standing, TimeDelta)>,
    /// How long a doubt stands before the time is believed after all.
    pub settle: TimeDelta,
}

/// A doubt that outlives the look that raised it, until it settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Why.
    pub cause: Cause,
    /// When it was raised, by the doubtful clock.
    pub since: DateTime<Utc>,
}

/// Why the clock is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The database's clock and this machine's differ.
    Apart,
    /// The clock moved while this process watched it.
    Jumped,
    /// Nothing looked for long, or the clock moved meanwhile: nobody can tell.
    Gap,
    /// It shows a time that has been before.
    Behind,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Apart, Self::Jumped, Self::Gap, Self::Behind];

    /// The word people and programs read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apart => "apart",
            Self::Jumped => "jumped",
            Self::Gap => "gap",
            Self::Behind => "behind",
        }
    }

    /// The cause that this word names.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == word)
    }
}

/// A reason not to believe the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Why.
    pub cause: Cause,
    /// By how much the clock is not what it should be.
    pub by: TimeDelta,
    /// When it is believed after all, if nothing changes; `None` if that takes a change.
    pub until: Option<DateTime<Utc>>,
}

impl Doubt {
    /// Whether not even reminders are written: a clock that is known to be wrong would tell
    /// everybody of dates that are far away.
    pub fn holds_reminders(&self) -> bool {
        matches!(self.cause, Cause::Apart | Cause::Jumped)
    }

    /// Whether keys that are due do not expire. After a mere gap they do: that is what a daemon
    /// that was down for a night finds, and their owners have to be told.
    pub fn holds_expiries(&self) -> bool {
        self.cause != Cause::Gap
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = length(self.by);
        match self.cause {
            Cause::Apart => write!(f, "the database's clock and this machine's differ by {by}"),
            Cause::Jumped => write!(f, "the clock has jumped by {by}"),
            Cause::Gap => write!(f, "the clock was last seen {by} ago"),
            Cause::Behind => write!(f, "the clock is {by} behind the latest time it has shown"),
        }
    }
}

/// A length of time in its largest unit, as people say it.
fn length(by: TimeDelta) -> String {
    let seconds = by.num_seconds().abs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Decides whether the clock is believed. `Ok`: it is, and doubts that stood are over.
///
/// # Errors
/// The reason why not.
pub fn judge(reading: &Reading) -> Result<(), Doubt> {
    let &Reading { now, apart, .. } = reading;
    if MAX_APART < apart {
        return Err(Doubt { cause: Cause::Apart, by: apart, until: None });
    }
    let (base, slack, cause) = match (reading.expected, reading.mark) {
        (Some(expected), _) => (expected, MAX_DRIFT, Cause::Jumped),
        (None, Some(mark)) => (mark, MAX_GAP, Cause::Gap),
        (None, None) => return Ok(()), // The first look of all: there is nothing to compare with.
    };
    let drift = now - base;
    if let Some(mark) = reading.mark.filter(|mark| now + MAX_APART < *mark) {
        return Err(Doubt { cause: Cause::Behind, by: mark - now, until: Some(mark) });
    }
    // Set back, but to no time that was believed before: then nothing is due too early.
    if drift <= slack {
        return Ok(());
    }
    match reading.standing {
        Some((_, stood)) if reading.settle <= stood => Ok(()),
        Some((standing, stood)) if TimeDelta::zero() <= stood => {
            let until = Some(now + (reading.settle - stood));
            Err(Doubt { cause: standing.cause, by: drift, until })
        }
        // None, or one that was raised at a time which has not come yet: this is another.
        _ => Err(Doubt { cause, by: drift, until: Some(now + reading.settle) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: TimeDelta = TimeDelta::days(1);
    const SECOND: TimeDelta = TimeDelta::seconds(1);

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    /// A process that has watched the clock, which shows this much more than it should.
    fn watched(drift: TimeDelta) -> Reading {
        let (expected, mark) = (Some(noon()), Some(noon() - TimeDelta::minutes(9)));
        Reading { now: noon() + drift, expected, mark, settle: DAY, ..Reading::default() }
    }

    /// A start so long after the latest time that was believed.
    fn start(gap: TimeDelta) -> Reading {
        Reading { now: noon() + gap, mark: Some(noon()), settle: DAY, ..Reading::default() }
    }

    fn stands(cause: Cause, stood: TimeDelta, reading: Reading) -> Reading {
        let standing = Standing { cause, since: reading.now - stood };
        Reading { standing: Some((standing, stood)), ..reading }
    }

    fn cause(reading: &Reading) -> Option<Cause> {
        judge(reading).err().map(|doubt| doubt.cause)
    }

    #[test]
    fn an_ordinary_minute_raises_no_doubt() {
        assert_eq!(judge(&watched(TimeDelta::zero())), Ok(()));
        assert_eq!(judge(&start(TimeDelta::zero())), Ok(()));
        let first = Reading { now: noon(), settle: DAY, ..Reading::default() };
        assert_eq!(judge(&first), Ok(()));
    }

    #[test]
    fn each_limit_holds_to_the_second() {
        for (limit, what, of) in [
            (MAX_DRIFT, Cause::Jumped, watched as fn(TimeDelta) -> Reading),
            (MAX_GAP, Cause::Gap, start),
        ] {
            assert_eq!(judge(&of(limit)), Ok(()), "{what:?}");
            let doubt = judge(&of(limit + SECOND)).unwrap_err();
            assert_eq!((doubt.cause, doubt.by), (what, limit + SECOND));
            assert_eq!(doubt.until, Some(noon() + limit + SECOND + DAY));
        }
        let apart = |apart| cause(&Reading { apart, ..watched(TimeDelta::zero()) });
        assert_eq!(apart(MAX_APART), None);
        assert_eq!(apart(MAX_APART + SECOND), Some(Cause::Apart));
        assert_eq!(cause(&start(-MAX_APART)), None);
        assert_eq!(cause(&start(-MAX_APART - SECOND)), Some(Cause::Behind));
    }

    #[test]
    fn a_doubt_settles_to_the_second() {
        for (what, reading) in [(Cause::Jumped, watched(DAY * 30)), (Cause::Gap, start(DAY * 30))] {
            let doubt = judge(&stands(what, DAY - SECOND, reading)).unwrap_err();
            assert_eq!((doubt.cause, doubt.until), (what, Some(reading.now + SECOND)));
            assert_eq!(judge(&stands(what, DAY, reading)), Ok(()));
        }
    }

    #[test]
    fn a_jump_found_by_a_process_is_one_for_the_next_too() {
        let doubt = judge(&stands(Cause::Jumped, TimeDelta::hours(2), start(DAY * 30)));
        assert_eq!(doubt.unwrap_err().cause, Cause::Jumped);
    }

    #[test]
    fn a_clock_that_is_put_right_is_believed_at_once() {
        // The doubt was raised at a time that is a month away now.
        let put_right = stands(Cause::Jumped, -DAY * 30, watched(TimeDelta::minutes(1)));
        assert_eq!(judge(&put_right), Ok(()));
    }

    #[test]
    fn a_second_jump_is_another_doubt() {
        let elsewhere = stands(Cause::Jumped, -DAY, watched(DAY * 29));
        assert_eq!(judge(&elsewhere).unwrap_err().until, Some(noon() + DAY * 30));
    }

    #[test]
    fn a_clock_that_was_set_back_is_waited_for() {
        let doubt = judge(&watched(-DAY)).unwrap_err();
        assert_eq!((doubt.cause, doubt.until), (Cause::Behind, watched(-DAY).mark));
        // As long as it is behind the mark, and no longer.
        assert_eq!(cause(&watched(-TimeDelta::minutes(9))), None);
    }

    #[test]
    fn what_is_held_goes_with_the_cause() {
        let of = |cause| {
            let doubt = Doubt { cause, by: DAY, until: None };
            (doubt.holds_reminders(), doubt.holds_expiries())
        };
        assert_eq!(of(Cause::Apart), (true, true));
        assert_eq!(of(Cause::Jumped), (true, true));
        assert_eq!(of(Cause::Behind), (false, true));
        assert_eq!(of(Cause::Gap), (false, false));
    }

    #[test]
    fn it_is_said_in_words() {
        let says = |cause, by| Doubt { cause, by, until: None }.to_string();
        assert_eq!(
            says(Cause::Apart, SECOND * 90),
            "the database's clock and this machine's differ by 90 s"
        );
        assert_eq!(says(Cause::Jumped, DAY * 30), "the clock has jumped by 30 days");
        assert_eq!(says(Cause::Gap, DAY), "the clock was last seen 24 h ago");
        assert_eq!(
            says(Cause::Behind, SECOND * 600),
            "the clock is 10 min behind the latest time it has shown"
        );
        for (by, length) in [
            (SECOND * 119, "119 s"),
            (SECOND * 120, "2 min"),
            (SECOND * 7_199, "119 min"),
            (SECOND * 7_200, "2 h"),
            (DAY * 2 - SECOND, "47 h"),
            (DAY * 2, "2 days"),
            (-DAY * 2, "2 days"),
        ] {
            assert_eq!(says(Cause::Jumped, by), format!("the clock has jumped by {length}"));
        }
        let words = ["apart", "jumped", "gap", "behind"];
        assert_eq!(Cause::ALL.map(Cause::as_str), words);
        assert_eq!(Cause::of_word("late"), None);
        for cause in Cause::ALL {
            assert_eq!(Cause::of_word(cause.as_str()), Some(cause));
        }
    }
}
