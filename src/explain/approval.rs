//! What approving a request would do, as things are: for whoever has to decide.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    domain::{approval::ApprovalState, plan, policy::Policies, spread::Spread},
    store::{
        Db, StoreError,
        approvals::{Approval, Wanted, edits, kind_of},
        brake, environments,
        key_list::{self, Filter, KeyView, State},
        owners,
        policies::{
            PolicyBook,
            change::{self, ChangeError, Scope},
            simulate,
        },
        seen::Tag,
        tenants,
    },
};

/// The most keys that are named; the rest are counted.
const NAMED: usize = 20;
/// How many keys of an owner are looked at.
const LOOKED_AT: u64 = 1_000;

/// What is said of what is not there any more.
const GONE: &str = "what it is about is not there any more: approving it does nothing";
/// What is said of what is not as it was.
const CHANGED: &str = "what it is about has changed since: approving it does nothing, ask anew";

/// What approving `approval` would do, a sentence a line; nothing once it is decided.
///
/// # Errors
/// As the database answers.
pub async fn approval(
    db: &Db,
    base: &Policies,
    approval: &Approval,
    now: DateTime<Utc>,
) -> Result<Vec<String>, StoreError> {
    if approval.state.at(approval.expires_at, now) != ApprovalState::Pending {
        return Ok(Vec::new());
    }
    let Some(wanted) = &approval.wanted else {
        return Ok(vec!["the request makes no sense, and cannot be carried out".to_owned()]);
    };
    match wanted {
        Wanted::RevokeKey { key, reason, seen } => {
            let Some(view) = key_list::find(db.conn(), key).await? else { return Ok(gone()) };
            let mut lines = vec![format!("the key {} is ended for good", named(&view))];
            lines.push(match view.last_used_at {
                Some(used) => format!("it was last used at {}", show(used)),
                None => "it was never used, as far as is known".to_owned(),
            });
            lines.extend(reason.as_ref().map(|reason| format!("the reason given: {reason}")));
            Ok(with_warning(lines, view.tag().to_string() == *seen))
        }
        Wanted::ReleaseHold { key, seen } => {
            let Some(view) = key_list::find(db.conn(), key).await? else { return Ok(gone()) };
            let why = view.hold.as_deref().unwrap_or("nothing");
            let lines = vec![
                format!(
                    "the key {} need not be kept any more, and is purged when its time comes",
                    named(&view)
                ),
                format!("it is kept because: {why}"),
            ];
            Ok(with_warning(lines, view.tag().to_string() == *seen))
        }
        Wanted::ApprovePurge { key, reason, seen } => {
            let Some(view) = key_list::find(db.conn(), key).await? else { return Ok(gone()) };
            let mut lines = vec![format!("the key {} goes at the next purge", named(&view))];
            lines.extend(reason.as_ref().map(|reason| format!("the reason given: {reason}")));
            Ok(with_warning(lines, view.tag().to_string() == *seen))
        }
        Wanted::SetAccess { owner, ends_at, seen } => access(db, owner, *ends_at, seen, now).await,
        Wanted::ResetOtp { owner, seen } => {
            let found = owners::find_by_public_id(db.conn(), owner).await?;
            let Some(found) = found else { return Ok(gone()) };
            let lines = vec![format!(
                "the second factor of {} ({}) is taken away; no code of theirs counts for a day, and \
                 they are told",
                found.email, found.tenant
            )];
            Ok(with_warning(lines, Tag::of(&found).to_string() == *seen))
        }
        Wanted::ChangePolicy { .. } => policy(db, base, wanted, now).await,
        Wanted::ReleaseBrake { hash } => {
            for what in crate::domain::brake::Destruction::ALL {
                if let Some(on) = brake::get(db, what).await?.filter(|on| on.hash == *hash) {
                    return Ok(vec![
                        format!("the brake lets go of the plan to {} {} keys", what.as_str(), on.n),
                        on.reason,
                    ]);
                }
            }
            Ok(gone())
        }
    }
}

fn gone() -> Vec<String> {
    vec![GONE.to_owned()]
}

fn with_warning(mut lines: Vec<String>, is_as_it_was: bool) -> Vec<String> {
    if !is_as_it_was {
        lines.insert(0, CHANGED.to_owned());
    }
    lines
}

