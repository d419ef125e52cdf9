//! The mail that says that the brake is on: to whom it goes, and what it says when it leaves.
//!
//! It is written in the transaction that puts the brake on, so it is sent once, whoever restarts.
//! What it says is looked up just before it is sent: a plan that has changed meanwhile has another
//! hash, and the old one would release nothing.

use chrono::{DateTime, Utc};
use tracing::warn;

use crate::{
    domain::{
        brake::{Destruction, Toll},
        language::Language,
    },
    jobs::{
        Deps,
        braking::PUT_OFF,
        deliver::{Mailer, gather::header_id},
    },
    mail::{
        address::EmailAddress,
        alarm::Alarm,
        build::build,
        digest::{Audience as Reader, Digest},
        transport::Outgoing,
    },
    store::{
        StoreError, Tx, brake,
        messages::ClaimedMessage,
        outbox::{Audience, NewMessage},
    },
};

/// Whom to tell that the brake holds `toll` back: whoever runs the installation, or where nobody
/// is named, the contacts of each tenant, apart from those of the others.
///
/// # Errors
/// As the database answers.
pub(in crate::jobs) async fn messages(
    deps: &Deps,
    what: Destruction,
    toll: &Toll,
    now: DateTime<Utc>,
) -> Result<Vec<NewMessage>, StoreError> {
    let mailer = &deps.mailer;
    let mut messages = Vec::new();
    if mailer.contacts.is_empty() {
        let tenants = toll.by_tenant().into_keys();
        for (tenant_id, contacts) in brake::contacts(deps.db.conn(), tenants).await? {
            messages.extend(message(mailer, what, tenant_id, &contacts, now));
        }
    } else {
        messages.extend(message(mailer, what, OPERATORS, &mailer.contacts, now));
    }
    if messages.is_empty() {
        warn!(
            "Nobody is told of the brake: neither mail.contacts nor the tenants' contacts name anybody"
        );
    }
    Ok(messages)
}

/// Stands for the tenant of a message to whoever runs the installation: no tenant has this number.
const OPERATORS: i64 = 0;

fn message(
    mailer: &Mailer,
    what: Destruction,
    tenant_id: i64,
    contacts: &[String],
    now: DateTime<Utc>,
) -> Option<NewMessage> {
    let is_usable = |address: &&String| address.parse::<EmailAddress>().is_ok();
    let recipients: Vec<_> = contacts.iter().filter(is_usable).cloned().collect();
    (!recipients.is_empty()).then(|| NewMessage {
        header_id: header_id(&mailer.sender.domain, now),
        tenant_id,
        // It is about no owner's keys: no owner has this number.
        owner_id: 0,
        audience: Audience::Operators(what),
        recipients,
        notices: Vec::new(),
        at: now,
        copy_of: None,
    })
}

/// What becomes of such a message when its turn has come.
pub(super) enum Worded {
    /// It leaves.
    Mail(Outgoing),
    /// Nothing is held back any more.
    Void,
    /// It cannot be made into a mail, for this reason.
    Broken(String),
}

/// Words one message about the brake on `what`.
pub(super) async fn word(
    deps: &Deps,
    tx: &Tx,
    message: &ClaimedMessage,
    what: Destruction,
    now: DateTime<Utc>,
) -> Result<Worded, StoreError> {
    let of_tenant = Some(message.tenant_id).filter(|id| *id != OPERATORS);
    let period = (now, now + PUT_OFF);
    let Some((n, on)) = brake::held_back(&**tx, what, of_tenant, period).await? else {
        return Ok(Worded::Void);
    };
    let tenant = match of_tenant {
        None => None,
        Some(id) => Some(brake::tenant_name(&**tx, id).await?.unwrap_or_default()),
    };
    let alarm = Alarm {
        what,
        n,
        // Figures of the whole installation are nothing for a tenant's contacts.
        reason: tenant.is_none().then_some(on.reason),
        hash: on.hash,
        since: on.since,
        tenant,
    };
    Ok(match mail(&deps.mailer, message, &alarm, now) {
        Ok(mail) => Worded::Mail(mail),
        Err(reason) => Worded::Broken(reason),
    })
}

fn mail(
    mailer: &Mailer,
    message: &ClaimedMessage,
    alarm: &Alarm,
    now: DateTime<Utc>,
) -> Result<Outgoing, String> {
    let letter = mailer.templates.render_alarm(alarm, now).map_err(|error| error.to_string())?;
    let digest = Digest {
        message_id: message.header_id.clone(),
        to: message.recipients.iter().filter_map(|address| address.parse().ok()).collect(),
        to_name: None,
        audience: Reader::Operators,
        time_zone: chrono_tz::Tz::UTC,
        language: Language::English,
        wish_link: None,
        items: Vec::new(),
    };
    let built = build(&letter, &digest, &mailer.sender, now).map_err(|error| error.to_string())?;
    Ok(Outgoing::new(message.id, built))
}
