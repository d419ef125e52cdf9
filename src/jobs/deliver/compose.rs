//! From a claimed message to a mail: what it says is looked up now, so that a key that changed
//! meanwhile is left out, and words and bytes are made.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use tracing::warn;

use crate::{
    domain::{digest::Digest as Digest256, language::Language, stage::Stage, wish::is_early},
    jobs::{
        Context, Deps,
        deliver::{
            Mailer,
            alarm::{self, Worded},
            reset,
        },
    },
    mail::{
        address::EmailAddress,
        build::build,
        digest::{self, Digest, Item, Why},
        render::Letter,
        transport::Outgoing,
        words::Words,
    },
    random,
    store::{
        MessageStatus, NoticeStatus, StoreError, Tx,
        letters::{self, Addressee, NoticeText},
        links::{self, NewLink},
        messages::{ClaimedMessage, Mark},
        outbox::{self, Audience},
        policies::{Governed, PolicyBook},
    },
};

/// What became of claimed messages before anything was sent.
#[derive(Debug, Default)]
pub(super) struct Composed {
    /// Ready to leave.
    pub(super) mails: Vec<(ClaimedMessage, Outgoing)>,
    /// Not to be sent at all: all its notices are void, or it cannot be made into a mail.
    pub(super) marks: Vec<Mark>,
}

impl Composed {
    /// Adds a mail that is about no key.
    fn add_worded(&mut self, message: ClaimedMessage, worded: Result<Outgoing, String>) {
        match worded {
            Ok(mail) => self.mails.push((message, mail)),
            Err(reason) => {
                let (status, notices) = (MessageStatus::Parked, NoticeStatus::Queued);
                self.marks.push(Mark::over(&message, status, reason, notices));
            }
        }
    }

    fn add_alarm(&mut self, message: ClaimedMessage, worded: Worded) {
        let (status, reason, notices) = match worded {
            Worded::Mail(mail) => return self.mails.push((message, mail)),
            Worded::Void => {
                let reason = "the brake was off before it was sent".to_owned();
                (MessageStatus::Void, reason, NoticeStatus::Void)
            }
            Worded::Broken(reason) => (MessageStatus::Parked, reason, NoticeStatus::Queued),
        };
        self.marks.push(Mark::over(&message, status, reason, notices));
    }
}

/// Looks up and words `messages`, in the transaction that claimed them.
pub(super) async fn compose(
    ctx: &Context,
    tx: &Tx,
    book: &PolicyBook,
    messages: Vec<ClaimedMessage>,
    now: DateTime<Utc>,
) -> Result<Composed, StoreError> {
    let is_copy = |message: &&ClaimedMessage| message.audience == Audience::Copy;
    let copies: Vec<i64> = messages.iter().filter(is_copy).map(|message| message.id).collect();
    let ids: Vec<i64> =
        messages.iter().filter(|message| !is_copy(message)).map(|message| message.id).collect();
    let owner_ids: Vec<i64> = messages.iter().map(|message| message.owner_id).collect();
    let owners = letters::addressees(&**tx, &owner_ids).await?;
    let owners: HashMap<i64, Addressee> =
        owners.into_iter().map(|owner| (owner.owner_id, owner)).collect();
    let (texts, void): (Vec<_>, Vec<_>) =
        letters::texts(&**tx, &ids, now).await?.into_iter().partition(|text| text.is_true);
    let void: Vec<i64> = void.iter().map(|text| text.id).collect();
    outbox::void(&**tx, &void).await?;
    let mut by_message: HashMap<i64, Vec<NoticeText>> = HashMap::new();
    // Whether a copied notice is void, the message says of which it is a copy.
    let copied =
        letters::copied(&**tx, &copies, now).await?.into_iter().filter(|text| text.is_true);
    for text in texts.into_iter().chain(copied) {
        by_message.entry(text.message_id).or_default().push(text);
    }
    let links = links(ctx, tx, &messages, now).await?;
    let silent = |message: &&ClaimedMessage| {
        let is_of_owner = matches!(message.audience, Audience::Owner | Audience::Contacts);
        is_of_owner && !by_message.contains_key(&message.id)
    };
    let silent: Vec<i64> = messages.iter().filter(silent).map(|message| message.id).collect();
    let of_no_key: HashMap<i64, String> =
        letters::of_no_key(&**tx, &silent).await?.into_iter().collect();
    let mut composed = Composed::default();
    for mut message in messages {
        if let Audience::Operators(what) = message.audience {
            let worded = alarm::word(&ctx.deps, tx, &message, what, now).await?;
            composed.add_alarm(message, worded);
            continue;
        }
        let owner = owners.get(&message.owner_id);
        if let Some(tenant) = of_no_key.get(&message.id) {
            let worded = reset::word(&ctx.deps.mailer, &message, owner, tenant, now);
            composed.add_worded(message, worded);
            continue;
        }
        let Some(texts) = by_message.remove(&message.id) else {
            let (status, notices) = (MessageStatus::Void, NoticeStatus::Void);
            let reply = "all its keys changed before it was sent".to_owned();
            composed.marks.push(Mark::over(&message, status, reply, notices));
            continue;
        };
        message.due = texts.iter().filter_map(|text| text.due_at).collect();
        let link = links.get(&message.id).map(String::as_str);
        let worded = word(&ctx.deps.mailer, book, &message, (owner, link), texts, now);
        composed.add_worded(message, worded);
    }
    Ok(composed)
}

/// The links of mails to owners, by message. Nobody else gets one: it opens an owner's keys.
async fn links(
    ctx: &Context,
    tx: &Tx,
    messages: &[ClaimedMessage],
    now: DateTime<Utc>,
) -> Result<HashMap<i64, String>, StoreError> {
    let Some(made_of) = &ctx.deps.mailer.links else { return Ok(HashMap::new()) };
    let to_owners = messages.iter().filter(|message| message.audience == Audience::Owner);
    let new: Result<Vec<_>, random::NoRandomness> = to_owners
        .map(|message| {
            let (message_id, owner_id) = (message.id, message.owner_id);
            Ok(NewLink { message_id, owner_id, salt: Digest256(random::bytes()?) })
        })
        .collect();
    let new = match new {
        Ok(new) => new,
        // A mail without a link is better than none.
        Err(error) => {
            warn!("Mails have no links: {error}");
            return Ok(HashMap::new());
        }
    };
    let tokens = links::make(&**tx, &made_of.key, &new, now).await?;
    Ok(tokens.iter().map(|(id, token)| (*id, made_of.url(token))).collect())
}

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

/// Makes one mail. The error says why it cannot be made; trying again would not help.
fn word(
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
    Ok(Outgoing {
        id: message.id,
        from: built.from,
        to: built.to,
        bytes: built.bytes,
        not_after: None,
    })
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
