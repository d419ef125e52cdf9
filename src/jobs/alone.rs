//! What one replica does for all: under a lease, renewed while the work goes on.

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    shutdown::pause,
    store::{Db, StoreError, leases},
};

/// For how long a lease is taken: after that, somebody else may go on with a dead one's work.
const TTL: TimeDelta = TimeDelta::seconds(60);
/// How often it is renewed: two renewals may fail before it is lost.
const RENEW_EVERY: Duration = Duration::from_secs(15);

/// Does `work` while nobody else does. `None` if somebody does.
///
/// When the lease is lost on the way, `cancel` is set, and the work is awaited: it looks at the
/// token between its batches, and each of its statements is harmless twice.
///
/// # Errors
/// As the database answers.
pub(super) async fn alone<T>(
    db: &Db,
    name: &str,
    holder: &str,
    cancel: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<Option<T>, StoreError> {
    let Some(mut term) = leases::take(db, name, holder, TTL).await? else { return Ok(None) };
    let mut work = std::pin::pin!(work);
    let never = CancellationToken::new();
    let result = loop {
        tokio::select! {
            biased;
            result = &mut work => break result,
            _ = pause(&never, RENEW_EVERY) => {}
        }
        match leases::renew(db, &term, TTL).await {
            Ok(Some(renewed)) => term = renewed,
            // A database that is away for a moment has not given the lease to anybody else.
            Err(error) if error.is_passing() => {}
            Ok(None) | Err(_) => {
                warn!("Asked `{name}` to stop: its lease is lost");
                cancel.cancel();
                break work.await;
            }
        }
    };
    leases::give_back(db, &term).await?;
    Ok(Some(result))
}