fn named(key: &KeyView) -> String {
    format!(
        "`{}` ({}) of {} in {}/{}",
        key.name, key.public_id, key.owner.1, key.tenant.1, key.environment.1
    )
}

async fn access(
    db: &Db,
    owner: &str,
    ends_at: Option<DateTime<Utc>>,
    seen: &str,
    now: DateTime<Utc>,
) -> Result<Vec<String>, StoreError> {
    let Some(found) = owners::find_by_public_id(db.conn(), owner).await? else {
        return Ok(gone());
    };
    let ends_at = ends_at.map(|at| at.max(now));
    let mut lines = vec![match ends_at {
        Some(at) => {
            format!("the access of {} ({}) ends at {}", found.email, found.tenant, show(at))
        }
        None => format!("the access of {} ({}) has no end any more", found.email, found.tenant),
    }];
    if let Some(at) = ends_at {
        let filter = Filter {
            owner_id: Some(found.id),
            state: Some(State::Active),
            outlives: Some(at),
            ..Filter::default()
        };
        let keys = key_list::list(db, &filter, 0, LOOKED_AT).await?;
        lines.push(match keys.len() {
            0 => "no key ends earlier by it".to_owned(),
            n => format!("{n} keys end with it, without a window"),
        });
        lines.extend(keys.iter().take(NAMED).map(|key| match key.last_used_at {
            Some(used) => format!("{}, last used at {}", named(key), show(used)),
            None => format!("{}, not used as far as is known", named(key)),
        }));
        if keys.len() > NAMED {
            lines.push(format!("and {} more", keys.len() - NAMED));
        }
    }
    Ok(with_warning(lines, Tag::of(&found).to_string() == *seen))
}

async fn policy(
    db: &Db,
    base: &Policies,
    wanted: &Wanted,
    now: DateTime<Utc>,
) -> Result<Vec<String>, StoreError> {
    let Wanted::ChangePolicy { tenant, environment, kind, key, set, spread, seen } = wanted else {
        return Ok(Vec::new());
    };
    let conn = db.conn();
    let Some(tenant) = tenants::find(conn, tenant).await? else { return Ok(gone()) };
    let environment = match environment {
        Some(slug) => environments::find(conn, tenant.id, slug).await?,
        None => None,
    };
    let key = match key {
        Some(id) => key_list::find(conn, id).await?,
        None => None,
    };
    let scope = match (&key, &environment) {
        (Some(key), Some(environment)) => Scope::of_key(&tenant, environment, key),
        (_, environment) => Scope {
            environment: environment.as_ref(),
            kind: kind_of(kind.as_deref()),
            ..Scope::of(&tenant)
        },
    };
    let place = match (&key, &environment) {
        (Some(key), _) => format!("the key {}", named(key)),
        (None, Some(environment)) => format!("{}/{}", tenant.slug, environment.slug),
        (None, None) => tenant.slug.clone(),
    };
    let kinds = kind.as_ref().map_or_else(String::new, |kind| format!(", {kind} keys"));
    let mut lines: Vec<_> = set
        .iter()
        .map(|(field, value)| match value {
            serde_json::Value::Null => {
                format!("{place}{kinds}: {field} is left to the level above")
            }
            value => format!("{place}{kinds}: {field} is {value}"),
        })
        .collect();
    let old = PolicyBook::load(db, base.clone()).await?;
    let new = match change::preview(conn, base, &scope, &edits(set)).await {
        Ok((new, _)) => new,
        Err(ChangeError::Store(error)) => return Err(error),
        Err(error) => {
            lines.insert(0, format!("approving it does nothing: {error}"));
            return Ok(lines);
        }
    };
    let spread = spread.and_then(|(notice, over)| Spread::new(notice, over).ok());
    let until = plan::until(now, TimeDelta::days(30));
    let found = simulate::simulate(db, (&old, &new), &scope, until, spread.as_ref()).await?;
    lines.push(format!(
        "of {} keys, {} have another next action and {} another window; {} live longer than is \
         allowed then, and {} of them end sooner",
        found.n_keys, found.n_other_next, found.n_other_window, found.n_too_long, found.n_shortened
    ));
    Ok(with_warning(lines, Tag::of(&scope.effective(&old)).to_string() == *seen))
}

fn show(at: DateTime<Utc>) -> impl std::fmt::Display {
    at.format("%Y-%m-%d %H:%M UTC")
}
