//! What should happen to a key next. Nothing in this file can wait, fail, or read a clock.
//!
//! All intervals are half-open: a key verifies while `now < expires_at`, can be rotated while
//! `now < window_ends_at`, and may be purged from that instant on.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::{
    key::{Key, KeyState},
    policy::Policy,
    stage::Stage,
    unused::{Deed, Look},
};

/// What is done to a key at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the look came early, or everything is done already.
    Keep,
    /// The owner is told `stage`.
    Notify {
        /// What is told.
        stage: Stage,
    },
    /// The owner is not told `stage`, because they do not want to be told so early.
    Mute {
        /// What is not told.
        stage: Stage,
    },
    /// The owner of a key without expiry is asked to look at it, and again after a while.
    Review {
        /// When the next review is due.
        next_review_at: Option<DateTime<Utc>>,
    },
    /// The secret is dead, the window opens, and the owner is told [`Stage::Expired`].
    Expire {
        /// The window's end, frozen from now on.
        window_ends_at: DateTime<Utc>,
    },
    /// The owner's access is over: the key ends without a window, and the owner is told.
    End {
        /// Until then an administrator can undo it.
        purge_at: DateTime<Utc>,
    },
}

/// Whose turn it is with a key, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The sweep looks at the key again.
    Sweep(DateTime<Utc>),
    /// The key can be purged.
    Purge(DateTime<Utc>),
}

impl Next {
    /// When it is.
    pub fn at(self) -> DateTime<Utc> {
        match self {
            Self::Sweep(at) | Self::Purge(at) => at,
        }
    }
}

/// One key's step, and when the key is looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What is done now.
    pub step: Step,
    /// Reminders that were due as well, but that a more urgent one makes pointless. They are
    /// recorded, so that nothing looks forgotten, and not sent.
    pub superseded: Vec<Stage>,
    /// What is done beside the step, because nothing uses the key.
    pub unused: Option<Deed>,
    /// Always after `now`; `None` if nothing will ever have to be done.
    pub next: Option<Next>,
}

impl Decision {
    /// The most urgent stage told of `key`'s expiry once this is done: what was told before, what
    /// is told now, and what is told no more.
    pub fn last_stage(&self, key: &Key) -> Option<Stage> {
        let now = match self.step {
            Step::Keep | Step::Review { .. } => None,
            Step::Notify { stage } | Step::Mute { stage } => Some(stage),
            Step::Expire { .. } | Step::End { .. } => Some(Stage::Expired),
        };
        let all = self.superseded.iter().copied().chain(now).chain(key.last_stage);
        all.min_by_key(|stage| stage.code())
    }
}

/// Decides the next step for `key` at `now`.
///
/// There is no window beyond the owner's access. A daemon that was down for a week sends the most
/// urgent reminder only, never the backlog; and since the window is counted from `now`, the outage
/// takes nothing from the owner's time.
///
/// A key in use that nothing uses is suspended beside all that, where the policy asks for it. Its
/// uses are not written into its turn: a look that finds a newer one puts itself off.
pub fn next_step(key: &Key, policy: &Policy, now: DateTime<Utc>) -> Decision {
    let decision = by_dates(key, policy, now);
    let is_in_use = matches!(key.state, KeyState::Active { .. })
        && !matches!(decision.step, Step::Expire { .. } | Step::End { .. });
    let (Some(limit), Some(unused)) = (policy.unused(), key.unused.filter(|_| is_in_use)) else {
        return decision;
    };
    let Look { deed, next } = unused.look(limit, now);
    let next = decision.next.into_iter().chain(next.map(Next::Sweep)).min_by_key(|next| next.at());
    Decision { unused: deed, next, ..decision }
}

/// The same, as far as the key's dates go.
fn by_dates(key: &Key, policy: &Policy, now: DateTime<Utc>) -> Decision {
    match key.state {
        KeyState::Active { expires_at: None } => review(key, policy, now),
        KeyState::Active { expires_at: Some(expires_at) } if expires_at <= now => {
            let mut superseded: Vec<Stage> = missed(key, policy, expires_at, now).collect();
            if key.ends_with_access() {
                let purge_at = now + policy.undo();
                let next = purge(key, purge_at, now);
                return Decision { step: Step::End { purge_at }, superseded, unused: None, next };
            }
            let window_ends_at = (now + policy.window()).min(key.access_ends_at.unwrap_or(FAR));
            // A window that opens on its last day has no other one.
            if is_last_day(policy, window_ends_at, now) && !is_closing_told(key) {
                superseded.push(Stage::Closing);
            }
            let next = window_next(key, policy, window_ends_at, now);
            Decision { step: Step::Expire { window_ends_at }, superseded, unused: None, next }
        }
        KeyState::Active { expires_at: Some(expires_at) } => {
            let mut due: Vec<Stage> = missed(key, policy, expires_at, now).collect();
            let step = due.pop().map_or(Step::Keep, |stage| match key.wish.mutes(stage, policy) {
                false => Step::Notify { stage },
                true => Step::Mute { stage },
            });
            Decision {
                step,
                superseded: due,
                unused: None,
                next: Some(active_next(key, policy, expires_at, now)),
            }
        }
        KeyState::Window { window_ends_at, .. } => {
            let (mut step, mut superseded) = (Step::Keep, Vec::new());
            if is_last_day(policy, window_ends_at, now) && !is_closing_told(key) {
                if now < window_ends_at {
                    step = Step::Notify { stage: Stage::Closing };
                } else {
                    superseded.push(Stage::Closing);
                }
            }
            let next = window_next(key, policy, window_ends_at, now);
            Decision { step, superseded, unused: None, next }
        }
        KeyState::Revoked { purge_at } => {
            let next = purge(key, purge_at, now);
            Decision { step: Step::Keep, superseded: Vec::new(), unused: None, next }
        }
    }
}

