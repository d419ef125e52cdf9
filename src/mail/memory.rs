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
