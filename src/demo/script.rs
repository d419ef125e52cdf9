//! What people do while the clock runs.

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    demo::beginning,
    domain::life::Ask,
    store::{
        Db, key_changes,
        key_list::{self, Filter},
        policies::PolicyBook,
        who::Who,
    },
};

/// Something somebody does to a key.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// Lets it live so many days from now.
    Extend(i64),
    /// Ends it.
    Revoke,
}

/// Something somebody does, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Act {
    hour: i64,
    actor: &'static str,
    key: &'static str,
    deed: Deed,
}

impl Act {
    /// When it happens.
    pub(super) fn at(&self) -> DateTime<Utc> {
        beginning() + TimeDelta::hours(self.hour)
    }
}

/// Everything people do, in order.
pub(super) fn acts() -> Vec<Act> {
    let act = |day: i64, hour, actor, key, deed| Act { hour: day * 24 + hour, actor, key, deed };
    vec![
        act(0, 2, "Ben Okafor", "backup-upload", Deed::Extend(90)),
        act(4, 3, "Ada Park", "load-test", Deed::Revoke),
        act(23, 1, "Ada Park", "deploy-bot", Deed::Extend(90)),
    ]
}

/// Does it.
pub(super) async fn play(act: &Act, db: &Db, book: &PolicyBook) -> anyhow::Result<()> {
    let keys = key_list::list(db, &Filter::default(), 0, 200).await?;
    let key = keys.iter().find(|key| key.name == act.key).context("find the key")?;
    match act.deed {
        Deed::Extend(days) => {
            let ask = Ask::For(TimeDelta::days(days));
            key_changes::extend(db, book, act.actor, &key.public_id, ask).await?;
        }
        Deed::Revoke => {
            let reason = Some("no longer needed");
            key_changes::revoke(db, book, Who::Local(act.actor), &key.public_id, reason).await?;
        }
    }
    Ok(())
}
