//! What the mail says that tells of the brake, as plain data.

use chrono::{DateTime, Utc};

use crate::domain::brake::Destruction;

/// A brake that is on, as it is told to those who run the installation, or to a tenant's contacts
/// where nobody is named who does.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// What is held back.
    pub what: Destruction,
    /// How many keys: of the tenant, if its contacts read it.
    pub n: u64,
    /// Why; `None` for a tenant's contacts, since it is told in figures of the installation.
    pub reason: Option<String>,
    /// What releases the plan that is held back.
    pub hash: String,
    /// Since when the brake is on.
    pub since: DateTime<Utc>,
    /// Whose contacts read it; `None` if it is those who run the installation.
    pub tenant: Option<String>,
}
