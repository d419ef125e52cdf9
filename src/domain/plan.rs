//! What will happen, by day: the answer to "what would the daemon do?", without doing it.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::domain::{
    key::{Key, KeyState},
    lifecycle::{self, Decision, Next, Step},
    policy::{Policy, PurgeMode},
    stage::Stage,
    unused::{Deed, Unused},
};

/// One thing that will happen to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its owner will be told this.
    Tell(Stage),
    /// It will expire and enter its window, or end with its owner's access.
    Expire,
    /// It will be suspended, unless it is used before.
    Suspend,
    /// It will be purged, unless it is rotated before.
    Purge,
}

/// Counts of what happens on one day (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Notices that will be written. Several for one owner become one mail.
    pub n_notices: u64,
    /// Keys that will expire.
    pub n_expired: u64,
    /// Keys that will be suspended, because nothing uses them.
    pub n_suspended: u64,
    /// Keys that will be purged.
    pub n_purged: u64,
}

/// What will happen to a fleet of keys, by day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The days on which something happens, in order.
    pub days: BTreeMap<NaiveDate, Day>,
}

impl Plan {
    /// Adds what will happen to `key` up to and including `until`, if nobody acts: the same
    /// decisions the sweep will take, taken now. What is overdue counts for today.
    pub fn add(&mut self, key: &Key, policy: &Policy, now: DateTime<Utc>, until: DateTime<Utc>) {
        for (at, event) in future(key, policy, now, until) {
            let day = self.days.entry(at.date_naive()).or_default();
            match event {
                Event::Tell(_) => day.n_notices += 1,
                Event::Expire => day.n_expired += 1,
                Event::Suspend => day.n_suspended += 1,
                Event::Purge => day.n_purged += 1,
            }
        }
    }

    /// The sum over all days.
    pub fn total(&self) -> Day {
        self.days.values().fold(Day::default(), |sum, day| Day {
            n_notices: sum.n_notices + day.n_notices,
            n_expired: sum.n_expired + day.n_expired,
            n_suspended: sum.n_suspended + day.n_suspended,
            n_purged: sum.n_purged + day.n_purged,
        })
    }
}

