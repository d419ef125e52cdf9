//! The rules in effect, field by field, and who says so.

use serde_json::Value;

use crate::{
    domain::{
        identity::KeyKind,
        policy::{PolicyFields, WindowProof},
    },
    store::policies::{PolicyBook, PolicyChange, PolicyLayer},
};

/// A field of a policy, in effect.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveField {
    /// For keys of this kind.
    pub kind: KeyKind,
    /// What it is called.
    pub field: &'static str,
    /// A number, a list, a flag, or `"never"`.
    pub value: Value,
    /// `installation`, `tenant` or `environment`.
    pub origin: &'static str,
}

/// Whether a layer sets a field.
type Sets = fn(&PolicyChange) -> bool;

impl PolicyBook {
    /// The rules in effect for keys of `kind` in this environment of this tenant. 0 is neither.
    pub fn effective(
        &self,
        tenant_id: i64,
        environment_id: i64,
        kind: KeyKind,
    ) -> Vec<EffectiveField> {
        let layers = [
            ("environment", self.environment_layer(environment_id)),
            ("tenant", self.tenant_layer(tenant_id)),
        ];
        let origin = |sets: Sets| {
            let is_set = |layer: &PolicyLayer| sets(&layer.all) || layer.of(kind).is_some_and(sets);
            let found = layers.iter().find(|(_, layer)| layer.is_some_and(is_set));
            found.map_or("installation", |(name, _)| *name)
        };
        let field = |(field, value, sets): (_, _, Sets)| EffectiveField {
            kind,
            field,
            value,
            origin: origin(sets),
        };
        fields(self.of(tenant_id, environment_id, kind).fields()).map(field).into()
    }
}

fn fields(fields: PolicyFields) -> [(&'static str, Value, Sets); 10] {
    let PolicyFields {
        mut reminder_days,
        window_days,
        closing_days,
        default_ttl_days,
        max_ttl_days,
        review_days,
        undo_hours,
        mfa_required,
        self_rotate,
        window_proof,
    } = fields;
    reminder_days.reverse();
    let limit = |days: Option<u16>| days.map_or("never".into(), Value::from);
    let proofs: Vec<_> = window_proof.into_iter().map(WindowProof::as_str).collect();
    [
        ("reminder_days", reminder_days.into(), |layer| layer.reminder_days.is_some()),
        ("window_days", window_days.into(), |layer| layer.window_days.is_some()),
        ("closing_days", closing_days.into(), |layer| layer.closing_days.is_some()),
        ("default_ttl_days", limit(default_ttl_days), |layer| layer.default_ttl_days.is_some()),
        ("max_ttl_days", limit(max_ttl_days), |layer| layer.max_ttl_days.is_some()),
        ("review_days", limit(review_days), |layer| layer.review_days.is_some()),
        ("undo_hours", undo_hours.into(), |layer| layer.undo_hours.is_some()),
        // A layer can ask for it, and cannot waive it.
        ("mfa_required", mfa_required.into(), |layer| layer.mfa_required == Some(true)),
        ("self_rotate", self_rotate.into(), |layer| layer.self_rotate.is_some()),
        ("window_proof", proofs.into(), |layer| layer.window_proof.is_some()),
    ]
}
