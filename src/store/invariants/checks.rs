//! The table of them.

use super::Check;

/// What mends a purge that should not have been: nothing does.
const GONE: &str = "lapsed pause --purge; lapsed keys explain :one; a purged key comes back only with the \
     database's back-up";

/// Every check there is, in the order of the invariants.
pub(super) const CHECKS: &[Check] = &[
    Check {
        invariant: "I1",
        what: "expired keys have no notice that says so",
        query: "SELECT COUNT(*), MIN(k.public_id) FROM api_keys k WHERE k.parked IS NULL \
             AND (k.state = 2 OR k.state = 3 AND k.end_reason = 3) AND NOT EXISTS (SELECT 1 \
             FROM notices n WHERE n.key_id = k.id AND n.expires_at = k.expires_at AND n.stage = 0)",
        mend: "lapsed keys rotate :one; or decide: lapsed keys revoke :one",
    },
    Check {
        invariant: "I1",
        what: "keys count as announced, and have no notice of it",
        query: "SELECT COUNT(*), MIN(k.public_id) FROM api_keys k WHERE k.state = 1 \
             AND k.parked IS NULL AND k.last_stage > 0 AND NOT EXISTS (SELECT 1 FROM notices n \
             WHERE n.key_id = k.id AND n.expires_at = k.expires_at AND n.stage = k.last_stage) \
             AND NOT EXISTS (SELECT 1 FROM audit_events e WHERE e.key_id = k.id \
             AND e.action IN ('key.unneeded', 'key.changed', 'key.shortened'))",
        mend: "UPDATE api_keys SET last_stage = NULL, next_job = 1, next_action_at = :now \
             WHERE public_id = ':one': the next sweep tells its owner",
    },
    Check {
        invariant: "I1",
        what: "keys will never be looked at",
        query: "SELECT COUNT(*), MIN(public_id) FROM api_keys WHERE next_action_at IS NULL \
             AND parked IS NULL AND (state = 1 AND expires_at IS NOT NULL \
             OR state IN (2, 3) AND hold IS NULL)",
        mend: "UPDATE api_keys SET next_job = 1, next_action_at = :now WHERE public_id = ':one': the \
             next sweep looks at it",
    },
    Check {
        invariant: "I1",
        what: "notices wait in a mail that is over",
        query: "SELECT COUNT(*), MIN(n.id) FROM notices n LEFT JOIN messages m \
             ON m.id = n.message_id WHERE n.status = 2 AND (m.id IS NULL OR m.status IN (3, 4, 5))",
        mend: "UPDATE notices SET status = 1, message_id = NULL WHERE id = :one: the next delivery \
             tells it",
    },
    Check {
        invariant: "I2",
        what: "keys have one notice twice",
        query: "SELECT COUNT(*), MIN(key_id) FROM (SELECT key_id FROM notices \
             GROUP BY key_id, expires_at, stage HAVING COUNT(*) > 1) twice",
        mend: "delete the later one of them, then CREATE UNIQUE INDEX \
             uq_notices_key_id_expires_at_stage ON notices (key_id, expires_at, stage)",
    },
    Check {
        invariant: "I3",
        what: "keys have ended, and the trail does not say so",
        query: "SELECT COUNT(*), MIN(k.public_id) FROM api_keys k WHERE k.state IN (2, 3) \
             AND k.created_at >= (SELECT MIN(at) FROM audit_events) AND NOT EXISTS (SELECT 1 \
             FROM audit_events e WHERE e.key_id = k.id \
             AND e.action IN ('key.expired', 'key.access_ended', 'key.revoked'))",
        mend: "lapsed audit verify says whether the trail was changed; lapsed keys explain :one",
    },
    Check {
        invariant: "I3",
        what: "keys were purged, and the trail does not say so",
        query: "SELECT COUNT(*), MIN(t.public_id) FROM tombstones t WHERE t.purged_at >= \
             (SELECT MIN(at) FROM audit_events) AND NOT EXISTS (SELECT 1 FROM audit_events e \
             WHERE e.key_id = t.key_id AND e.action = 'key.purged')",
        mend: "lapsed audit verify says whether the trail was changed; lapsed keys explain :one",
    },
    Check {
        invariant: "I4",
        what: "keys were purged, and are there again",
        query: "SELECT COUNT(*), MIN(k.public_id) FROM api_keys k JOIN tombstones t \
             ON t.key_id = k.id",
        mend: "lapsed keys explain :one; if it has no business here: lapsed keys revoke :one",
    },
    Check {
        invariant: "I5",
        what: "keys were purged before their window was over",
        query: "SELECT COUNT(*), MIN(public_id) FROM tombstones \
             WHERE window_ends_at IS NULL OR purged_at < window_ends_at",
        mend: GONE,
    },
    Check {
        invariant: "I6",
        what: "keys were purged, and nobody had been told that they expired",
        query: "SELECT COUNT(*), MIN(t.public_id) FROM tombstones t WHERE t.reason IN (1, 3) \
             AND t.expires_at > :kept AND NOT EXISTS (SELECT 1 FROM notices n \
             WHERE n.key_id = t.key_id AND n.expires_at = t.expires_at AND n.stage = 0 \
             AND n.told_at <= t.purged_at)",
        mend: GONE,
    },
    Check {
        invariant: "I8",
        what: "mails are held for ever",
        query: "SELECT COUNT(*), MIN(id) FROM messages WHERE status = 2 AND (holder IS NULL \
             OR lease_until IS NULL OR next_attempt_at IS NULL OR lease_until > :now + 7200000)",
        mend: "UPDATE messages SET lease_until = :now, next_attempt_at = :now WHERE id = :one: the \
             next delivery takes it back",
    },
    Check {
        invariant: "I9",
        what: "brakes do not say what they hold back",
        query: "SELECT COUNT(*), MIN(name) FROM flags WHERE name IN ('brake.expire', 'brake.purge') \
             AND value NOT LIKE '{%\"hash\"%'",
        mend: "DELETE FROM flags WHERE name = ':one': the next run looks anew",
    },
    Check {
        invariant: "I10",
        what: "rows are no keys, and were not put aside",
        query: "SELECT COUNT(*), MIN(public_id) FROM api_keys WHERE next_action_at IS NULL \
             AND parked IS NULL AND (state NOT IN (1, 2, 3) OR kind NOT IN (1, 2, 3))",
        mend: "mend the row's state and kind, then UPDATE api_keys SET next_job = 1, \
             next_action_at = :now WHERE public_id = ':one'",
    },
    Check {
        invariant: "I11",
        what: "keys have a secret that is stored as something else than its MAC",
        query: "SELECT COUNT(*), MIN(k.public_id) FROM key_secrets s JOIN api_keys k \
             ON k.id = s.key_id WHERE s.algorithm = 1 AND LENGTH(s.mac) <> 32",
        mend: "lapsed keys rotate :one --overlap 0h",
    },
    Check {
        invariant: "I11",
        what: "owners have a second factor that is not encrypted",
        query: "SELECT COUNT(*), MIN(email) FROM owners WHERE LENGTH(otp_seed) < 43",
        mend: "lapsed otp reset :one",
    },
    Check {
        invariant: "I12",
        what: "rows of the trail have not been sealed for an hour",
        query: "SELECT COUNT(*), MIN(id) FROM audit_events WHERE at < :now - 3600000 \
             AND id > (SELECT COALESCE(MAX(last_id), 0) FROM audit_seals)",
        mend: "does `lapsed run` run, and with schedule.seal? lapsed status says when it last sealed",
    },
    Check {
        invariant: "I13",
        what: "mails belong to a daemon that is gone",
        query: "SELECT COUNT(*), MIN(id) FROM messages WHERE status = 2 \
             AND next_attempt_at < :now - 900000",
        mend: "lapsed sweep takes them back; does `lapsed run` run?",
    },
    Check {
        invariant: "I14",
        what: "keys belong to a tenant, and their owner or environment to another",
        query: "SELECT COUNT(*), MIN(k.public_id) FROM api_keys k JOIN owners o \
             ON o.id = k.owner_id JOIN environments e ON e.id = k.environment_id \
             WHERE o.tenant_id <> k.tenant_id OR e.tenant_id <> k.tenant_id",
        mend: "lapsed keys explain :one says who did it; lapsed keys revoke :one",
    },
    Check {
        invariant: "I14",
        what: "notices wait for an owner of another tenant",
        query: "SELECT COUNT(*), MIN(n.id) FROM notices n JOIN owners o ON o.id = n.owner_id \
             WHERE n.status IN (1, 2) AND o.tenant_id <> n.tenant_id",
        mend: "UPDATE notices SET status = 5 WHERE id = :one: it is not sent then",
    },
    Check {
        invariant: "I16",
        what: "keys have an old secret that lives on",
        query: "SELECT COUNT(*), MIN(k.public_id) FROM key_secrets s JOIN key_secrets newer \
             ON newer.key_id = s.key_id AND newer.version > s.version JOIN api_keys k \
             ON k.id = s.key_id WHERE s.valid_until IS NULL \
             OR s.valid_until > newer.created_at + 604800000",
        mend: "lapsed keys end-overlap :one",
    },
    Check {
        invariant: "I17",
        what: "owners have used up a code of the future",
        query: "SELECT COUNT(*), MIN(email) FROM owners WHERE otp_last_step > :step + 2",
        mend: "lapsed otp reset :one",
    },
    Check {
        invariant: "I18",
        what: "links open the keys of somebody whom their mail was not for",
        query: "SELECT COUNT(*), MIN(l.id) FROM links l JOIN messages m ON m.id = l.message_id \
             WHERE m.owner_id <> l.owner_id OR m.audience <> 1",
        mend: "DELETE FROM links WHERE id = :one",
    },
];
