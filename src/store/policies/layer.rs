//! What one tenant or environment changes about the rules.

use serde::{Deserialize, Serialize};

use crate::domain::{
    identity::KeyKind,
    policy::{Channel, Deed, Policies, Policy, PolicyError, PolicyFields, WindowProof},
    quiet::QuietHours,
};
use crate::store::policies::{
    ChannelWord, DeedWord, Delegated, HoursWord, Limit, ModeWord, ProofWord, RefWord,
};

/// The fields of a policy that one layer sets for some kind of key. An absent field is inherited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyChange {
    /// Days before the expiry at which the owner is reminded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reminder_days: Option<Vec<u16>>,
    /// Days after the expiry in which the owner can still rotate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_days: Option<u16>,
    /// Days before the window's end at which the owner is told once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closing_days: Option<u16>,
    /// Days a key lives if nobody says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_ttl_days: Option<Limit>,
    /// Days a key may live at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ttl_days: Option<Limit>,
    /// Days after which a key without expiry has to be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_days: Option<Limit>,
    /// Hours between the end of a key without a window, and its purge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo_hours: Option<u16>,
    /// What needs an OTP of whoever does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa_required_for: Option<Vec<DeedWord>>,
    /// Whether what ends or weakens needs a second administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub two_person: Option<bool>,
    /// Whether a program may rotate the key that it presents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_rotate: Option<bool>,
    /// What brings an expired key back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_proof: Option<Vec<ProofWord>>,
    /// Days a key lives at least, if its length is asked for; `never` for no least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ttl_days: Option<Limit>,
    /// Hours for which the old secret goes on beside a new one if nobody says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_overlap_hours: Option<u16>,
    /// Hours for which the old secret may go on beside a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_overlap_hours: Option<u16>,
    /// Keys of the kind that an owner may have; `never` for any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_keys_per_owner: Option<Limit>,
    /// Days for which the record of a purged key is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tombstone_days: Option<u16>,
    /// Whether a purge waits for an administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purge_mode: Option<ModeWord>,
    /// Days for which a key may be out of use before it is suspended; `never` for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused_days: Option<Limit>,
    /// Whether all that is to be told to an owner goes into one mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<bool>,
    /// When nobody is told what can wait; `none` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<HoursWord>,
    /// To whom reminders go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reminder_channels: Option<Vec<ChannelWord>>,
    /// Where it is written why the rules are as they are; `none` for nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk_analysis_ref: Option<RefWord>,
}

