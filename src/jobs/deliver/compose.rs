//! What claimed messages are about is looked up now, so that a key that changed meanwhile is left
//! out. Nothing is worded here but alarms: that can wait until the rows are let go of.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tracing::warn;

use crate::{
    domain::digest::Digest as Digest256,
    jobs::{
        Context,
        deliver::alarm::{self, Worded},
    },
    mail::transport::Outgoing,
    random,
    store::{
        MessageStatus, NoticeStatus, StoreError, Tx,
        letters::{self, Addressee, NoticeText},
        links::{self, NewLink},
        messages::{ClaimedMessage, Mark},
        outbox::{self, Audience},
    },
};

/// A message that is to leave, and all that its words depend on.
#[derive(Debug)]
pub(super) struct Draft {
    /// The message.
    pub(super) message: ClaimedMessage,
    /// What it is about.
    pub(super) about: About,
}

/// What a message is about.
#[derive(Debug)]
pub(super) enum About {
    /// Keys of an owner.
    Keys {
        /// The owner, if they are still there.
        owner: Option<Addressee>,
        /// Where they find their keys.
        link: Option<String>,
        /// What is to be said.
        texts: Vec<NoticeText>,
    },
    /// An owner, and no key.
    NoKey {
        /// The owner, if they are still there.
        owner: Option<Addressee>,
        /// The name of their tenant.
        tenant: String,
    },
    /// The brake; it is worded already.
    Brake(Outgoing),
}

/// What became of claimed messages when they were looked up.
#[derive(Debug, Default)]
pub(super) struct LookedUp {
    /// To be worded, and to leave.
    pub(super) drafts: Vec<Draft>,
    /// Not to be sent at all: all its notices are void, or it cannot be made into a mail.
    pub(super) marks: Vec<Mark>,
}

impl LookedUp {
    fn add(&mut self, message: ClaimedMessage, about: About) {
        self.drafts.push(Draft { message, about });
    }

    fn add_alarm(&mut self, message: ClaimedMessage, worded: Worded) {
        let (status, reason, notices) = match worded {
            Worded::Mail(mail) => return self.add(message, About::Brake(mail)),
            Worded::Void => {
                let reason = "the brake was off before it was sent".to_owned();
                (MessageStatus::Void, reason, NoticeStatus::Void)
            }
            Worded::Broken(reason) => (MessageStatus::Parked, reason, NoticeStatus::Queued),
        };
        self.marks.push(Mark::over(&message, status, reason, notices));
    }
}

/// Looks up what `messages` are about, in the transaction that claimed them.
pub(super) async fn look_up(
    ctx: &Context,
    tx: &Tx,
    messages: Vec<ClaimedMessage>,
    now: DateTime<Utc>,
) -> Result<LookedUp, StoreError> {
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
    let mut links = links(ctx, tx, &messages, now).await?;
    let silent = |message: &&ClaimedMessage| {
        let is_of_owner = matches!(message.audience, Audience::Owner | Audience::Contacts);
        is_of_owner && !by_message.contains_key(&message.id)
    };
    let silent: Vec<i64> = messages.iter().filter(silent).map(|message| message.id).collect();
    let mut of_no_key: HashMap<i64, String> =
        letters::of_no_key(&**tx, &silent).await?.into_iter().collect();
    let mut looked_up = LookedUp::default();
    for mut message in messages {
        if let Audience::Operators(what) = message.audience {
            let worded = alarm::word(&ctx.deps, tx, &message, what, now).await?;
            looked_up.add_alarm(message, worded);
            continue;
        }
        let owner = owners.get(&message.owner_id).cloned();
        if let Some(tenant) = of_no_key.remove(&message.id) {
            looked_up.add(message, About::NoKey { owner, tenant });
            continue;
        }
        let Some(texts) = by_message.remove(&message.id) else {
            let (status, notices) = (MessageStatus::Void, NoticeStatus::Void);
            let reply = "all its keys changed before it was sent".to_owned();
            looked_up.marks.push(Mark::over(&message, status, reply, notices));
            continue;
        };
        message.due = texts.iter().filter_map(|text| text.due_at).collect();
        let link = links.remove(&message.id);
        looked_up.add(message, About::Keys { owner, link, texts });
    }
    Ok(looked_up)
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
