//! Wrong secrets of one token, and how long it then takes until the next is looked at.
//!
//! A secret has 256 bits and is not guessed; this keeps the database and the log from being busied.
//! It counts by token, so that a stranger locks nobody out whose token they do not know the id of,
//! and in memory, so it is each replica's own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::domain::identity::PublicId;

/// Wrong secrets in a row before the first wait.
const FREE: u32 = 5;
/// The wait after the last of them.
const WAIT: Duration = Duration::from_secs(60);
/// Tokens that are remembered. More of them are only there when somebody makes ids up.
const MOST: usize = 1000;

/// How often somebody was wrong, by token. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Throttle(Arc<Mutex<HashMap<PublicId, (u32, Instant)>>>);

impl Throttle {
    /// Counts a try at `now` before it is looked at. Returns whether it may be.
    pub(super) fn admits(&self, id: PublicId, now: Instant) -> bool {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tries.retain(|_, (_, last)| now.saturating_duration_since(*last) < WAIT);
        if tries.len() >= MOST && !tries.contains_key(&id) {
            // Whoever makes ids up must keep nobody out. The one forgotten is the one that was
            // wrong the least often, and of those the one that has been quiet the longest: a token
            // that somebody guesses at goes on being counted.
            let least = tries.iter().min_by_key(|(_, tried)| **tried).map(|(id, _)| *id);
            least.map(|id| tries.remove(&id));
        }
        let (n, last) = tries.entry(id).or_insert((0, now));
        if *n >= FREE {
            return false;
        }
        (*n, *last) = (*n + 1, now);
        true
    }

    /// The try was good.
    pub(super) fn worked(&self, id: PublicId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_five_wrong_secrets_a_token_rests_for_a_minute_and_no_other_does() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let (one, other) = (PublicId::from_random([1; 12]), PublicId::from_random([2; 12]));
        assert_eq!((0..20).filter(|_| throttle.admits(one, now)).count(), 5);
        assert!(throttle.admits(other, now));
        assert!(!throttle.admits(one, now + WAIT - Duration::from_millis(1)));
        assert!(throttle.admits(one, now + WAIT));
        throttle.worked(one);
        assert_eq!((0..20).filter(|_| throttle.admits(one, now + WAIT)).count(), 5);
    }

    #[test]
    fn a_flood_of_ids_neither_keeps_anybody_out_nor_clears_who_is_guessed_at() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let made_up = |n: u32| {
            let mut bytes = [0; 12];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            PublicId::from_random(bytes.map(|byte| byte % 62))
        };
        let guessed_at = PublicId::from_random([61; 12]);
        assert_eq!((0..20).filter(|_| throttle.admits(guessed_at, now)).count(), 5);
        for n in 0..5000 {
            throttle.admits(made_up(n), now);
        }
        assert!(throttle.admits(PublicId::from_random([60; 12]), now), "a token of somebody's");
        assert!(!throttle.admits(guessed_at, now));
        let remembered = throttle.0.lock().unwrap().len();
        assert_eq!(remembered, MOST);
    }
}
