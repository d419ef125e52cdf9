//! From notices to messages: one mail per owner, unless policies say otherwise ([`ways`](super::ways)), to the
//! owner or, where that fails, to those who are told instead.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::{
    jobs::{
        Context,
        deliver::{
            Mailer,
            feed::Progress,
            ways::{Meant, Way, together},
        },
        patience::Patience,
    },
    mail::address::EmailAddress,
    store::{
        StoreError, Tx,
        outbox::{self, Audience, NewMessage, PendingNotice, Recipient, Subject},
        policies::PolicyBook,
    },
};

/// Gathers all pending notices, and says so after each batch of them.
pub(super) async fn run(ctx: &Context, progress: Progress) -> Result<(), StoreError> {
    let (mut patience, mut rules) = (Patience::default(), None);
    while !ctx.cancel.is_cancelled() {
        match gather_batch(ctx, &mut rules).await {
            Ok(true) => return Ok(()),
            Ok(false) => {
                patience.done();
                progress.made();
            }
            Err(error) => patience.begin_anew(error, &ctx.cancel).await?,
        }
    }
    Ok(())
}

/// Gathers one batch in one transaction. Returns whether it was the last. `rules` are read once
/// there is something to gather.
async fn gather_batch(ctx: &Context, rules: &mut Option<PolicyBook>) -> Result<bool, StoreError> {
    let (db, limit) = (&ctx.deps.db, ctx.deps.limits.batch);
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let mut pending = outbox::claim_pending(&*tx, limit).await?;
    let is_last = pending.len() < limit;
    if !is_last {
        leave_last_owner(&mut pending);
    }
    if pending.is_empty() {
        return Ok(true);
    }
    let book = match rules.take() {
        Some(book) => book,
        None => PolicyBook::load(db, (*ctx.deps.policies).clone()).await?,
    };
    let book = rules.insert(book);
    take_back_what_waits(&tx, book, &mut pending, (now, limit)).await?;
    let subjects = subjects(&tx, book, &pending).await?;
    let owner_ids: Vec<i64> = pending_owners(&pending);
    let recipients = outbox::recipients(&*tx, &owner_ids).await?;
    let recipients: HashMap<i64, Recipient> =
        recipients.into_iter().map(|recipient| (recipient.owner_id, recipient)).collect();
    let mailer = &ctx.deps.mailer;
    let (mut messages, mut untellable) = (Vec::new(), Vec::new());
    for notices in pending.chunk_by(|a, b| a.owner_id == b.owner_id) {
        let Some(recipient) = notices.first().and_then(|first| recipients.get(&first.owner_id))
        else {
            let reason = "its owner is not in the database".to_owned();
            untellable.extend(notices.iter().map(|notice| (notice.id, reason.clone())));
            continue;
        };
        let way = |notice: &PendingNotice| match subjects.get(&notice.id) {
            Some(subject) => {
                let rules = (&*book, mailer.contacts.as_slice());
                Way::by_rules(notice, subject, recipient, rules, now)
            }
            None => Way::usual(notice, now),
        };
        for (way, ids) in together(notices.iter().map(|notice| (notice.id, way(notice)))) {
            match address(mailer, recipient, (&ids, &way), now) {
                Ok(of_notices) => messages.extend(of_notices),
                Err(reason) => untellable.extend(ids.iter().map(|id| (*id, reason.clone()))),
            }
        }
    }
    outbox::form(&*tx, &messages, now).await?;
    outbox::give_up(&*tx, &untellable).await?;
    tx.commit().await?;
    Ok(is_last)
}

/// Adds what the same owners are to be told in the morning: with what has come since, it is one mail.
async fn take_back_what_waits(
    tx: &Tx,
    book: &PolicyBook,
    pending: &mut Vec<PendingNotice>,
    (now, limit): (DateTime<Utc>, usize),
) -> Result<(), StoreError> {
    // Without rules about mails nothing waits.
    if book.has_mail_rules() {
        let owner_ids = pending_owners(pending);
        pending.extend(outbox::take_back(&**tx, &owner_ids, now, limit).await?);
        pending.sort_unstable_by_key(|notice| (notice.owner_id, notice.id));
    }
    Ok(())
}

/// What the notices are about, if anybody has rules about mails: else nobody is asked.
async fn subjects(
    tx: &Tx,
    book: &PolicyBook,
    pending: &[PendingNotice],
) -> Result<HashMap<i64, Subject>, StoreError> {
    if !book.has_mail_rules() {
        return Ok(HashMap::new());
    }
    let subjects = outbox::subjects(&**tx, pending.iter().map(|notice| notice.id)).await?;
    Ok(subjects.into_iter().map(|subject| (subject.notice_id, subject)).collect())
}

