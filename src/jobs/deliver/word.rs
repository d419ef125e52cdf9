//! From what a message is about to a mail: words, and bytes.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::{
    domain::{language::Language, stage::Stage, wish::is_early},
    jobs::{
        Deps,
        deliver::{Mailer, compose::About, reset},
    },
    mail::{
        address::EmailAddress,
        build::build,
        digest::{self, Digest, Item, Why},
        render::Letter,
        transport::Outgoing,
        words::Words,
    },
    store::{
        letters::{self, Addressee, NoticeText},
        messages::ClaimedMessage,
        outbox::Audience,
        policies::{Governed, PolicyBook},
    },
};

/// What a mail with this notice says, to be looked at: without the link, which opens its owner's
/// keys. `None` if there is no such notice, or its key has left no trace.
///
/// # Errors
/// If the database fails, or the templates do.
pub async fn preview(
    deps: &Deps,
    book: &PolicyBook,
    notice: i64,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<Letter>> {
    let conn = deps.db.conn();
    let Some((owner_id, texts)) = letters::of_notice(conn, notice, now).await? else {
        return reset::preview(deps, notice).await;
    };
    let owner = letters::addressees(conn, &[owner_id]).await?.pop();
    let Some(owner) = owner else { return Ok(None) };
    let is_refused = owner.refusal.is_some();
    let digest = Digest {
        message_id: "preview".to_owned(),
        to: owner.email.parse().into_iter().collect(),
        to_name: Some(owner.name.clone()).filter(|name| !name.trim().is_empty()),
        audience: match is_refused {
            false => digest::Audience::Owner,
            true => contacts(Some(&owner), why(Some(&owner), &texts)),
        },
        time_zone: owner.time_zone.parse().unwrap_or(Tz::UTC),
        language: language(Some(&owner)),
        wish_link: None,
        items: texts.into_iter().map(|text| item(book, text, None)).collect(),
    };
    Ok(Some(deps.mailer.templates.render(&digest, now)?))
}

/// Makes the mail. The error says why it cannot be made; trying again would not help.
pub(super) fn word(
    mailer: &Mailer,
    book: &PolicyBook,
    message: &ClaimedMessage,
    about: About,
    now: DateTime<Utc>,
) -> Result<Outgoing, String> {
    match about {
        About::Keys { owner, link, texts } => {
            let to = (owner.as_ref(), link.as_deref());
            about_keys(mailer, book, message, to, texts, now)
        }
        About::NoKey { owner, tenant } => {
            reset::word(mailer, message, owner.as_ref(), &tenant, now)
        }
        About::Brake(mail) => Ok(mail),
    }
}

fn about_keys(
    mailer: &Mailer,
    book: &PolicyBook,
    message: &ClaimedMessage,
    (owner, link): (Option<&Addressee>, Option<&str>),
    texts: Vec<NoticeText>,
    now: DateTime<Utc>,
) -> Result<Outgoing, String> {
    let to: Vec<EmailAddress> =
        message.recipients.iter().filter_map(|address| address.parse().ok()).collect();
    let digest = Digest {
        message_id: message.header_id.clone(),
        to,
        to_name: owner.map(|owner| owner.name.clone()).filter(|name| !name.trim().is_empty()),
        audience: audience(message, owner, &texts),
        time_zone: owner.and_then(|owner| owner.time_zone.parse().ok()).unwrap_or(Tz::UTC),
        language: language(owner),
        wish_link: owner
            .zip(mailer.links.as_ref())
            .map(|(owner, links)| links.wish_url(&owner.public_id, &owner.email)),
        items: texts.into_iter().map(|text| item(book, text, link)).collect(),
    };
    let letter = mailer.templates.render(&digest, now).map_err(|error| error.to_string())?;
    let built = build(&letter, &digest, &mailer.sender, now).map_err(|error| error.to_string())?;
    Ok(Outgoing::new(message.id, built))
}

/// The owner's language. Contacts who are told instead get it too: the mail is to be passed on.
pub(super) fn language(owner: Option<&Addressee>) -> Language {
    owner.and_then(|owner| Language::of_tag(&owner.locale)).unwrap_or_default()
}

fn audience(
    message: &ClaimedMessage,
    owner: Option<&Addressee>,
    texts: &[NoticeText],
) -> digest::Audience {
    match message.audience {
        Audience::Owner => digest::Audience::Owner,
        Audience::Contacts => contacts(owner, why(owner, texts)),
        Audience::Copy => contacts(owner, Why::Copy),
        Audience::Operators(_) => digest::Audience::Operators,
    }
}

/// Why contacts are told what is about no key.
pub(super) fn why_instead(owner: Option<&Addressee>) -> digest::Audience {
    contacts(owner, why(owner, &[]))
}

/// Why contacts get these notices, of which none is a copy.
fn why(owner: Option<&Addressee>, texts: &[NoticeText]) -> Why {
    let is_beside = |text: &NoticeText| text.stage == Stage::SuspendedContacts;
    if !texts.is_empty() && texts.iter().all(is_beside) {
        return Why::Beside;
    }
    match owner {
        Some(Addressee { refusal: Some(refusal), .. }) => Why::Unreachable(refusal.clone()),
        Some(owner) if owner.email.parse::<EmailAddress>().is_ok() => Why::Instead,
        _ => Why::Unreachable(Words::of(language(owner)).not_an_address.to_owned()),
    }
}

fn contacts(owner: Option<&Addressee>, why: Why) -> digest::Audience {
    digest::Audience::Contacts {
        owner_name: owner.map(|owner| owner.name.clone()).unwrap_or_default(),
        owner_mail_masked: owner.map(|owner| mask(&owner.email)).unwrap_or_default(),
        why,
    }
}

/// An address as it may be shown, even one that is none.
fn mask(email: &str) -> String {
    email.parse::<EmailAddress>().map_or_else(|_| "***".to_owned(), |address| address.to_string())
}

fn item(book: &PolicyBook, text: NoticeText, link: Option<&str>) -> Item {
    let policy = book.of_key(&Governed {
        id: text.key_id.unwrap_or(0),
        tenant_id: text.tenant_id,
        environment_id: text.environment_id.unwrap_or(0),
        kind: text.kind,
        own: text.own_policy.as_deref(),
    });
    // Before the expiry, the end of the window is what the policy of now promises.
    let window_ends_at = text.window_ends_at.or_else(|| {
        let window = policy.window();
        text.expires_at.filter(|_| !window.is_zero()).map(|expires_at| expires_at + window)
    });
    let has_way_back = !text.ends_with_access && text.stage != Stage::Purged;
    Item {
        public_id: text.public_id,
        name: text.name,
        tenant: text.tenant,
        environment: text.environment,
        kind: text.kind,
        stage: text.stage,
        is_early: is_early(text.stage, &policy),
        created_at: text.created_at,
        expires_at: text.expires_at,
        window_ends_at: window_ends_at.filter(|_| has_way_back),
        ends_with_access: text.ends_with_access,
        is_suspended: text.is_suspended,
        suspends_at: text.about.filter(|_| text.stage == Stage::Unused),
        last_used_at: text.last_used_at,
        // Of a purged key there is nothing left to open.
        link: link.filter(|_| text.stage != Stage::Purged).map(str::to_owned),
    }
}
