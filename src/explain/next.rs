//! What will happen to a key, when, and why not sooner.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::{
    domain::{
        key::{Key, KeyState},
        plan::{self, Event},
        policy::{Policy, PurgeMode},
        purge::{notice, waits_for_approval},
        stage::Stage,
        suspension::Cause,
        wish::Wish,
    },
    store::{NoticeStatus, history::NoticeView, key_list::KeyView, policies::PolicyBook},
};

/// How far ahead the next event is looked for: further than any policy's period.
const HORIZON: TimeDelta = TimeDelta::days(3650 * 2);

/// What comes next, and why not sooner.
#[derive(Debug, Serialize)]
pub struct Next {
    /// When; `null` if nothing will happen.
    pub at: Option<DateTime<Utc>>,
    /// What, in words.
    pub what: String,
    /// Why not sooner, in words.
    pub why: Vec<String>,
}

/// What comes next for a key whose notices are `notices`, if nobody acts.
pub(super) fn next(
    policies: &PolicyBook,
    view: &KeyView,
    notices: &[NoticeView],
    min_notice: TimeDelta,
    now: DateTime<Utc>,
) -> Next {
    let (key, governed) = match (&view.key, view.governed()) {
        (Ok(key), Some(governed)) => (key, governed),
        (key, _) => {
            let what = "nothing: the daemon leaves the row alone until it is mended".to_owned();
            let why = key.as_ref().err().map(ToString::to_string).into_iter().collect();
            return Next { at: None, what, why };
        }
    };
    if let Some(reason) = &view.parked {
        let what = "nothing: the daemon has put the row aside".to_owned();
        return Next { at: None, what, why: vec![reason.clone()] };
    }
    let policy = &*policies.of_key(&governed);
    let (at, what) = match plan::future(key, policy, now, plan::until(now, HORIZON)).first() {
        Some((at, event)) => (Some(*at), words(*event)),
        None => (None, "nothing".to_owned()),
    };
    let mut why = reasons(key, policy, now);
    if key.is_stopped() {
        let since = view.suspended_at.unwrap_or(now).format("%Y-%m-%d %H:%M UTC");
        let cause = match view.suspended_for {
            Some(Cause::Unused) => ", because nothing used it",
            Some(Cause::Asked) | None => "",
        };
        why.push(format!(
            "it is suspended since {since}{cause}: it is refused and cannot be rotated until that \
             is lifted, and its dates do not wait"
        ));
    }
    why.extend(unused(key, policy));
    if let Some(hold) = &view.hold {
        why.push(format!("it is held, so it is not purged: {hold}"));
    }
    why.extend(approval(key, policy, view.purge_approved_for).map(str::to_owned));
    if matches!(key.state, KeyState::Window { .. }) {
        why.push(told(notices, notice(policy, min_notice)));
    }
    Next { at, what, why }
}

fn words(event: Event) -> String {
    match event {
        Event::Tell(Stage::Expiring { days }) => {
            let days = if days == 1 { "a day".to_owned() } else { format!("{days} days") };
            format!("the owner is told that it expires within {days}")
        }
        Event::Tell(Stage::Expired) => {
            "it has expired; the owner is told, and the window opens if there is one".to_owned()
        }
        Event::Tell(Stage::Closing) => "the owner is told that the window closes".to_owned(),
        Event::Tell(Stage::LinkAsked) => "the owner is sent a new link".to_owned(),
        Event::Tell(Stage::ReviewDue) => "the owner is asked to review it".to_owned(),
        Event::Tell(Stage::Unused) => {
            "the owner is told that it will be suspended, because nothing uses it".to_owned()
        }
        Event::Tell(stage) => format!("the owner is told: {stage}"),
        Event::Suspend => "it is suspended, because nothing uses it".to_owned(),
        Event::Expire => "it expires".to_owned(),
        Event::Purge => "it is purged".to_owned(),
    }
}