impl PolicyChange {
    /// `parent` with these fields changed.
    ///
    /// An inherited field gives way to one that is set here: an inherited default length that is
    /// beyond a limit set here becomes that limit, so does an inherited overlap, and an inherited last day that a window set
    /// here has no room for is brought into it.
    ///
    /// A field that `free` does not name is only ever made stricter: of what is set here and what
    /// holds above, the stricter counts. So a level above that becomes stricter is so at once for
    /// all below it.
    ///
    /// # Errors
    /// What makes no sense, named by its field.
    pub fn over(
        &self,
        parent: &Policy,
        kind: KeyKind,
        free: &Delegated,
    ) -> Result<Policy, PolicyError> {
        let old = parent.fields();
        let window_days = free.pick("window_days", self.window_days, old.window_days, u16::min);
        let limit = |field, set: Option<Limit>, above| {
            free.pick(field, set.map(Limit::days), above, shorter)
        };
        let max_ttl_days = limit("max_ttl_days", self.max_ttl_days, old.max_ttl_days);
        let inherited_ttl = match (old.default_ttl_days, max_ttl_days) {
            (Some(ttl), Some(max)) => Some(ttl.min(max)),
            (None, Some(max)) => Some(max),
            (ttl, None) => ttl,
        };
        let max_overlap_hours =
            free.pick("max_overlap_hours", self.max_overlap_hours, old.max_overlap_hours, u16::min);
        let inherited_overlap = old.default_overlap_hours.min(max_overlap_hours);
        let inherited_closing = old.closing_days.min(window_days.saturating_sub(1));
        Policy::new(
            kind,
            PolicyFields {
                // Whoever is reminded oftener is reminded as strictly.
                reminder_days: free.pick(
                    "reminder_days",
                    self.reminder_days.clone(),
                    old.reminder_days,
                    // None at all is a mistake, and not to be mended here.
                    |set, above| if set.is_empty() { set } else { [set, above].concat() },
                ),
                window_days,
                closing_days: free.pick(
                    "closing_days",
                    self.closing_days,
                    inherited_closing,
                    u16::max,
                ),
                default_ttl_days: limit("default_ttl_days", self.default_ttl_days, inherited_ttl),
                max_ttl_days,
                review_days: limit("review_days", self.review_days, old.review_days),
                undo_hours: free.pick("undo_hours", self.undo_hours, old.undo_hours, u16::max),
                mfa_required_for: free.pick(
                    "mfa_required_for",
                    self.mfa_required_for
                        .as_ref()
                        .map(|words| words.iter().map(|word| word.0).collect()),
                    old.mfa_required_for,
                    |set: Vec<Deed>, above| [set, above].concat(),
                ),
                two_person: free.pick(
                    "two_person",
                    self.two_person,
                    old.two_person,
                    |set, above| set || above,
                ),
                self_rotate: free.pick(
                    "self_rotate",
                    self.self_rotate,
                    old.self_rotate,
                    |set, above| set && above,
                ),
                window_proof: free.pick(
                    "window_proof",
                    self.window_proof
                        .as_ref()
                        .map(|words| words.iter().map(|word| word.0).collect()),
                    old.window_proof,
                    |mut set: Vec<WindowProof>, above| {
                        set.retain(|proof| above.contains(proof));
                        set
                    },
                ),
                min_ttl_days: free.pick(
                    "min_ttl_days",
                    self.min_ttl_days.map(Limit::days),
                    // A limit set here wins over a least that is inherited.
                    old.min_ttl_days.map(|min| max_ttl_days.map_or(min, |max| min.min(max))),
                    Ord::max,
                ),
                default_overlap_hours: free.pick(
                    "default_overlap_hours",
                    self.default_overlap_hours,
                    inherited_overlap,
                    u16::min,
                ),
                max_overlap_hours,
                max_keys_per_owner: limit(
                    "max_keys_per_owner",
                    self.max_keys_per_owner,
                    old.max_keys_per_owner,
                ),
                // A record that is kept for longer answers for longer.
                tombstone_days: free.pick(
                    "tombstone_days",
                    self.tombstone_days,
                    old.tombstone_days,
                    u16::max,
                ),
                purge_mode: free.pick(
                    "purge_mode",
                    self.purge_mode.map(|word| word.0),
                    old.purge_mode,
                    Ord::max,
                ),
                unused_days: limit("unused_days", self.unused_days, old.unused_days),
                // What has a mail of its own is not overlooked.
                digest: free.pick("digest", self.digest, old.digest, |set, above| set && above),
                quiet_hours: free.pick(
                    "quiet_hours",
                    self.quiet_hours.map(|word| word.0),
                    old.quiet_hours,
                    less_quiet,
                ),
                reminder_channels: free.pick(
                    "reminder_channels",
                    self.reminder_channels
                        .as_ref()
                        .map(|words| words.iter().map(|word| word.0).collect()),
                    old.reminder_channels,
                    // None at all is a mistake, and not to be mended here.
                    |set: Vec<Channel>, above| {
                        if set.is_empty() { set } else { [set, above].concat() }
                    },
                ),
                // It is no rule, so whoever is nearest says it.
                risk_analysis_ref: self
                    .risk_analysis_ref
                    .clone()
                    .map_or(old.risk_analysis_ref, |word| word.0),
            },
        )
    }
}