/// Where there is no limit.
const FAR: DateTime<Utc> = DateTime::<Utc>::MAX_UTC;

/// When `key` has to be looked at, as it stands: for a key just made, imported, rotated, extended
/// or released. It may be now, but never before.
pub fn first_look(key: &Key, policy: &Policy, now: DateTime<Utc>) -> Option<Next> {
    let decision = next_step(key, policy, now);
    let is_due =
        decision.step != Step::Keep || !decision.superseded.is_empty() || decision.unused.is_some();
    if is_due { Some(Next::Sweep(now)) } else { decision.next }
}

/// What counts as told once its owner has said that `key` is no longer needed: every reminder of
/// its present end. That it has expired is told all the same, or it could not be purged. `None` if
/// there is nothing to be quiet about.
pub fn quieted(key: &Key) -> Option<Stage> {
    let told = match key.state {
        KeyState::Active { expires_at: Some(_) } => Stage::Expiring { days: 1 },
        KeyState::Window { .. } => Stage::Closing,
        KeyState::Active { expires_at: None } | KeyState::Revoked { .. } => return None,
    };
    key.last_stage.into_iter().chain([told]).min_by_key(|stage| stage.code())
}

/// The most urgent stage that `key` has passed already: what an import takes as told, so that
/// nobody is mailed about the past. `None` if the first reminder is still to come.
pub fn baseline(key: &Key, policy: &Policy, now: DateTime<Utc>) -> Option<Stage> {
    let expires_at = key.expires_at().filter(|expires_at| now < *expires_at)?;
    missed(key, policy, expires_at, now).last()
}

/// The reminders that are due at `now` and not told, widest first.
///
/// A rung as long as the key's whole life would be told at birth, so it is none.
fn missed<'a>(
    key: &'a Key,
    policy: &'a Policy,
    expires_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> impl Iterator<Item = Stage> + 'a {
    rungs(key, policy)
        .rev()
        .filter(move |(_, before)| expires_at - *before <= now)
        .map(|(stage, _)| stage)
}

/// The reminders still to tell for the present expiry, nearest first, with their distance from it.
fn rungs<'a>(
    key: &'a Key,
    policy: &'a Policy,
) -> impl DoubleEndedIterator<Item = (Stage, TimeDelta)> + 'a {
    let lifetime = key.lifetime().unwrap_or(TimeDelta::MAX);
    let told = key.last_stage.map_or(i16::MAX, Stage::code);
    policy
        .reminder_days()
        .iter()
        .map(|&days| (Stage::Expiring { days }, TimeDelta::days(i64::from(days))))
        .filter(move |(stage, before)| *before < lifetime && stage.code() < told)
}

/// The next rung that lies ahead, or the expiry itself. `expires_at` is after `now`.
fn active_next(key: &Key, policy: &Policy, expires_at: DateTime<Utc>, now: DateTime<Utc>) -> Next {
    let ahead = rungs(key, policy).map(|(_, before)| expires_at - before).filter(|at| now < *at);
    Next::Sweep(ahead.min().unwrap_or(expires_at))
}

fn is_last_day(policy: &Policy, window_ends_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    policy.closing().is_some_and(|before| window_ends_at - before <= now)
}

fn is_closing_told(key: &Key) -> bool {
    key.last_stage.is_some_and(|told| told.code() <= Stage::Closing.code())
}

/// The last day's reminder, if it lies ahead, or the purge.
fn window_next(
    key: &Key,
    policy: &Policy,
    window_ends_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<Next> {
    let last_day = policy.closing().map(|before| window_ends_at - before);
    match last_day.filter(|at| now < *at) {
        Some(at) => Some(Next::Sweep(at)),
        None => purge(key, window_ends_at, now),
    }
}

/// Hands the key over to the purge: at `at`, or if that has gone by, a moment from now. A held
/// key is never handed over.
fn purge(key: &Key, at: DateTime<Utc>, now: DateTime<Utc>) -> Option<Next> {
    /// The resolution of times in the database.
    const MOMENT: TimeDelta = TimeDelta::milliseconds(1);
    (!key.is_held).then(|| Next::Purge(at.max(now + MOMENT)))
}

fn review(key: &Key, policy: &Policy, now: DateTime<Utc>) -> Decision {
    let Some(review_at) = key.review_at else {
        return Decision { step: Step::Keep, superseded: Vec::new(), unused: None, next: None };
    };
    if now < review_at {
        let next = Some(Next::Sweep(review_at));
        return Decision { step: Step::Keep, superseded: Vec::new(), unused: None, next };
    }
    let next_review_at = policy.review_every().map(|every| now + every);
    Decision {
        step: Step::Review { next_review_at },
        superseded: Vec::new(),
        unused: None,
        next: next_review_at.map(Next::Sweep),
    }
}

#[cfg(test)]
mod tests;