fn reasons(key: &Key, policy: &Policy, now: DateTime<Utc>) -> Vec<String> {
    let mut why = Vec::new();
    match key.state {
        KeyState::Active { expires_at: None } => {
            why.push(match key.review_at {
                Some(_) => "it never expires, and is reviewed every so often".to_owned(),
                None => "it never expires, and its policy asks for no review".to_owned(),
            });
        }
        KeyState::Active { expires_at: Some(at) } if at <= now => {
            why.push("its time has come: the next sweep takes it".to_owned());
        }
        KeyState::Active { .. } => {
            why.push(ladder(key, policy));
            if let Some(stage) = key.last_stage {
                why.push(format!("`{stage}` is told already, and what is less urgent is not"));
            }
            why.extend(wish(key.wish));
            if key.ends_with_access() {
                why.push("it ends with its owner's access, without a window".to_owned());
            }
        }
        KeyState::Window { window_ends_at, .. } => {
            let end = window_ends_at.format("%Y-%m-%d %H:%M UTC");
            why.push(format!("its owner can still rotate it until {end}"));
        }
        KeyState::Revoked { purge_at } => {
            let at = purge_at.format("%Y-%m-%d %H:%M UTC");
            why.push(format!("it is kept until {at}, for a mistake to be noticed"));
        }
    }
    why
}

/// Whether its purge waits for somebody's word, and whether that was given.
fn approval(
    key: &Key,
    policy: &Policy,
    approved_for: Option<DateTime<Utc>>,
) -> Option<&'static str> {
    let ends_at = match key.state {
        KeyState::Active { .. } => return None,
        KeyState::Window { window_ends_at, .. } => window_ends_at,
        KeyState::Revoked { purge_at } => purge_at,
    };
    match policy.purge_mode() {
        PurgeMode::Auto => None,
        PurgeMode::Manual if waits_for_approval(policy, Some(ends_at), approved_for) => Some(
            "its policy asks that an administrator lets it be purged: \
             `lapsed keys approve-purge ID`, once its time is over",
        ),
        PurgeMode::Manual => Some("an administrator has let it be purged"),
    }
}

/// The reminders there are in a life of this length.
fn ladder(key: &Key, policy: &Policy) -> String {
    let life = key.lifetime().unwrap_or(TimeDelta::MAX);
    let fits = |days: &&u16| TimeDelta::days((**days).into()) < life;
    let days: Vec<String> =
        policy.reminder_days().iter().rev().filter(fits).map(ToString::to_string).collect();
    match days.as_slice() {
        [] => "its whole life is shorter than any reminder is ahead".to_owned(),
        days => format!("reminders are due {} days before the expiry", days.join(", ")),
    }
}

/// Since when nothing uses a key that is suspended for that.
fn unused(key: &Key, policy: &Policy) -> Option<String> {
    let (limit, unused) = policy.unused().zip(key.unused)?;
    let KeyState::Active { .. } = key.state else { return None };
    let at = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M UTC").to_string();
    let (since, over) = (at(unused.since), at(unused.since + limit));
    Some(format!(
        "nothing has used it since {since}: it is suspended from {over} on if nothing does; its owner \
         is warned before"
    ))
}

/// What the owner does not want to be told.
fn wish(wish: Wish) -> Option<String> {
    let what = match wish {
        Wish::All => return None,
        Wish::Within { days } => format!("no reminder earlier than {days} days before"),
        Wish::Last => "no early reminder".to_owned(),
    };
    Some(format!("its owner wants {what}; the last one comes all the same"))
}

/// Whether the owner has been told of the expiry: a purge waits for that.
fn told(notices: &[NoticeView], min_notice: TimeDelta) -> String {
    let hours = min_notice.num_hours();
    let expired = notices.iter().find(|notice| {
        notice.stage == Stage::Expired
            && matches!(notice.status, NoticeStatus::Told | NoticeStatus::Escalated)
    });
    match expired.and_then(|notice| notice.told_at) {
        Some(at) => {
            let at = at.format("%Y-%m-%d %H:%M UTC");
            format!("a purge waits {hours} hours after the owner was told, which was {at}")
        }
        None => format!("a purge waits until the owner has been told, and {hours} hours more"),
    }
}
