//! The mail that tells an owner who has never had a key that their second factor was reset.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::{
    jobs::{
        Deps,
        deliver::{
            Mailer,
            word::{language, why_instead},
        },
    },
    mail::{
        build::build,
        digest::{Audience as Reader, Digest},
        render::Letter,
        transport::Outgoing,
    },
    store::{
        letters::{self, Addressee},
        messages::ClaimedMessage,
        outbox::Audience,
    },
};

/// Words the mail. The error says why it cannot be made; trying again would not help.
pub(super) fn word(
    mailer: &Mailer,
    message: &ClaimedMessage,
    owner: Option<&Addressee>,
    tenant: &str,
    now: DateTime<Utc>,
) -> Result<Outgoing, String> {
    let reader = match message.audience {
        Audience::Owner => Reader::Owner,
        _ => why_instead(owner),
    };
    let digest = digest(&message.header_id, &message.recipients, owner, reader);
    let letter = mailer.templates.render_reset(&digest, tenant).map_err(|e| e.to_string())?;
    let built = build(&letter, &digest, &mailer.sender, now).map_err(|error| error.to_string())?;
    Ok(Outgoing::new(message.id, built))
}

/// What the mail with this notice says, to be looked at. `None` if it is about a key, or there is no
/// such notice.
pub(super) async fn preview(deps: &Deps, notice: i64) -> anyhow::Result<Option<Letter>> {
    let conn = deps.db.conn();
    let Some((owner_id, tenant)) = letters::reset_of(conn, notice).await? else { return Ok(None) };
    let owner = letters::addressees(conn, &[owner_id]).await?.pop();
    let is_refused = owner.as_ref().is_some_and(|owner| owner.refusal.is_some());
    let reader = if is_refused { why_instead(owner.as_ref()) } else { Reader::Owner };
    let to: Vec<String> = owner.iter().map(|owner| owner.email.clone()).collect();
    let digest = digest("preview", &to, owner.as_ref(), reader);
    Ok(Some(deps.mailer.templates.render_reset(&digest, &tenant)?))
}

/// Who reads it, and whose second factor it was. There is no key in it.
fn digest(id: &str, to: &[String], owner: Option<&Addressee>, audience: Reader) -> Digest {
    Digest {
        message_id: id.to_owned(),
        to: to.iter().filter_map(|address| address.parse().ok()).collect(),
        to_name: owner.map(|owner| owner.name.clone()).filter(|name| !name.trim().is_empty()),
        audience,
        time_zone: owner.and_then(|owner| owner.time_zone.parse().ok()).unwrap_or(Tz::UTC),
        language: language(owner),
        wish_link: None,
        items: Vec::new(),
    }
}