/// What will happen to `key` between `now` and `until`, in order, if nobody acts. A purge that waits
/// for an administrator is not part of it.
pub fn future(
    key: &Key,
    policy: &Policy,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Vec<(DateTime<Utc>, Event)> {
    let mut key =
        Key { unused: key.unused.filter(|unused| is_out_of_use(*unused, policy, now)), ..*key };
    let mut events = Vec::new();
    let mut next = lifecycle::first_look(&key, policy, now);
    while let Some(Next::Sweep(at)) = next.filter(|next| next.at() <= until) {
        let decision = lifecycle::next_step(&key, policy, at);
        key = apply(&key, &decision, at, &mut events);
        next = decision.next;
    }
    // Nobody knows when somebody will let it go.
    let is_certain = policy.purge_mode() == PurgeMode::Auto;
    if let Some(Next::Purge(at)) = next.filter(|next| is_certain && next.at() <= until) {
        events.push((at, Event::Purge));
        events.push((at, Event::Tell(Stage::Purged)));
    }
    events
}

/// Whether a key is out of use already. Of one that is not, nobody foretells that nothing will use it.
fn is_out_of_use(unused: Unused, policy: &Policy, now: DateTime<Utc>) -> bool {
    policy.unused().is_some_and(|limit| unused.warning_at(limit) <= now)
}

/// The key after `decision`, as the sweep leaves it.
fn apply(
    key: &Key,
    decision: &Decision,
    at: DateTime<Utc>,
    events: &mut Vec<(DateTime<Utc>, Event)>,
) -> Key {
    let mut key = Key { last_stage: decision.last_stage(key), ..*key };
    let mut tell = |stage| events.push((at, Event::Tell(stage)));
    match decision.step {
        Step::Keep | Step::Mute { .. } => {}
        Step::Notify { stage } => tell(stage),
        Step::Review { next_review_at } => {
            tell(Stage::ReviewDue);
            key.review_at = next_review_at;
        }
        Step::Expire { window_ends_at } => {
            tell(Stage::Expired);
            events.push((at, Event::Expire));
            let expires_at = key.expires_at().unwrap_or(at);
            key.state = KeyState::Window { expires_at, window_ends_at };
        }
        Step::End { purge_at } => {
            tell(Stage::Expired);
            events.push((at, Event::Expire));
            key.state = KeyState::Revoked { purge_at };
        }
    }
    match decision.unused {
        None => {}
        Some(Deed::Warn { .. }) => {
            events.push((at, Event::Tell(Stage::Unused)));
            key.unused = key.unused.map(|unused| Unused { warned_at: Some(at), ..unused });
        }
        Some(Deed::Suspend) => {
            events.extend([(at, Event::Tell(Stage::SuspendedUnused)), (at, Event::Suspend)]);
            (key.unused, key.is_suspended) = (None, true);
        }
    }
    key
}

/// The end of a period that a plan covers, such as 30 days from `now`, as far as dates go.
pub fn until(now: DateTime<Utc>, period: TimeDelta) -> DateTime<Utc> {
    now.checked_add_signed(period).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{identity::KeyKind, policy::PolicyFields, wish::Wish};

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn expiring_in(days: i64) -> Key {
        Key {
            kind: KeyKind::User,
            state: KeyState::Active { expires_at: Some(noon() + TimeDelta::days(days)) },
            issued_at: noon() + TimeDelta::days(days - 90),
            access_ends_at: None,
            review_at: None,
            last_stage: None,
            is_suspended: false,
            is_held: false,
            wish: Wish::All,
            unused: None,
        }
    }

    #[test]
    fn a_life_is_foretold_to_its_end() {
        let policy = Policy::new(KeyKind::User, PolicyFields::default()).unwrap();
        let day = |at: DateTime<Utc>| (at - noon()).num_days();
        let foretold: Vec<_> =
            future(&expiring_in(10), &policy, noon(), noon() + TimeDelta::days(17))
                .into_iter()
                .map(|(at, event)| (day(at), event))
                .collect();
        assert_eq!(
            foretold,
            [
                (0, Event::Tell(Stage::Expiring { days: 30 })),
                (3, Event::Tell(Stage::Expiring { days: 7 })),
                (9, Event::Tell(Stage::Expiring { days: 1 })),
                (10, Event::Tell(Stage::Expired)),
                (10, Event::Expire),
                (16, Event::Tell(Stage::Closing)),
                (17, Event::Purge),
                (17, Event::Tell(Stage::Purged)),
            ]
        );
    }

    #[test]
    fn a_plan_counts_by_day_up_to_and_including_its_end() {
        let policy = Policy::new(KeyKind::User, PolicyFields::default()).unwrap();
        let mut plan = Plan::default();
        for days in [10, 10, 40] {
            plan.add(&expiring_in(days), &policy, noon(), noon() + TimeDelta::days(10));
        }
        assert_eq!(plan.total(), Day { n_notices: 9, n_expired: 2, n_purged: 0, n_suspended: 0 });
        let last = (noon() + TimeDelta::days(10)).date_naive();
        assert_eq!(
            plan.days[&last],
            Day { n_notices: 3, n_expired: 2, n_purged: 0, n_suspended: 0 }
        );
    }

    #[test]
    fn every_kind_of_event_is_counted_on_its_day() {
        let policy = Policy::new(KeyKind::User, PolicyFields::default()).unwrap();
        let mut plan = Plan::default();
        for days in [10, 10, 11] {
            plan.add(&expiring_in(days), &policy, noon(), noon() + TimeDelta::days(30));
        }
        // Each: three reminders, the expiry, the last day, and the purge.
        assert_eq!(plan.total(), Day { n_notices: 18, n_expired: 3, n_purged: 3, n_suspended: 0 });
        let on = |days| plan.days[&(noon() + TimeDelta::days(days)).date_naive()];
        assert_eq!(on(10), Day { n_notices: 3, n_expired: 2, n_purged: 0, n_suspended: 0 });
        assert_eq!(on(17), Day { n_notices: 3, n_expired: 0, n_purged: 2, n_suspended: 0 });
        assert_eq!(on(18), Day { n_notices: 1, n_expired: 0, n_purged: 1, n_suspended: 0 });
    }

    #[test]
    fn what_is_out_of_use_is_foretold_and_what_is_in_use_is_not_foretold_to_go_out_of_it() {
        let fields = PolicyFields { unused_days: Some(30), ..PolicyFields::default() };
        let policy = Policy::new(KeyKind::User, fields).unwrap();
        let last = noon() + TimeDelta::days(40);
        let out_of_use_for = |days| {
            let since = noon() - TimeDelta::days(days);
            Key { unused: Some(Unused { since, warned_at: None }), ..expiring_in(80) }
        };
        let foretold = |days_unused| {
            let events = future(&out_of_use_for(days_unused), &policy, noon(), last);
            let day = |at: DateTime<Utc>| (at - noon()).num_days();
            events.into_iter().map(|(at, event)| (day(at), event)).collect::<Vec<_>>()
        };
        assert_eq!(foretold(22), []);
        assert_eq!(
            foretold(23),
            [
                (0, Event::Tell(Stage::Unused)),
                (7, Event::Tell(Stage::SuspendedUnused)),
                (7, Event::Suspend)
            ]
        );
        let mut plan = Plan::default();
        for days_unused in [22, 23, 24] {
            plan.add(&out_of_use_for(days_unused), &policy, noon(), last);
        }
        assert_eq!(plan.total(), Day { n_notices: 4, n_expired: 0, n_purged: 0, n_suspended: 2 });
        let manual = PolicyFields { purge_mode: PurgeMode::Manual, ..PolicyFields::default() };
        let manual = Policy::new(KeyKind::User, manual).unwrap();
        let mut plan = Plan::default();
        plan.add(&expiring_in(0), &manual, noon(), last);
        assert_eq!(plan.total().n_purged, 0, "nobody knows when somebody lets it go");
    }

    #[test]
    fn what_ends_with_an_access_or_is_reviewed_is_foretold_too() {
        let policy = Policy::new(KeyKind::User, PolicyFields::default()).unwrap();
        let ends = Key { access_ends_at: Some(noon()), ..expiring_in(0) };
        let last = noon() + TimeDelta::days(3);
        assert_eq!(
            future(&ends, &policy, noon(), last)[1..],
            [(noon(), Event::Expire), (last, Event::Purge), (last, Event::Tell(Stage::Purged)),][..]
        );
        let never = Key {
            state: KeyState::Active { expires_at: None },
            review_at: Some(noon()),
            ..expiring_in(0)
        };
        let fields = PolicyFields { review_days: Some(10), ..PolicyFields::default() };
        let policy = Policy::new(KeyKind::User, fields).unwrap();
        let reviews = future(&never, &policy, noon(), noon() + TimeDelta::days(29));
        let days: Vec<_> = reviews.iter().map(|(at, _)| (*at - noon()).num_days()).collect();
        assert_eq!(days, [0, 10, 20]);
        assert!(reviews.iter().all(|(_, event)| *event == Event::Tell(Stage::ReviewDue)));
    }

    #[test]
    fn a_period_ends_where_dates_do() {
        assert_eq!(until(noon(), TimeDelta::days(30)), noon() + TimeDelta::days(30));
        assert_eq!(until(noon(), TimeDelta::MAX), DateTime::<Utc>::MAX_UTC);
    }
}
