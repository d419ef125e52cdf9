//! What a sweep decides about keys, and what is to be written of it.

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        key::{KeyId, KeyState},
        lifecycle::{Decision, Step, next_step},
        stage::Stage,
        unused::{Deed, Unused},
    },
    store::{
        NoticeStatus,
        audit::NewEvent,
        due::{DueKey, KeyChange},
        notices::NewNotice,
        policies::PolicyBook,
        unused::UnusedKey,
    },
};

/// What is to be written about some keys.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// How the keys are left.
    pub(super) changes: Vec<KeyChange>,
    /// What their owners are told.
    pub(super) notices: Vec<NewNotice>,
    /// What the trail says.
    pub(super) events: Vec<NewEvent>,
    /// The tenants of the keys that expire.
    pub(super) expired: Vec<i64>,
    /// Keys that nothing uses.
    pub(super) unused: Vec<UnusedKey>,
    /// Keys that would expire, but are held back: each with its version.
    pub(super) held: Vec<(KeyId, i64)>,
}

/// Asks the domain about each key. Nothing here waits or fails.
pub(super) fn decide(
    keys: &[DueKey],
    book: &PolicyBook,
    now: DateTime<Utc>,
    is_held: impl Fn(&DueKey) -> bool,
) -> Writes {
    let mut writes = Writes::default();
    for due in keys {
        let policy = book.of_key(&due.governed());
        let decision = next_step(&due.key, &policy, now);
        if matches!(decision.step, Step::Expire { .. } | Step::End { .. }) {
            if is_held(due) {
                writes.held.push((due.id, due.version));
                continue;
            }
            writes.expired.push(due.tenant_id);
        }
        writes.add(due, &decision, now);
    }
    writes
}

impl Writes {
    fn add(&mut self, due: &DueKey, decision: &Decision, now: DateTime<Utc>) {
        let mut change = KeyChange {
            id: due.id,
            version: due.version,
            state: due.key.state,
            last_stage: decision.last_stage(&due.key),
            review_at: due.key.review_at,
            next: decision.next,
        };
        for stage in &decision.superseded {
            self.tell(due, *stage, NoticeStatus::Superseded);
        }
        match decision.step {
            Step::Keep => {}
            Step::Notify { stage } => self.tell(due, stage, NoticeStatus::Pending),
            Step::Mute { stage } => self.tell(due, stage, NoticeStatus::Muted),
            Step::Review { next_review_at } => {
                change.review_at = next_review_at;
                self.notice(due, Stage::ReviewDue, due.due_at, NoticeStatus::Pending);
            }
            Step::Expire { window_ends_at } => {
                let expires_at = due.key.expires_at().unwrap_or(now);
                change.state = KeyState::Window { expires_at, window_ends_at };
                self.tell(due, Stage::Expired, NoticeStatus::Pending);
                let detail = format!(r#"{{"window_ends_at":"{}"}}"#, iso(window_ends_at));
                self.happened(due, "key.expired", detail);
            }
            Step::End { purge_at } => {
                change.state = KeyState::Revoked { purge_at };
                self.tell(due, Stage::Expired, NoticeStatus::Pending);
                let detail = format!(r#"{{"purge_at":"{}"}}"#, iso(purge_at));
                self.happened(due, "key.access_ended", detail);
            }
        }
        self.changes.push(change);
        if let (Some(deed), Some(Unused { since, .. })) = (decision.unused, due.key.unused) {
            match deed {
                Deed::Warn { suspends_at } => {
                    self.notice(due, Stage::Unused, suspends_at, NoticeStatus::Pending);
                }
                Deed::Suspend => {
                    // Of this instant, so that each time is told.
                    self.notice(due, Stage::SuspendedUnused, now, NoticeStatus::Pending);
                    let since = iso(since);
                    let detail = format!(r#"{{"reason":"unused","unused_since":"{since}"}}"#);
                    self.happened(due, "key.suspended", detail);
                }
            }
            // The rest is written first, and that raises the version.
            self.unused.push(UnusedKey { id: due.id, version: due.version + 1, since, deed });
        }
    }

    pub(super) fn n_suspended(&self) -> u64 {
        self.unused.iter().filter(|key| key.deed == Deed::Suspend).count() as u64
    }

    /// Adds a notice about the key's expiry.
    fn tell(&mut self, due: &DueKey, stage: Stage, status: NoticeStatus) {
        let about = due.key.expires_at().unwrap_or(due.due_at);
        self.notice(due, stage, about, status);
    }

    fn notice(&mut self, due: &DueKey, stage: Stage, about: DateTime<Utc>, status: NoticeStatus) {
        self.notices.push(NewNotice {
            key_id: due.id,
            tenant_id: due.tenant_id,
            owner_id: due.owner_id,
            stage,
            about,
            status,
            due_at: due.due_at,
        });
    }

    fn happened(&mut self, due: &DueKey, action: &'static str, detail: String) {
        self.events.push(NewEvent {
            action,
            tenant_id: Some(due.tenant_id),
            key_id: Some(due.id),
            owner_id: Some(due.owner_id),
            detail,
        });
    }
}

/// An instant as JSON has it.
fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
