//! Marking: what became of mails is written down, many at a time, and so is what it says of the
//! channel.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::{
    jobs::{
        Context, Outcome,
        contact::Backoff,
        deliver::{
            streak::Report,
            verdict::{Judgement, channel_down, judge, was_tried},
        },
    },
    mail::outcome::{Class, Outcome as MailOutcome},
    meter::Meter,
    shutdown::pause,
    store::{MessageStatus, StoreError, channel, messages},
};

/// How long a stop goes on trying to mark what the relay has taken.
const LAST_TRIES: Duration = Duration::from_secs(5);
/// The wait between two such tries.
const BREATH: Duration = Duration::from_millis(100);

/// Marks the mails of one run.
pub(super) struct Marker {
    ctx: Context,
    /// Stops the lanes.
    halt: CancellationToken,
    /// Whether the channel is known to have failed, so that a mail it takes is news.
    is_doubtful: bool,
}

impl Marker {
    pub(super) fn new(ctx: Context, halt: CancellationToken, is_doubtful: bool) -> Self {
        Self { ctx, halt, is_doubtful }
    }

    /// Marks one batch, and waits for a database that is away as long as the mails may still be
    /// ours: the relay has them, and each mark that is lost is a mail sent twice. Nothing else is
    /// sent meanwhile.
    pub(super) async fn mark(&mut self, reports: &[Report]) -> Result<Outcome, StoreError> {
        if reports.is_empty() {
            return Ok(Outcome::default());
        }
        let (begun_at, mut backoff) = (Instant::now(), Backoff::default());
        let mut stopped_at = None;
        loop {
            let lease = self.ctx.deps.limits.lease;
            match self.try_mark(reports).await {
                Err(error) if error.is_passing() && begun_at.elapsed() < lease => {
                    self.halt.cancel();
                    if pause(&self.ctx.cancel, backoff.failed(rand::random())).await {
                        continue;
                    }
                    // A stop gives the database some moments more: a deadlock is over in no time.
                    let stopped_at = *stopped_at.get_or_insert_with(Instant::now);
                    if LAST_TRIES < stopped_at.elapsed() {
                        return Err(error);
                    }
                    pause(&CancellationToken::new(), BREATH).await;
                }
                result => return result,
            }
        }
    }

    /// Marks one batch in one transaction.
    async fn try_mark(&mut self, reports: &[Report]) -> Result<Outcome, StoreError> {
        let (db, deps) = (&self.ctx.deps.db, &self.ctx.deps);
        let tx = db.begin().await?;
        let now = db.now(&*tx).await?;
        let judgements: Vec<_> = reports.iter().map(|report| judgement(report, now)).collect();
        let is_sent = |judged: &&Judgement| judged.mark.status == MessageStatus::Sent;
        let n_sent = judgements.iter().filter(is_sent).count();
        let works_again = self.is_doubtful && n_sent > 0;
        if works_again {
            channel::worked(&*tx).await?;
        }
        let failed = reports.iter().zip(&judgements).find(|(_, judged)| judged.is_channel_down);
        let mut down = None;
        if let Some((report, judged)) = failed {
            self.halt.cancel();
            let why = (judged.mark.reply.as_str(), report.is_channels);
            down = Some(channel::failed(&tx, &deps.instance, why, now).await?);
        }
        let (mut marks, mut refused) = (Vec::with_capacity(reports.len()), Vec::new());
        for (report, mut judged) in reports.iter().zip(judgements) {
            if let Some(down) = down.as_ref().filter(|_| judged.is_channel_down) {
                judged.mark.next_attempt_at = Some(down.rests_until);
            }
            if judged.is_bad_address {
                refused.push((report.message.owner_id, judged.mark.reply.clone()));
            }
            marks.push(judged.mark);
        }
        messages::mark(&*tx, &deps.instance, &marks, now).await?;
        messages::refuse_addresses(&*tx, &refused, now).await?;
        tx.commit().await?;
        if works_again || down.is_some() {
            self.is_doubtful = down.is_some();
            deps.mailer.breaker.learn(down);
        }
        count(db.meter(), reports, now);
        let is_stuck = |mark: &&messages::Mark| {
            matches!(mark.status, MessageStatus::Failed | MessageStatus::Parked)
        };
        let n_failed = marks.iter().filter(is_stuck).count() as u64;
        Ok(Outcome { n_changed: n_sent as u64, n_failed, ..Outcome::default() })
    }
}

fn judgement(report: &Report, now: DateTime<Utc>) -> Judgement {
    let (message, outcome) = (&report.message, &report.outcome);
    if report.is_channels {
        return channel_down(message, outcome, now);
    }
    judge(message, outcome, now, rand::random_range(-1.0..=1.0))
}

/// Counts what became of attempts, and how late owners were told.
fn count(meter: &Meter, reports: &[Report], now: DateTime<Utc>) {
    for report in reports.iter().filter(|report| was_tried(&report.outcome)) {
        let class = match report.outcome.class() {
            Some(_) if report.is_channels => Some(Class::Channel),
            class => class,
        };
        meter.mail.count(class.map_or("accepted", Class::as_str));
        if matches!(report.outcome, MailOutcome::Unknown { .. }) {
            meter.possible_duplicates.add(1);
        }
        if report.outcome.is_accepted() {
            for due_at in &report.message.due {
                meter.notice_delay.observe((now - *due_at).to_std().unwrap_or_default());
            }
        }
    }
}