impl PolicyChange {
    /// These fields, with those that `other` sets in their place.
    fn with(&self, other: &Self) -> Self {
        Self {
            reminder_days: other.reminder_days.clone().or_else(|| self.reminder_days.clone()),
            window_days: other.window_days.or(self.window_days),
            closing_days: other.closing_days.or(self.closing_days),
            default_ttl_days: other.default_ttl_days.or(self.default_ttl_days),
            max_ttl_days: other.max_ttl_days.or(self.max_ttl_days),
            review_days: other.review_days.or(self.review_days),
            undo_hours: other.undo_hours.or(self.undo_hours),
            mfa_required_for: other
                .mfa_required_for
                .clone()
                .or_else(|| self.mfa_required_for.clone()),
            two_person: other.two_person.or(self.two_person),
            self_rotate: other.self_rotate.or(self.self_rotate),
            window_proof: other.window_proof.clone().or_else(|| self.window_proof.clone()),
            min_ttl_days: other.min_ttl_days.or(self.min_ttl_days),
            default_overlap_hours: other.default_overlap_hours.or(self.default_overlap_hours),
            max_overlap_hours: other.max_overlap_hours.or(self.max_overlap_hours),
            max_keys_per_owner: other.max_keys_per_owner.or(self.max_keys_per_owner),
            tombstone_days: other.tombstone_days.or(self.tombstone_days),
            purge_mode: other.purge_mode.or(self.purge_mode),
            unused_days: other.unused_days.or(self.unused_days),
            digest: other.digest.or(self.digest),
            quiet_hours: other.quiet_hours.or(self.quiet_hours),
            reminder_channels: other
                .reminder_channels
                .clone()
                .or_else(|| self.reminder_channels.clone()),
            risk_analysis_ref: other
                .risk_analysis_ref
                .clone()
                .or_else(|| self.risk_analysis_ref.clone()),
        }
    }
}

/// The quiet hours that are set, if it is quiet above then too; else those above. None at all are the
/// strictest.
fn less_quiet(set: Option<QuietHours>, above: Option<QuietHours>) -> Option<QuietHours> {
    match (set, above) {
        (None, _) | (_, None) => None,
        (Some(set), Some(above)) if set.is_within(above) => Some(set),
        (Some(_), Some(above)) => Some(above),
    }
}

/// Of two limits the shorter; no limit is the longest.
fn shorter(set: Option<u16>, above: Option<u16>) -> Option<u16> {
    set.into_iter().chain(above).min()
}

/// What one tenant or environment sets: fields for keys of every kind, and for one kind alone,
/// which win. `{"window_days": 3, "application": {"max_ttl_days": 180}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PolicyLayer {
    /// For keys of every kind.
    #[serde(flatten)]
    pub all: PolicyChange,
    /// For people's keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<PolicyChange>,
    /// For servers' and functions' keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<PolicyChange>,
    /// For administrators' tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<PolicyChange>,
    /// The fields that a level below may also make less strict.
    #[serde(skip_serializing_if = "Delegated::is_empty")]
    pub delegated: Delegated,
}

impl PolicyLayer {
    /// Reads the JSON of a row.
    ///
    /// # Errors
    /// What is wrong with it, such as a field that nobody knows.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        // By hand, because serde cannot refuse unknown fields beside a flattened struct.
        let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json)?;
        let mut part = |kind: KeyKind| {
            object.remove(kind.as_str()).map(serde_json::from_value::<PolicyChange>).transpose()
        };
        let user = part(KeyKind::User)?;
        let application = part(KeyKind::Application)?;
        let service = part(KeyKind::Service)?;
        let delegated = object.remove("delegated").map(serde_json::from_value).transpose()?;
        let delegated = delegated.unwrap_or_default();
        let all = serde_json::from_value(object.into())?;
        Ok(Self { all, user, application, service, delegated })
    }

    /// The fields set for keys of `kind` alone.
    pub fn of(&self, kind: KeyKind) -> Option<&PolicyChange> {
        match kind {
            KeyKind::User => self.user.as_ref(),
            KeyKind::Application => self.application.as_ref(),
            KeyKind::Service => self.service.as_ref(),
        }
    }

    /// `parents` with this layer laid over them.
    ///
    /// # Errors
    /// What makes no sense, with the kind of key it makes no sense for.
    pub fn over(
        &self,
        parents: &Policies,
        free: &Delegated,
    ) -> Result<Policies, (KeyKind, PolicyError)> {
        let lay = |kind| {
            let change = self.of(kind).map(|change| self.all.with(change));
            change.as_ref().unwrap_or(&self.all).over(parents.of(kind), kind, free)
        };
        let checked = |kind| lay(kind).map_err(|error| (kind, error));
        Ok(Policies {
            user: checked(KeyKind::User)?,
            application: checked(KeyKind::Application)?,
            service: checked(KeyKind::Service)?,
        })
    }
}
