//! A key as it comes in: what it becomes here, decided without a database.

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        key::{Key, KeyState},
        lifecycle::{self, Next, Step},
        policy::{Deed, Policy},
        stage::Stage,
        wish::Wish,
    },
    store::{
        amend::next_columns,
        import::{ImportRow, Refusal, known::KnownKey, places::Place},
    },
};

/// A key to be written.
#[derive(Debug)]
pub(super) struct NewEntry<'r> {
    pub(super) row: &'r ImportRow,
    pub(super) place: Place,
    pub(super) key: Key,
    /// The length of life that a rotation gives again.
    pub(super) ttl_ms: Option<i64>,
    /// The job that looks next, and when, as stored.
    pub(super) next: (i16, Option<i64>),
    /// The same, for the very next sweep.
    pub(super) at_once: (i16, Option<i64>),
    /// The reminders that are taken as told.
    pub(super) passed: Vec<Stage>,
    /// Whether the policy asks whoever makes a key for a code.
    pub(super) needs_otp: bool,
}

impl<'r> NewEntry<'r> {
    /// Decides what `row` becomes. A key that has expired enters as active, so that the next
    /// sweep opens its window, counted from then: nobody loses the time before the import.
    pub(super) fn new(
        row: &'r ImportRow,
        place: Place,
        policy: &Policy,
        has_baseline: bool,
        now: DateTime<Utc>,
    ) -> Result<Self, Refusal> {
        let expires_at = row.expires_at.into_iter().chain(place.access_ends_at).min();
        if let (None, Some(max)) = (expires_at, policy.max_ttl()) {
            return Err(Refusal::MustExpire { kind: row.kind, max_days: max.num_days() });
        }
        let issued_at = row.created_at.unwrap_or_else(|| expires_at.map_or(now, |at| at.min(now)));
        let ttl = match (row.created_at, row.expires_at) {
            (Some(created_at), Some(expires_at)) => Some(expires_at - created_at),
            (_, None) => None,
            // Nobody knows how long it was meant to live.
            (None, Some(_)) => policy.default_ttl(),
        };
        let mut key = Key {
            kind: row.kind,
            state: KeyState::Active { expires_at },
            issued_at,
            access_ends_at: place.access_ends_at,
            review_at: match expires_at {
                Some(_) => None,
                None => first_review(policy, issued_at, now),
            },
            last_stage: None,
            is_suspended: false,
            is_held: false,
            wish: Wish::All,
            // Another system issued it, so its uses may never be seen here.
            unused: None,
        };
        let mut passed = Vec::new();
        if has_baseline {
            passed = passed_stages(&key, policy, now);
            key.last_stage = lifecycle::baseline(&key, policy, now);
        }
        let next = next_columns(lifecycle::first_look(&key, policy, now));
        let at_once = next_columns(Some(Next::Sweep(now)));
        let ttl_ms = ttl.map(|ttl| ttl.num_milliseconds());
        let needs_otp = policy.needs_otp(Deed::Create);
        Ok(Self { row, place, key, ttl_ms, next, at_once, passed, needs_otp })
    }

    /// As a later row of the same batch finds it.
    pub(super) fn as_known(&self) -> KnownKey {
        KnownKey {
            stored: None,
            created_at: self.key.issued_at,
            expires_at: self.key.expires_at(),
            has_own_rules: false,
        }
    }
}

/// The review that comes next if there has been one every so often since the key was made: so
/// that the reviews of a whole fleet do not fall on one day.
fn first_review(
    policy: &Policy,
    created_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let every = policy.review_every()?;
    let age = (now - created_at).num_milliseconds().max(0);
    let n_reviews = age / every.num_milliseconds() + 1;
    i32::try_from(n_reviews).ok().map(|n| created_at + every * n)
}

