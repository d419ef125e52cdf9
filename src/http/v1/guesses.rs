//! How many keys that are nobody's a client may present, before only those are looked at that have
//! been good lately.
//!
//! Nobody guesses 256 bits: this keeps one client from busying the database with made-up keys. It
//! must never slow whoever has a good one, whatever comes from the same address, since a gateway
//! speaks for many. It counts in memory, so it is each replica's own.

use std::{
    collections::HashSet,
    mem,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::FromRequestParts,
    http::{Extensions, HeaderMap, StatusCode, request::Parts},
};

use crate::{
    domain::identity::PublicId,
    http::{
        client::Proxies,
        problem::Problem,
        purses::{Purses, Rate},
        v1::{api::Api, input::client},
    },
};

/// For how many seconds a client may be as fast as it can, before the limit of each second counts.
const BURST: f64 = 10.0;
/// How many clients at their limit it takes until all are at theirs.
const CROWD: f64 = 20.0;
/// For how long a key that was good is remembered, at least.
const LATELY: Duration = Duration::from_secs(600);
/// How many of them are remembered, at most, twice over.
const MOST: usize = 50_000;

/// What clients may still guess, and what need not be guessed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Guesses(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    proxies: Proxies,
    /// `None`: there is no limit.
    purses: Option<Mutex<Purses>>,
    good: Mutex<Good>,
}

/// The keys that have been good lately, in two generations: when the younger is full or old, the older
/// is forgotten.
#[derive(Debug, Default)]
struct Good {
    young: HashSet<PublicId>,
    old: HashSet<PublicId>,
    born: Option<Instant>,
}

impl Good {
    fn has(&self, id: &PublicId) -> bool {
        self.young.contains(id) || self.old.contains(id)
    }

    fn remember(&mut self, id: PublicId, now: Instant) {
        let is_old = self.born.is_none_or(|born| LATELY <= now.saturating_duration_since(born));
        if is_old || (MOST <= self.young.len() && !self.young.contains(&id)) {
            self.old = mem::take(&mut self.young);
            self.born = Some(now);
        }
        self.young.insert(id);
    }
}

impl Guesses {
    /// As many guesses in each second, of clients that come directly or through these proxies. Zero is
    /// no limit.
    pub fn new(proxies: Proxies, per_second: u32) -> Self {
        let rate = |n: f64| Rate { burst: BURST * n, per_second: n };
        let one = f64::from(per_second);
        let purses = (0 < per_second)
            .then(|| Mutex::new(Purses::new(rate(one), rate(CROWD * one), Instant::now())));
        Self(Arc::new(Inner { proxies, purses, good: Mutex::default() }))
    }

    /// Whether the key called `id` may be looked at, if `client` presents it.
    pub(super) fn admits(&self, client: IpAddr, id: &PublicId, now: Instant) -> bool {
        let Some(purses) = &self.0.purses else { return true };
        let has_left = lock(purses).has_left(client, now);
        has_left || lock(&self.0.good).has(id)
    }

    /// The key called `id` is somebody's, and was presented with its secret.
    pub(super) fn right(&self, id: PublicId, now: Instant) {
        if self.0.purses.is_some() {
            lock(&self.0.good).remember(id, now);
        }
    }

    /// What `client` presented is nobody's.
    pub(super) fn wrong(&self, client: IpAddr, now: Instant) {
        if let Some(purses) = &self.0.purses {
            // An empty purse cannot get emptier.
            lock(purses).pays(client, now);
        }
    }

    fn client(&self, extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
        self.0.proxies.client(extensions, headers)
    }
}

/// Nothing here can be left half-done, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer to whoever guesses too often.
pub(super) fn too_many() -> Problem {
    let detail = "too many keys that are nobody's came from this address; try again";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).code("too-many-guesses").retry_after(1)
}

/// Who presents a key.
pub(in crate::http) struct Asker {
    /// Where the request comes from.
    pub(super) address: IpAddr,
    /// What presents the key, as whoever asks says of itself.
    pub(super) by: Option<String>,
}

impl Asker {
    pub(super) fn of(parts: &Parts, api: &Api) -> Self {
        let address = api.guesses().client(&parts.extensions, &parts.headers);
        Self { address, by: client(&parts.headers) }
    }
}

impl FromRequestParts<Api> for Asker {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts, api))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> PublicId {
        let mut bytes = [0; 12];
        for (place, byte) in bytes.iter_mut().enumerate().take(6) {
            *byte = u8::try_from(n / 62_u32.pow(u32::try_from(place).unwrap()) % 62).unwrap();
        }
        PublicId::from_random(bytes)
    }

    fn client(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn who_guesses_is_slowed_and_a_good_key_from_the_same_address_never_is() {
        let (guesses, now) = (Guesses::new(Proxies::default(), 2), Instant::now());
        guesses.right(id(1), now);
        let mut n_looked_at = 0;
        for n in 100..1000 {
            if guesses.admits(client(1), &id(n), now) {
                n_looked_at += 1;
                guesses.wrong(client(1), now);
            }
        }
        assert_eq!(n_looked_at, 20);
        assert!(guesses.admits(client(1), &id(1), now), "it was good a moment ago");
        assert!(!guesses.admits(client(1), &id(2), now), "nobody has seen it");
        assert!(guesses.admits(client(2), &id(2), now), "another client");
        let later = now + Duration::from_secs(1);
        assert!(guesses.admits(client(1), &id(2), later));
        assert!((0..10_000).all(|_| guesses.admits(client(2), &id(3), now)), "no guess is made");
    }

    #[test]
    fn without_a_limit_nobody_is_slowed() {
        for guesses in [Guesses::default(), Guesses::new(Proxies::default(), 0)] {
            let now = Instant::now();
            for n in 0..10_000 {
                assert!(guesses.admits(client(1), &id(n), now));
                guesses.wrong(client(1), now);
            }
        }
    }

    #[test]
    fn good_keys_are_remembered_for_a_while_and_not_without_end() {
        let (mut good, now) = (Good::default(), Instant::now());
        good.remember(id(0), now);
        good.remember(id(1), now + LATELY);
        assert!(good.has(&id(0)) && good.has(&id(1)), "ten minutes at least");
        good.remember(id(1), now + LATELY * 2);
        assert!(!good.has(&id(0)) && good.has(&id(1)));
        for n in 0..300_000 {
            good.remember(id(n), now + LATELY * 2);
        }
        assert!(good.young.len() + good.old.len() <= 2 * MOST);
        assert!(good.has(&id(299_999)) && good.has(&id(260_000)));
    }
}
