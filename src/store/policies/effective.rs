//! The rules in effect, field by field, and who says so.

use serde_json::Value;

use crate::{
    domain::{
        identity::KeyKind,
        policy::{Channel, Deed, Policies, Policy, PolicyFields, WindowProof},
    },
    store::policies::{Delegated, Entry, PolicyBook, PolicyChange, PolicyLayer, words::NONE},
};

/// A field of a policy, in effect.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveField {
    /// For keys of this kind.
    pub kind: KeyKind,
    /// What it is called.
    pub field: &'static str,
    /// A number, a list, a flag, or a word such as `"never"`.
    pub value: Value,
    /// `installation`, `tenant`, `environment` or `key`.
    pub origin: &'static str,
}

/// Whether a layer sets a field.
type Sets = fn(&PolicyChange) -> bool;

impl PolicyBook {
    /// The rules in effect for keys of `kind`, or of every kind, in this environment of this
    /// tenant. 0 is neither.
    pub fn effective_of(
        &self,
        tenant_id: i64,
        environment_id: i64,
        kind: Option<KeyKind>,
    ) -> Vec<EffectiveField> {
        let kinds = KeyKind::ALL.iter().copied().filter(|one| kind.is_none_or(|kind| kind == *one));
        kinds.flat_map(|kind| self.effective(tenant_id, environment_id, kind)).collect()
    }

    /// The rules in effect for keys of `kind` in this environment of this tenant. 0 is neither.
    pub fn effective(
        &self,
        tenant_id: i64,
        environment_id: i64,
        kind: KeyKind,
    ) -> Vec<EffectiveField> {
        let layers = [
            ("environment", self.environments.get(&environment_id), self.of_tenant(tenant_id)),
            ("tenant", self.tenants.get(&tenant_id), &self.base),
        ];
        let origin = |field: &str, sets: Sets| {
            let is_set = |layer: &PolicyLayer| sets(&layer.all) || layer.of(kind).is_some_and(sets);
            let says_so = |(_, entry, above): &&(_, Option<&Entry>, &Policies)| {
                entry.is_some_and(|entry| {
                    is_set(&entry.layer) && !entry.gives_way(field, above, kind)
                })
            };
            layers.iter().find(says_so).map_or("installation", |(name, ..)| *name)
        };
        let field = |(field, value, sets): (_, _, Sets)| EffectiveField {
            kind,
            field,
            value,
            origin: origin(field, sets),
        };
        fields(self.of(tenant_id, environment_id, kind).fields()).into_iter().map(field).collect()
    }
}

impl Entry {
    /// The fields that are stricter in effect than this layer sets them, because a level above is
    /// and has not delegated them.
    pub(super) fn held_back(&self, above: &Policies, kind: KeyKind) -> Vec<&'static str> {
        let Ok(alone) = self.layer.over(above, &Delegated::all()) else { return Vec::new() };
        differing(alone.of(kind), self.effective.of(kind))
    }

    /// Whether of this field the value of the level above is in effect, though it is set here.
    fn gives_way(&self, field: &str, above: &Policies, kind: KeyKind) -> bool {
        let value = |policies: &Policies| {
            let all = fields(policies.of(kind).fields());
            all.into_iter().find(|(name, ..)| *name == field).map(|(_, value, _)| value)
        };
        self.held_back(above, kind).contains(&field) && value(&self.effective) == value(above)
    }
}

/// The fields that have another value in `held` than in `alone`.
pub(super) fn differing(alone: &Policy, held: &Policy) -> Vec<&'static str> {
    let pairs = fields(alone.fields()).into_iter().zip(fields(held.fields()));
    pairs.filter(|(alone, held)| alone.1 != held.1).map(|(alone, _)| alone.0).collect()
}

