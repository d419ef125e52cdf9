//! Those who ask at the same time are answered together.
//!
//! A statement about ten keys is hardly more work than one about a single key; what costs is the way
//! there and back. So only a few statements are under way at a time, and whoever
//! asks meanwhile waits for the next one. Nobody waits for company: who comes alone asks at once.
//!
//! There is no task that does this: one of those who wait reads for all, and then hands the baton to
//! the next who came meanwhile. One that is dropped, or panics, passes it on all the same.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

use crate::{
    domain::identity::PublicId,
    store::{
        Db,
        verify::read::{Answer, Question, most_reads},
    },
};

/// Keys in one statement.
const MOST_KEYS: usize = 64;

/// Where those who ask meet.
#[derive(Debug, Default)]
pub(super) struct Together {
    question: Question,
    line: Arc<Mutex<Line>>,
}

/// Those who wait, in the order in which they came.
#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    n_reads: usize,
}

#[derive(Debug)]
struct Waiting {
    id: PublicId,
    tell: oneshot::Sender<Word>,
}

/// What somebody who waits is told.
#[derive(Debug)]
enum Word {
    Answer(Answer),
    /// To read, for itself and for those who wait.
    Baton(Baton),
}

impl Together {
    /// What is stored of the key called `id`.
    ///
    /// # Errors
    /// As the database answers.
    pub(super) async fn ask(&self, db: &Db, id: PublicId) -> Answer {
        let Some(most_reads) = most_reads(db) else { return self.question.one(db, id).await };
        loop {
            let baton = match self.join(id, most_reads) {
                Joined::Reads(baton) => baton,
                Joined::Waits(told) => match told.await {
                    Ok(Word::Answer(answer)) => return answer,
                    Ok(Word::Baton(baton)) => baton,
                    // Whoever was to read for us was stopped.
                    Err(_) => continue,
                },
            };
            return baton.read(&self.question, db, id).await;
        }
    }

    fn join(&self, id: PublicId, most_reads: usize) -> Joined {
        let mut line = lock(&self.line);
        if line.n_reads < most_reads {
            line.n_reads += 1;
            return Joined::Reads(Baton(Arc::clone(&self.line)));
        }
        let (tell, told) = oneshot::channel();
        line.waiting.push_back(Waiting { id, tell });
        Joined::Waits(told)
    }
}

enum Joined {
    Reads(Baton),
    Waits(oneshot::Receiver<Word>),
}

/// The right to read. Passed on when it is dropped.
#[derive(Debug)]
struct Baton(Arc<Mutex<Line>>);

impl Baton {
    /// Reads what is stored of the key called `id`, and of those that others wait for.
    async fn read(self, question: &Question, db: &Db, id: PublicId) -> Answer {
        let others = self.take();
        let ids: Vec<_> = [id].into_iter().chain(others.iter().map(|other| other.id)).collect();
        let mut answers = question.many(db, &ids).await.into_iter();
        let own = answers.next().unwrap_or_else(|| Ok(Vec::new()));
        drop(self);
        for (other, answer) in others.into_iter().zip(answers) {
            // Whoever has gone needs no answer.
            let _ = other.tell.send(Word::Answer(answer));
        }
        own
    }

    fn take(&self) -> Vec<Waiting> {
        let mut line = lock(&self.0);
        let n = line.waiting.len().min(MOST_KEYS - 1);
        line.waiting.drain(..n).filter(|other| !other.tell.is_closed()).collect()
    }
}

impl Drop for Baton {
    fn drop(&mut self) {
        let next = {
            let mut line = lock(&self.0);
            let next = line.waiting.pop_front();
            if next.is_none() {
                line.n_reads -= 1;
            }
            next
        };
        if let Some(next) = next {
            // To somebody who has gone it cannot be given: it is dropped again, and so passed on.
            mem::drop(next.tell.send(Word::Baton(Baton(Arc::clone(&self.0)))));
        }
    }
}

/// Nothing here can be left half-done, so a panic elsewhere spoils nothing.
fn lock(line: &Mutex<Line>) -> std::sync::MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    fn id(n: u8) -> PublicId {
        PublicId::from_random([n; 12])
    }

    fn reads(together: &Together, n: u8) -> Baton {
        let Joined::Reads(baton) = together.join(id(n), 1) else { panic!("{n} has to wait") };
        baton
    }

    fn waits(together: &Together, n: u8) -> oneshot::Receiver<Word> {
        let Joined::Waits(told) = together.join(id(n), 1) else { panic!("{n} reads") };
        told
    }

    #[test]
    fn a_turn_goes_to_the_next_who_still_waits_and_brings_the_others_along() {
        let together = Together::default();
        let baton = reads(&together, 1);
        let (gone, mut next, mut last) =
            (waits(&together, 2), waits(&together, 3), waits(&together, 4));
        drop(gone);
        drop(baton);
        let Ok(Word::Baton(baton)) = next.try_recv() else { panic!("nobody reads") };
        assert_eq!(last.try_recv().unwrap_err(), TryRecvError::Empty);
        assert_eq!(baton.take().iter().map(|other| other.id).collect::<Vec<_>>(), [id(4)]);
        assert_eq!(last.try_recv().unwrap_err(), TryRecvError::Closed, "it asks anew");
        drop(baton);
        drop(reads(&together, 5));
        assert_eq!(lock(&together.line).n_reads, 0);
    }

    #[test]
    fn a_turn_that_nobody_takes_up_is_passed_on() {
        let together = Together::default();
        let baton = reads(&together, 1);
        let (next, mut last) = (waits(&together, 2), waits(&together, 3));
        drop(baton);
        assert_eq!(last.try_recv().unwrap_err(), TryRecvError::Empty, "it is the other's baton");
        drop(next);
        let Ok(Word::Baton(baton)) = last.try_recv() else { panic!("the baton is lost") };
        drop(baton);
        drop(reads(&together, 4));
    }
}
