//! The mail that tells an owner who has never had a key that their second factor was reset.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::{
    jobs::deliver::{
        Mailer,
        compose::{language, why_instead},
    },
    mail::{
        build::build,
        digest::{Audience as Reader, Digest},
        transport::Outgoing,
    },
    store::{letters::Addressee, messages::ClaimedMessage, outbox::Audience},
};

/// Words the mail. The error says why it cannot be made; trying again would not help.
pub(super) fn word(
    mailer: &Mailer,
    message: &ClaimedMessage,
    owner: Option<&Addressee>,
    tenant: &str,
    now: DateTime<Utc>,
) -> Result<Outgoing, String> {
    let digest = Digest {
        message_id: message.header_id.clone(),
        to: message.recipients.iter().filter_map(|address| address.parse().ok()).collect(),
        to_name: owner.map(|owner| owner.name.clone()).filter(|name| !name.trim().is_empty()),
        audience: match message.audience {
            Audience::Owner => Reader::Owner,
            _ => why_instead(owner),
        },
        time_zone: owner.and_then(|owner| owner.time_zone.parse().ok()).unwrap_or(Tz::UTC),
        language: language(owner),
        wish_link: None,
        items: Vec::new(),
    };
    let letter = mailer.templates.render_reset(&digest, tenant).map_err(|e| e.to_string())?;
    let built = build(&letter, &digest, &mailer.sender, now).map_err(|error| error.to_string())?;
    Ok(Outgoing {
        id: message.id,
        from: built.from,
        to: built.to,
        bytes: built.bytes,
        not_after: None,
    })
}