/// The fields in the order in which they are shown.
pub(super) fn fields(fields: PolicyFields) -> Vec<(&'static str, Value, Sets)> {
    let PolicyFields {
        mut reminder_days,
        window_days,
        closing_days,
        default_ttl_days,
        max_ttl_days,
        review_days,
        undo_hours,
        mfa_required_for,
        two_person,
        self_rotate,
        window_proof,
        min_ttl_days,
        default_overlap_hours,
        max_overlap_hours,
        max_keys_per_owner,
        tombstone_days,
        purge_mode,
        unused_days,
        digest,
        quiet_hours,
        reminder_channels,
        risk_analysis_ref,
    } = fields;
    reminder_days.reverse();
    let limit = |days: Option<u16>| days.map_or("never".into(), Value::from);
    let deeds: Vec<_> = mfa_required_for.into_iter().map(Deed::as_str).collect();
    let proofs: Vec<_> = window_proof.into_iter().map(WindowProof::as_str).collect();
    let reference = risk_analysis_ref.map_or(NONE.into(), |text| Value::from(text.as_str()));
    let quiet = quiet_hours.map_or(NONE.into(), |hours| Value::from(hours.to_string()));
    let channels: Vec<_> = reminder_channels.into_iter().map(Channel::as_str).collect();
    vec![
        ("reminder_days", reminder_days.into(), |layer| layer.reminder_days.is_some()),
        ("window_days", window_days.into(), |layer| layer.window_days.is_some()),
        ("closing_days", closing_days.into(), |layer| layer.closing_days.is_some()),
        ("default_ttl_days", limit(default_ttl_days), |layer| layer.default_ttl_days.is_some()),
        ("max_ttl_days", limit(max_ttl_days), |layer| layer.max_ttl_days.is_some()),
        ("review_days", limit(review_days), |layer| layer.review_days.is_some()),
        ("undo_hours", undo_hours.into(), |layer| layer.undo_hours.is_some()),
        ("mfa_required_for", deeds.into(), |layer| layer.mfa_required_for.is_some()),
        ("two_person", two_person.into(), |layer| layer.two_person.is_some()),
        ("self_rotate", self_rotate.into(), |layer| layer.self_rotate.is_some()),
        ("window_proof", proofs.into(), |layer| layer.window_proof.is_some()),
        ("min_ttl_days", limit(min_ttl_days), |layer| layer.min_ttl_days.is_some()),
        ("default_overlap_hours", default_overlap_hours.into(), |layer| {
            layer.default_overlap_hours.is_some()
        }),
        ("max_overlap_hours", max_overlap_hours.into(), |layer| layer.max_overlap_hours.is_some()),
        ("max_keys_per_owner", limit(max_keys_per_owner), |layer| {
            layer.max_keys_per_owner.is_some()
        }),
        ("tombstone_days", tombstone_days.into(), |layer| layer.tombstone_days.is_some()),
        ("purge_mode", purge_mode.as_str().into(), |layer| layer.purge_mode.is_some()),
        ("unused_days", limit(unused_days), |layer| layer.unused_days.is_some()),
        ("digest", digest.into(), |layer| layer.digest.is_some()),
        ("quiet_hours", quiet, |layer| layer.quiet_hours.is_some()),
        ("reminder_channels", channels.into(), |layer| layer.reminder_channels.is_some()),
        ("risk_analysis_ref", reference, |layer| layer.risk_analysis_ref.is_some()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_can_be_delegated() {
        let all = fields(PolicyFields::default());
        let names: Vec<_> = all.into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, crate::store::policies::delegated::FIELDS);
    }

    #[test]
    fn who_says_so_is_whose_value_it_is() {
        let mut book = PolicyBook::new(Policies::default());
        book.lay_tenant(1, "acme", r#"{"max_ttl_days": 60, "delegated": ["window_days"]}"#);
        let layer = r#"{"max_ttl_days": 90, "undo_hours": 99, "window_days": 20}"#;
        book.lay_environment(10, 1, "test", layer);
        let of = |name| {
            let all = book.effective(1, 10, KeyKind::User);
            all.into_iter()
                .find(|field| field.field == name)
                .map(|field| (field.value, field.origin))
        };
        assert_eq!(of("max_ttl_days"), Some((60.into(), "tenant")));
        assert_eq!(of("undo_hours"), Some((99.into(), "environment")));
        assert_eq!(of("window_days"), Some((20.into(), "environment")));
        assert_eq!(of("self_rotate"), Some((false.into(), "installation")));
    }
}
