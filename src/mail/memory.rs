//! Mails that go nowhere, for tests of everything that sends mail.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{outcome::Outcome, transport::Outgoing};

/// An outbox in memory. Its clones share what is in it.
///
/// Every mail is accepted, unless outcomes were put in its way: first those of
/// [`next_outcomes`](Self::next_outcomes), one mail each, then whatever the function given to
/// [`decide_with`](Self::decide_with) says.
#[derive(Clone, Default)]
pub struct MemoryOutbox(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    attempts: Vec<(Outgoing, Outcome)>,
    scripted: VecDeque<Outcome>,
    decide: Option<Decide>,
}

type Decide = Box<dyn FnMut(&Outgoing) -> Outcome + Send>;

impl MemoryOutbox {
    /// Every attempt so far, with what was answered to it.
    pub fn attempts(&self) -> Vec<(Outgoing, Outcome)> {
        self.inner().attempts.clone()
    }

    /// The mails a recipient would have: the accepted ones, in the order they came.
    pub fn sent(&self) -> Vec<Outgoing> {
        let inner = self.inner();
        let accepted = inner.attempts.iter().filter(|(_, outcome)| outcome.is_accepted());
        accepted.map(|(mail, _)| mail.clone()).collect()
    }

    /// Answers the next mails with these outcomes, in this order, before anything else.
    pub fn next_outcomes(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        self.inner().scripted.extend(outcomes);
    }

    /// From now on asks `decide` what becomes of a mail.
    pub fn decide_with(&self, decide: impl FnMut(&Outgoing) -> Outcome + Send + 'static) {
        self.inner().decide = Some(Box::new(decide));
    }

    /// What the outbox says to a mail it has no other orders about.
    pub fn accepted() -> Outcome {
        Outcome::Accepted { reply: "250 kept in memory".to_owned(), refused: Vec::new() }
    }

    pub(super) fn take(&self, mail: Outgoing) -> impl Future<Output = Outcome> + use<> {
        let mut inner = self.inner();
        let outcome = match (inner.scripted.pop_front(), &mut inner.decide) {
            (Some(outcome), _) => outcome,
            (None, Some(decide)) => decide(&mail),
            (None, None) => Self::accepted(),
        };
        inner.attempts.push((mail, outcome.clone()));
        std::future::ready(outcome)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A test that panicked in `decide` has failed already.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryOutbox({} attempts)", self.inner().attempts.len())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::mail::transport::{STOPPING, Transport};

    fn mail(id: i64) -> Outgoing {
        Outgoing { id, from: String::new(), to: Vec::new(), bytes: Vec::new(), not_after: None }
    }

    async fn send(outbox: &MemoryOutbox, ids: &[i64], cancel: &CancellationToken) -> Vec<Outcome> {
        let (give, take) = mpsc::channel(8);
        let (report, mut reports) = mpsc::channel(8);
        for &id in ids {
            give.try_send(mail(id)).unwrap();
        }
        drop(give);
        Transport::Memory(outbox.clone()).run(take, report, cancel).await;
        let mut outcomes = Vec::new();
        while let Some((_, outcome)) = reports.recv().await {
            outcomes.push(outcome);
        }
        outcomes
    }

    #[tokio::test]
    async fn orders_come_first_and_then_the_function_and_then_everything_is_accepted() {
        let (outbox, cancel) = (MemoryOutbox::default(), CancellationToken::new());
        let unknown = || Outcome::Unknown { why: "test".to_owned() };
        assert_eq!(send(&outbox, &[1], &cancel).await, [MemoryOutbox::accepted()]);

        outbox.next_outcomes([unknown()]);
        let is_odd = |mail: &Outgoing| mail.id % 2 == 1;
        outbox.decide_with(
            move |mail| {
                if is_odd(mail) { unknown() } else { MemoryOutbox::accepted() }
            },
        );
        let outcomes = send(&outbox, &[2, 3, 4], &cancel).await;
        assert_eq!(outcomes, [unknown(), unknown(), MemoryOutbox::accepted()]);
        let sent: Vec<_> = outbox.sent().iter().map(|mail| mail.id).collect();
        assert_eq!((sent, outbox.attempts().len()), (vec![1, 4], 4));
    }

    #[tokio::test]
    async fn after_a_stop_mails_come_back() {
        let (outbox, cancel) = (MemoryOutbox::default(), CancellationToken::new());
        cancel.cancel();
        let stopped =
            |outcome: &Outcome| matches!(outcome, Outcome::NotSent { why, .. } if why == STOPPING);
        let outcomes = send(&outbox, &[1, 2], &cancel).await;
        assert!(outcomes.len() == 2 && outcomes.iter().all(stopped), "{outcomes:?}");
        assert!(outbox.attempts().is_empty());
    }
}