/// Leaves the last owner's notices to the next batch, where there may be more of them: otherwise
/// that owner would get two mails. An owner who fills a whole batch gets several.
fn leave_last_owner(pending: &mut Vec<PendingNotice>) {
    let Some(last) = pending.last().map(|notice| notice.owner_id) else { return };
    if pending.first().is_some_and(|notice| notice.owner_id != last) {
        pending.retain(|notice| notice.owner_id != last);
    }
}

fn pending_owners(pending: &[PendingNotice]) -> Vec<i64> {
    let mut ids: Vec<i64> = pending.iter().map(|notice| notice.owner_id).collect();
    // An owner's notices follow each other.
    ids.dedup();
    ids
}

/// Decides to whom one owner's mail goes, and who gets a copy. The error says why it can go to
/// nobody.
fn address(
    mailer: &Mailer,
    recipient: &Recipient,
    (notices, way): (&[i64], &Way),
    now: DateTime<Utc>,
) -> Result<Vec<NewMessage>, String> {
    let usable = |all: &[String]| -> Vec<String> {
        all.iter().filter(|one| is_usable(one)).cloned().collect()
    };
    let named = match &way.meant {
        Meant::Owner | Meant::Contacts => Vec::new(),
        Meant::OwnerAnd(contacts) | Meant::Only(contacts) => usable(contacts),
    };
    let is_theirs = match &way.meant {
        Meant::Owner | Meant::OwnerAnd(_) => true,
        Meant::Contacts => false,
        // Where there are no contacts, the owner is told after all.
        Meant::Only(_) => named.is_empty(),
    };
    let (audience, recipients) =
        if is_theirs && recipient.is_reachable && is_usable(&recipient.email) {
            (Audience::Owner, vec![recipient.email.clone()])
        } else if matches!(way.meant, Meant::Only(_)) && !named.is_empty() {
            (Audience::Contacts, named.clone())
        } else {
            let contacts = outbox::read_list(&recipient.contacts);
            let contacts = if contacts.is_empty() { mailer.contacts.clone() } else { contacts };
            (Audience::Contacts, usable(&contacts))
        };
    if recipients.is_empty() {
        let why = match way.meant {
            Meant::Contacts => "the tenant has no contacts",
            _ => "the owner cannot be reached, and the tenant has no contacts",
        };
        return Err(why.to_owned());
    }
    let message = NewMessage {
        header_id: header_id(&mailer.sender.domain, now),
        tenant_id: recipient.tenant_id,
        owner_id: recipient.owner_id,
        audience,
        recipients,
        notices: notices.to_vec(),
        at: way.at,
        copy_of: None,
    };
    // Nobody is told twice.
    let copied: Vec<String> =
        named.into_iter().filter(|one| !message.recipients.contains(one)).collect();
    if copied.is_empty() {
        return Ok(vec![message]);
    }
    let copy = NewMessage {
        header_id: header_id(&mailer.sender.domain, now),
        audience: Audience::Copy,
        recipients: copied,
        notices: Vec::new(),
        copy_of: Some(message.header_id.clone()),
        ..message.clone()
    };
    Ok(vec![message, copy])
}

fn is_usable(address: &str) -> bool {
    address.parse::<EmailAddress>().is_ok()
}

/// A Message-ID that nobody else has. It begins with the time, so that a folder of mails is in
/// order.
pub(super) fn header_id(domain: &str, now: DateTime<Utc>) -> String {
    let unique = uuid::Uuid::new_v4().simple();
    format!("{}.{unique}@{domain}", now.format("%Y%m%d%H%M%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notices(owners: &[i64]) -> Vec<PendingNotice> {
        let numbered = (1..).zip(owners);
        numbered
            .map(|(id, &owner_id)| PendingNotice { id, owner_id, stage: 0, key_id: 1 })
            .collect()
    }

    #[test]
    fn an_owner_is_not_split_over_two_mails() {
        let check = |owners: &[i64], expected: &[i64]| {
            let mut pending = notices(owners);
            leave_last_owner(&mut pending);
            let left: Vec<i64> = pending.iter().map(|notice| notice.owner_id).collect();
            assert_eq!(left, expected);
        };
        check(&[1, 1, 2, 2], &[1, 1]);
        check(&[1, 2], &[1]);
        check(&[1, 1, 1], &[1, 1, 1]);
        check(&[], &[]);
    }

    #[test]
    fn each_owner_is_asked_for_once() {
        assert_eq!(pending_owners(&notices(&[7, 7, 9])), [7, 9]);
    }
}
