//! The fields of a policy, as people write them.

use crate::domain::{name::Label, quiet::QuietHours};

/// What an owner or a program may show, beside an administrator, to bring an expired key back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowProof {
    /// The link in a mail.
    MailLink,
    /// A code of the owner's second factor, given where the link leads or to an administrator.
    Otp,
    /// The expired secret, which says which key it is, and a code of the owner's second factor.
    SecretAndOtp,
}

impl WindowProof {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MailLink, Self::Otp, Self::SecretAndOtp];

    /// The word in a policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MailLink => "mail_link",
            Self::Otp => "otp",
            Self::SecretAndOtp => "secret_and_otp",
        }
    }

    /// The proof that this word names.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|proof| proof.as_str() == word)
    }
}

/// Who lets a key go whose time has come. The later is the stricter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PurgeMode {
    /// The daemon.
    #[default]
    Auto,
    /// An administrator, key by key; the daemon waits for that.
    Manual,
}

impl PurgeMode {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Auto, Self::Manual];

    /// The word in a policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
        }
    }

    /// The mode that this word names.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == word)
    }
}

/// To whom reminders go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// The owner of the key.
    Owner,
    /// The contacts of its environment, or of its tenant where that has none.
    Contacts,
}

impl Channel {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Owner, Self::Contacts];

    /// The word in a policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Contacts => "contacts",
        }
    }

    /// The channel that this word names.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.as_str() == word)
    }
}

/// What a policy can ask a second factor for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Making a key: an administrator's.
    Create,
    /// Rotating a key before it expires: its owner's.
    Rotate,
    /// Bringing an expired key back: its owner's.
    WindowRotate,
    /// Ending a key for good: an administrator's, or its owner's by their link.
    Revoke,
    /// Changing a policy: an administrator's.
    Policy,
}

impl Deed {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 5] =
        [Self::Create, Self::Rotate, Self::WindowRotate, Self::Revoke, Self::Policy];

    /// The word in a policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Rotate => "rotate",
            Self::WindowRotate => "window_rotate",
            Self::Revoke => "revoke",
            Self::Policy => "policy",
        }
    }

    /// The deed that this word names.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deed| deed.as_str() == word)
    }
}

/// The fields of a [`Policy`](super::Policy) as people write them, in any order, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFields {
    /// Days before the expiry at which the owner is reminded.
    pub reminder_days: Vec<u16>,
    /// Days after the expiry in which the owner can still rotate. 0: none at all.
    pub window_days: u16,
    /// Days before the window's end at which the owner is told once more. 0: not at all.
    pub closing_days: u16,
    /// How long a key lives if nobody says otherwise. `None`: it never expires.
    pub default_ttl_days: Option<u16>,
    /// How long a key may live at most. `None`: it may be set never to expire.
    pub max_ttl_days: Option<u16>,
    /// How often a key that never expires has to be looked at. `None`: never.
    pub review_days: Option<u16>,
    /// Hours between the end of a key by revocation or an ended access, and its purge.
    pub undo_hours: u16,
    /// What needs an OTP of whoever does it.
    pub mfa_required_for: Vec<Deed>,
    /// Whether what ends or weakens needs a second administrator.
    pub two_person: bool,
    /// Whether a program may rotate the key that it presents.
    pub self_rotate: bool,
    /// What brings an expired key back. None of them: administrators alone do.
    pub window_proof: Vec<WindowProof>,
    /// How long a key lives at least, if its length is asked for. `None`: as short as anybody likes.
    pub min_ttl_days: Option<u16>,
    /// How long the old secret goes on beside a new one if nobody says otherwise. 0: it is dead at
    /// once.
    pub default_overlap_hours: u16,
    /// How long it may go on at most.
    pub max_overlap_hours: u16,
    /// How many keys of the kind, not revoked, an owner may have. `None`: any number.
    pub max_keys_per_owner: Option<u16>,
    /// Days for which the record of a purged key is kept.
    pub tombstone_days: u16,
    /// Whether a purge waits for an administrator.
    pub purge_mode: PurgeMode,
    /// For how many days a key may be out of use before it is suspended. `None`: for ever.
    pub unused_days: Option<u16>,
    /// Whether all that is to be told to an owner goes into one mail, and not each key's into its own.
    pub digest: bool,
    /// When nobody is told what can wait. `None`: never.
    pub quiet_hours: Option<QuietHours>,
    /// To whom reminders go. At least one.
    pub reminder_channels: Vec<Channel>,
    /// Where it is written why the rules are as they are, such as the number of a risk analysis.
    pub risk_analysis_ref: Option<Label>,
}

/// The longest overlap there is, in hours: seven days.
pub const MAX_OVERLAP_HOURS: u16 = 168;

impl Default for PolicyFields {
    fn default() -> Self {
        Self {
            reminder_days: vec![30, 7, 1],
            window_days: 7,
            closing_days: 1,
            default_ttl_days: Some(90),
            max_ttl_days: Some(365),
            review_days: None,
            undo_hours: 72,
            mfa_required_for: Vec::new(),
            two_person: false,
            self_rotate: false,
            window_proof: WindowProof::ALL.to_vec(),
            min_ttl_days: None,
            default_overlap_hours: 24,
            max_overlap_hours: MAX_OVERLAP_HOURS,
            max_keys_per_owner: None,
            tombstone_days: 400,
            purge_mode: PurgeMode::Auto,
            unused_days: None,
            digest: true,
            quiet_hours: None,
            reminder_channels: vec![Channel::Owner],
            risk_analysis_ref: None,
        }
    }
}
