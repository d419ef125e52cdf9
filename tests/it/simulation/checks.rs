//! What must hold after each step, and what must have come about in the end.

use chrono::{DateTime, TimeDelta, Utc};
use lapsed::{
    clock::Clock as _,
    store::{audit, invariants},
};

use crate::{
    simulation::{SKEW, World},
    support::app::days,
};

/// Two daemons' clocks may be so far apart.
const APART: i64 = SKEW.num_milliseconds() * 2;

impl World<'_> {
    /// Nothing was destroyed early, and the database says nothing that did not happen.
    pub async fn check(&mut self, when: &str) {
        self.check_states(when).await;
        self.check_purges(when).await;
        self.check_history(when).await;
    }

    /// States go forward, but for a rotation or an extension; no version goes back.
    async fn check_states(&mut self, when: &str) {
        let query = "SELECT public_id, version, state, expires_at FROM api_keys";
        for row in self.secrets.app.rows(query).await {
            let id: String = row.try_get_by_index(0).unwrap();
            let now = (
                row.try_get_by_index::<i64>(1).unwrap(),
                row.try_get_by_index::<i16>(2).unwrap(),
                row.try_get_by_index::<i64>(3).unwrap(),
            );
            let paper = self.model.keys.iter().find(|key| key.token.id.to_string() == id).unwrap();
            if paper.revoked_at.is_none() && !self.model.left.contains_key(&paper.owner) {
                let expires_at = paper.expires_at.timestamp_millis();
                assert_eq!(now.2, expires_at, "{when}: {id} expires at another time");
            }
            assert!(
                now.1 != 2 || paper.expires_at.timestamp_millis() <= self.millis() + APART,
                "{when}: {id} expired early"
            );
            let before = self.model.seen.insert(id.clone(), now).unwrap_or(now);
            assert!(before.0 <= now.0, "{when}: the version of {id} went back");
            assert!(before.0 < now.0 || before == now, "{when}: {id} changed, its version did not");
            assert!(before.1 <= now.1 || before.2 != now.2, "{when}: the state of {id} went back");
        }
    }

    fn millis(&self) -> i64 {
        self.clocks[0].now().timestamp_millis()
    }

    /// No purge inside the window, and none without a notice that a relay took 72 hours before.
    async fn check_purges(&self, when: &str) {
        let query = "SELECT t.public_id, t.purged_at, t.reason, t.expires_at, m.header_id, \
             (SELECT COUNT(*) FROM api_keys k WHERE k.id = t.key_id) \
             FROM tombstones t LEFT JOIN notices n ON n.key_id = t.key_id \
             AND n.expires_at = t.expires_at AND n.stage = 0 \
             LEFT JOIN messages m ON m.id = n.message_id";
        let relay = self
            .relay
            .lock()
            .unwrap()
            .taken
            .iter()
            .map(|taken| (taken.header_id.clone(), taken.at.timestamp_millis()))
            .collect::<Vec<_>>();
        for row in self.secrets.app.rows(query).await {
            let id: String = row.try_get_by_index(0).unwrap();
            let purged_at: i64 = row.try_get_by_index(1).unwrap();
            let reason: i16 = row.try_get_by_index(2).unwrap();
            assert_eq!(row.try_get_by_index::<i64>(5).unwrap(), 0, "{when}: {id} is half gone");
            let paper = self.model.keys.iter().find(|key| key.token.id.to_string() == id).unwrap();
            let ended_at = match (reason, paper.revoked_at) {
                (2, revoked_at) => revoked_at.unwrap_or_else(|| panic!("{when}: {id} counts as revoked, and nobody has revoked it: expires {}, owner left {:?}", paper.expires_at.timestamp_millis(), self.model.left.get(&paper.owner).map(|at| at.timestamp_millis()))) + days(3),
                (3, _) => self.model.left[&paper.owner] + days(3),
                // An owner who leaves takes the rest of the window along.
                _ if self.model.left.contains_key(&paper.owner) => paper.expires_at,
                _ => paper.expires_at + days(7),
            };
            let early = ended_at.timestamp_millis() - purged_at;
            assert!(early <= APART, "{when}: {id} was purged {early} ms early ({reason})");
            if reason == 2 {
                continue;
            }
            let header_id: Option<String> = row.try_get_by_index(4).unwrap();
            let told_at = relay.iter().filter(|(id, _)| Some(id) == header_id.as_ref());
            let told_at = told_at.map(|(_, at)| *at).min();
            let told_at = told_at.unwrap_or_else(|| panic!("{when}: {id} was purged unsaid"));
            let notice = purged_at - told_at + APART;
            let least = TimeDelta::hours(72).num_milliseconds();
            assert!(least <= notice, "{when}: {id} was purged {notice} ms after it was told");
        }
    }

    /// What counts as sent was taken by the relay, for that very recipient, and not more often than
    /// is accounted for; what counts as told is in such a mail.
    async fn check_history(&self, when: &str) {
        let query = "SELECT header_id, status, crashes, ambiguous, recipients FROM messages";
        let relay = self
            .relay
            .lock()
            .unwrap()
            .taken
            .iter()
            .map(|taken| (taken.header_id.clone(), taken.to.clone()))
            .collect::<Vec<_>>();
        let mut n_known = 0;
        for row in self.secrets.app.rows(query).await {
            let id: String = row.try_get_by_index(0).unwrap();
            let status: i16 = row.try_get_by_index(1).unwrap();
            let (crashes, ambiguous): (i64, i64) =
                (row.try_get_by_index(2).unwrap(), row.try_get_by_index(3).unwrap());
            let recipients: String = row.try_get_by_index(4).unwrap();
            let taken: Vec<_> = relay.iter().filter(|(taken, _)| *taken == id).collect();
            n_known += taken.len();
            assert!(status != 3 || !taken.is_empty(), "{when}: {id} was never sent");
            let most = 1 + ambiguous.unsigned_abs() as usize;
            assert!(taken.len() <= most, "{when}: {id} went out {} times", taken.len());
            assert!(crashes <= ambiguous, "{when}: a crash that is not counted as ambiguous");
            for (_, to) in taken {
                let to = serde_json::to_string(to).unwrap();
                assert_eq!(to, recipients, "{when}: {id} went to somebody else");
            }
        }
        assert_eq!(n_known, relay.len(), "{when}: mails that the database knows nothing of");
        let unsaid = "SELECT COUNT(*) FROM notices n LEFT JOIN messages m ON m.id = n.message_id \
             WHERE n.status IN (3, 6) AND (m.status IS NULL OR m.status <> 3)";
        let unsaid: i64 = self.secrets.app.column(unsaid).await[0];
        assert_eq!(unsaid, 0, "{when}: told, but in no mail that was sent");
        self.check_trail(when).await;
    }

    /// A change, its notice and its row in the trail are there together.
    async fn check_trail(&self, when: &str) {
        let counts = [
            "tombstones",
            "audit_events WHERE action = 'key.purged'",
            "notices WHERE stage = -2",
            "audit_events WHERE action IN ('key.expired', 'key.access_ended')",
            "notices WHERE stage = 0",
        ];
        let counts = counts.map(|from| format!("(SELECT COUNT(*) FROM {from})"));
        // In one query: there are many steps, and many seeds.
        let row = self.secrets.app.rows(&format!("SELECT {}", counts.join(", "))).await.remove(0);
        let [purged, traced, receipts, ended, told] =
            std::array::from_fn(|n| row.try_get_by_index::<i64>(n).unwrap());
        assert_eq!((purged, traced, receipts), (purged, purged, purged), "{when}: purges");
        assert_eq!(ended, told, "{when}: each end, and nothing else, is to be told");
    }

    /// What `lapsed doctor` looks for is not there, but for what waits for a daemon.
    pub async fn check_invariants(&self, when: &str) {
        let app = self.secrets.app;
        let keep = app.deps.limits.keep_messages;
        let mut broken = invariants::broken(app.db.conn(), self.now(), keep).await.unwrap();
        broken.retain(|broken| !["I12", "I13"].contains(&broken.invariant));
        assert_eq!(broken, [], "{when}");
    }

    /// Everybody was told, everything is over that had to be, and the trail holds.
    pub async fn check_end(&self) {
        let app = self.secrets.app;
        let open = "SELECT n.key_id || ' stage ' || n.stage || ' status ' || n.status || ' ' || \
             COALESCE(m.last_reply, 'never tried') FROM notices n \
             LEFT JOIN messages m ON m.id = n.message_id WHERE n.status IN (1, 2, 7)";
        let open: Vec<String> = app.column(open).await;
        assert!(open.is_empty(), "somebody was never told: {open:#?}");
        assert_eq!(app.count("messages WHERE status IN (1, 2, 6)").await, 0, "mails wait");
        assert_eq!(app.count("api_keys WHERE parked IS NOT NULL").await, 0, "keys are parked");
        for key in &self.model.keys {
            let id = key.token.id.to_string();
            let query = format!(
                "SELECT n.stage FROM notices n JOIN (SELECT id, public_id FROM api_keys UNION \
                 SELECT key_id, public_id FROM tombstones) k ON k.id = n.key_id \
                 WHERE k.public_id = '{id}' AND (n.expires_at = {} OR n.stage = -2)",
                key.expires_at.timestamp_millis()
            );
            let told: Vec<i16> = app.column(&query).await;
            if key.revoked_at.is_some() || self.model.left.contains_key(&key.owner) {
                continue;
            }
            let lifetime = key.expires_at - key.issued_at;
            for rung in [30, 7, 1].into_iter().filter(|rung| days(*rung) < lifetime) {
                let at: DateTime<Utc> = key.expires_at - days(rung);
                let is_due = at + days(1) < self.now();
                assert!(
                    !is_due || told.contains(&i16::try_from(rung).unwrap()),
                    "{id}: nothing is on record of its reminder {rung} days before: {told:?}"
                );
            }
            let is_due = key.expires_at + days(1) < self.now();
            assert!(!is_due || told.contains(&0), "{id} expired, and nobody was to be told");
            let is_over = key.expires_at + days(12) < self.now();
            assert!(!is_over || told.contains(&-2), "{id} should be gone");
        }
        self.check_invariants("the end").await;
        let key = &self.daemons[0].audit_key;
        let report = audit::verify::verify(&app.db, key, None, |_| ()).await.unwrap();
        assert!(report.is_clean(), "the trail is broken");
    }
}
