//! From notices to messages: one mail per owner, to the owner or, where that fails, to those who
//! are told instead.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::{
    domain::stage::Stage,
    jobs::{Context, deliver::Mailer, patience::Patience},
    mail::address::EmailAddress,
    store::{
        StoreError,
        outbox::{self, Audience, NewMessage, PendingNotice, Recipient},
    },
};

/// Gathers all pending notices.
pub(super) async fn run(ctx: &Context) -> Result<(), StoreError> {
    let mut patience = Patience::default();
    while !ctx.cancel.is_cancelled() {
        match gather_batch(ctx).await {
            Ok(true) => return Ok(()),
            Ok(false) => patience.done(),
            Err(error) => patience.begin_anew(error, &ctx.cancel).await?,
        }
    }
    Ok(())
}

/// Gathers one batch in one transaction. Returns whether it was the last.
async fn gather_batch(ctx: &Context) -> Result<bool, StoreError> {
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
    let owners = by_owner(&pending);
    let owner_ids: Vec<i64> = pending_owners(&owners);
    let recipients = outbox::recipients(&*tx, &owner_ids).await?;
    let recipients: HashMap<i64, Recipient> =
        recipients.into_iter().map(|recipient| (recipient.owner_id, recipient)).collect();
    let (mut messages, mut untellable) = (Vec::new(), Vec::new());
    for (owner_id, notices, mail) in owners {
        let message = recipients
            .get(&owner_id)
            .cloned()
            .ok_or_else(|| "its owner is not in the database".to_owned())
            .and_then(|recipient| address(&ctx.deps.mailer, recipient, (&notices, mail), now));
        match message {
            Ok(message) => messages.push(message),
            Err(reason) => untellable.extend(notices.iter().map(|id| (*id, reason.clone()))),
        }
    }
    outbox::form(&*tx, &messages, now).await?;
    outbox::give_up(&*tx, &untellable).await?;
    tx.commit().await?;
    Ok(is_last)
}

/// Leaves the last owner's notices to the next batch, where there may be more of them: otherwise
/// that owner would get two mails. An owner who fills a whole batch gets several.
fn leave_last_owner(pending: &mut Vec<PendingNotice>) {
    let Some(last) = pending.last().map(|notice| notice.owner_id) else { return };
    if pending.first().is_some_and(|notice| notice.owner_id != last) {
        pending.retain(|notice| notice.owner_id != last);
    }
}

/// For whom one owner's notices are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meant {
    /// The owner, or whoever is told instead.
    Owner,
    /// The contacts, beside the owner.
    Contacts,
}

impl Meant {
    fn of(notice: &PendingNotice) -> Self {
        let is_beside = notice.stage == Stage::SuspendedContacts.code();
        if is_beside { Self::Contacts } else { Self::Owner }
    }
}

/// The notices of each owner, in the order given; those for the contacts apart.
fn by_owner(pending: &[PendingNotice]) -> Vec<(i64, Vec<i64>, Meant)> {
    let mut owners = Vec::new();
    for chunk in pending.chunk_by(|a, b| a.owner_id == b.owner_id) {
        let Some(first) = chunk.first() else { continue };
        for meant in [Meant::Owner, Meant::Contacts] {
            let of = chunk.iter().filter(|notice| Meant::of(notice) == meant);
            let ids: Vec<i64> = of.map(|notice| notice.id).collect();
            if !ids.is_empty() {
                owners.push((first.owner_id, ids, meant));
            }
        }
    }
    owners
}

fn pending_owners(owners: &[(i64, Vec<i64>, Meant)]) -> Vec<i64> {
    let mut ids: Vec<i64> = owners.iter().map(|(owner_id, ..)| *owner_id).collect();
    // An owner's mails follow each other.
    ids.dedup();
    ids
}

/// Decides to whom one owner's mail goes. The error says why it can go to nobody.
fn address(
    mailer: &Mailer,
    recipient: Recipient,
    (notices, meant): (&[i64], Meant),
    now: DateTime<Utc>,
) -> Result<NewMessage, String> {
    let is_usable = |address: &str| address.parse::<EmailAddress>().is_ok();
    let to_owner = meant == Meant::Owner && recipient.is_reachable && is_usable(&recipient.email);
    let (audience, recipients) = if to_owner {
        (Audience::Owner, vec![recipient.email])
    } else {
        let contacts = outbox::read_list(&recipient.contacts);
        let contacts = if contacts.is_empty() { mailer.contacts.clone() } else { contacts };
        (Audience::Contacts, contacts.into_iter().filter(|one| is_usable(one)).collect())
    };
    if recipients.is_empty() {
        let why = match meant {
            Meant::Owner => "the owner cannot be reached, and the tenant has no contacts",
            Meant::Contacts => "the tenant has no contacts",
        };
        return Err(why.to_owned());
    }
    Ok(NewMessage {
        header_id: header_id(&mailer.sender.domain, now),
        tenant_id: recipient.tenant_id,
        owner_id: recipient.owner_id,
        audience,
        recipients,
        notices: notices.to_vec(),
    })
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
        numbered.map(|(id, &owner_id)| PendingNotice { id, owner_id, stage: 0 }).collect()
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
    fn notices_are_gathered_by_owner() {
        let mut pending = notices(&[7, 7, 9]);
        assert_eq!(by_owner(&pending), [(7, vec![1, 2], Meant::Owner), (9, vec![3], Meant::Owner)]);
        pending[0].stage = Stage::SuspendedContacts.code();
        let owners = by_owner(&pending);
        assert_eq!(owners[..2], [(7, vec![2], Meant::Owner), (7, vec![1], Meant::Contacts)]);
        assert_eq!(pending_owners(&owners), [7, 9]);
    }
}