/// The reminders whose time has passed while the key goes on.
fn passed_stages(key: &Key, policy: &Policy, now: DateTime<Utc>) -> Vec<Stage> {
    let decision = lifecycle::next_step(key, policy, now);
    let mut passed = Vec::new();
    if let Step::Notify { stage } = decision.step {
        passed = decision.superseded;
        passed.push(stage);
    }
    passed
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::{
        identity::{KeyKind, OwnerKind, PublicId},
        policy::PolicyFields,
    };

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn in_days(days: i64) -> DateTime<Utc> {
        noon() + TimeDelta::days(days)
    }

    fn place(access_ends_at: Option<DateTime<Utc>>) -> Place {
        Place { tenant_id: 1, environment_id: 1, owner_id: 1, access_ends_at }
    }

    fn row(created: Option<i64>, expires: Option<i64>) -> ImportRow {
        ImportRow {
            public_id: PublicId::from_random([0; 12]),
            owner_id: PublicId::from_random([1; 12]),
            tenant: "acme".parse().unwrap(),
            environment: "production".parse().unwrap(),
            owner: "ada@example.org".to_owned(),
            owner_kind: OwnerKind::Employee,
            owner_name: "Ada".parse().unwrap(),
            access_ends_at: None,
            name: "deploy".parse().unwrap(),
            kind: KeyKind::User,
            created_at: created.map(in_days),
            expires_at: expires.map(in_days),
            secret: None,
            external_id: "1".to_owned(),
            is_derived: false,
        }
    }

    fn people() -> Policy {
        Policy::new(KeyKind::User, PolicyFields::default()).unwrap()
    }

    fn servers() -> Policy {
        let fields = PolicyFields {
            default_ttl_days: None,
            max_ttl_days: None,
            review_days: Some(180),
            ..PolicyFields::default()
        };
        Policy::new(KeyKind::Application, fields).unwrap()
    }

    /// The job that looks next, and in how many days.
    fn next(entry: &NewEntry<'_>) -> (i16, i64) {
        (entry.next.0, (entry.next.1.unwrap() - noon().timestamp_millis()) / 86_400_000)
    }

    #[test]
    fn nobody_is_told_about_the_past() {
        let row = row(Some(-80), Some(5));
        let entry = NewEntry::new(&row, place(None), &people(), true, noon()).unwrap();
        let (thirty, seven) = (Stage::Expiring { days: 30 }, Stage::Expiring { days: 7 });
        assert_eq!(entry.passed, [thirty, seven]);
        assert_eq!(entry.key.last_stage, Some(seven));
        assert_eq!(next(&entry), (1, 4), "the last day's reminder comes next");

        let told = NewEntry::new(&row, place(None), &people(), false, noon()).unwrap();
        assert_eq!((told.passed.len(), told.key.last_stage, next(&told)), (0, None, (1, 0)));
    }

    #[test]
    fn a_key_that_has_expired_is_for_the_next_sweep() {
        let row = row(Some(-80), Some(-5));
        let entry = NewEntry::new(&row, place(None), &people(), true, noon()).unwrap();
        assert_eq!(entry.key.state, KeyState::Active { expires_at: Some(in_days(-5)) });
        assert_eq!((next(&entry), entry.passed.len()), ((1, 0), 0));
    }

    #[test]
    fn a_key_ends_with_its_owners_access() {
        let row = row(Some(-10), Some(80));
        let entry = NewEntry::new(&row, place(Some(in_days(40))), &people(), true, noon()).unwrap();
        assert_eq!(entry.key.expires_at(), Some(in_days(40)));
        assert_eq!(entry.ttl_ms, Some(90 * 86_400_000), "what was meant is remembered");
    }

    #[test]
    fn a_key_for_ever_is_taken_only_where_that_is_allowed() {
        let row = row(Some(-400), None);
        let refused = NewEntry::new(&row, place(None), &people(), true, noon()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "expires is `never`, but user keys live at most 365 days here"
        );
        let entry = NewEntry::new(&row, place(None), &servers(), true, noon()).unwrap();
        assert_eq!(entry.key.review_at, Some(in_days(140)), "540 days after it was made");
    }

    #[test]
    fn an_unknown_age_makes_no_key_short_lived() {
        let row = row(None, Some(3));
        let entry = NewEntry::new(&row, place(None), &people(), true, noon()).unwrap();
        assert_eq!(entry.key.issued_at, noon());
        assert_eq!(entry.ttl_ms, Some(90 * 86_400_000));
    }
}
