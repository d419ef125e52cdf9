//! How many requests of the pages are served, to each client and to all together.
//!
//! Nobody guesses a link or a token, so this is only to keep one client from busying the database,
//! and from keeping others out. It counts in memory, so it is each replica's own.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use crate::http::{client::Proxies, pages};

/// How many requests one client may send at once, and how many more in each second after that.
const OF_ONE: Rate = Rate { burst: 60.0, per_second: 5.0 };
/// The same for all clients together.
const OF_ALL: Rate = Rate { burst: 500.0, per_second: 100.0 };
/// Clients that are remembered. More of them at a time are only there in a flood.
const MOST: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// How many requests may still come.
#[derive(Clone, Copy, Debug)]
struct Purse {
    left: f64,
    at: Instant,
}

impl Purse {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.burst, at: now }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * rate.per_second).min(rate.burst);
        self.at = now;
    }

    fn pays(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        let pays = 1.0 <= self.left;
        if pays {
            self.left -= 1.0;
        }
        pays
    }
}

/// What each client and all together may still ask for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Paces {
    proxies: Proxies,
    purses: Arc<Mutex<Purses>>,
}

#[derive(Debug)]
struct Purses {
    all: Purse,
    by_client: HashMap<IpAddr, Purse>,
}

impl Paces {
    /// For clients that come directly, or through these proxies.
    pub fn new(proxies: Proxies) -> Self {
        let all = Purse::full(OF_ALL, Instant::now());
        let purses = Purses { all, by_client: HashMap::new() };
        Self { proxies, purses: Arc::new(Mutex::new(purses)) }
    }

    fn admits(&self, client: IpAddr, now: Instant) -> bool {
        let mut purses = self.purses.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever is too fast takes nothing from the others.
        purses.of(household(client), now).pays(OF_ONE, now) && purses.all.pays(OF_ALL, now)
    }
}

impl Purses {
    fn of(&mut self, client: IpAddr, now: Instant) -> &mut Purse {
        if MOST <= self.by_client.len() && !self.by_client.contains_key(&client) {
            // A full purse is as good as none.
            self.by_client.retain(|_, purse| {
                purse.refill(OF_ONE, now);
                purse.left < OF_ONE.burst
            });
            // If all have spent something, the one that has spent least is forgotten: who floods is not.
            if MOST <= self.by_client.len() {
                let least = self.by_client.iter().max_by(|a, b| a.1.left.total_cmp(&b.1.left));
                let least = least.map(|(client, _)| *client);
                least.map(|client| self.by_client.remove(&client));
            }
        }
        self.by_client.entry(client).or_insert(Purse::full(OF_ONE, now))
    }
}

/// Whose address it is: of IPv6 each customer has a whole network, of which the first 64 bits say
/// which.
fn household(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

/// Lets a request in, or says that there are too many. What pages load can be kept for ever, and does
/// not count.
pub(super) async fn admit(State(paces): State<Paces>, request: Request, next: Next) -> Response {
    let client = paces.proxies.client(request.extensions(), request.headers());
    let is_free = request.uri().path().starts_with("/assets/");
    if is_free || paces.admits(client, Instant::now()) {
        next.run(request).await
    } else {
        pages::busy(request.headers())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn client(n: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n).into())
    }

    #[test]
    fn a_client_that_floods_is_slowed_and_no_other_is() {
        let (paces, now) = (Paces::new(Proxies::default()), Instant::now());
        assert_eq!((0..1000).filter(|_| paces.admits(client(1), now)).count(), 60);
        assert!(paces.admits(client(2), now));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| paces.admits(client(1), later)).count(), 5);
    }

    #[test]
    fn many_clients_are_slowed_together() {
        let (paces, now) = (Paces::new(Proxies::default()), Instant::now());
        assert_eq!((0..1000).filter(|n| paces.admits(client(*n), now)).count(), 500);
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|n| paces.admits(client(*n), later)).count(), 100);
    }

    #[test]
    fn the_addresses_of_one_household_count_as_one() {
        let (paces, now) = (Paces::new(Proxies::default()), Instant::now());
        let of = |n: u128| IpAddr::V6(((0x2001_0db8_u128 << 96) + n).into());
        assert_eq!((0..1000).filter(|n| paces.admits(of(*n), now)).count(), 60);
        assert!(paces.admits(of(1 << 64), now), "the neighbours");
    }

    #[test]
    fn a_crowd_neither_grows_for_ever_nor_clears_who_floods() {
        let (paces, now) = (Paces::new(Proxies::default()), Instant::now());
        assert_eq!((0..100).filter(|_| paces.admits(client(0), now)).count(), 60);
        for n in 1..20_000 {
            paces.admits(client(n), now);
        }
        assert!(!paces.admits(client(0), now));
        assert_eq!(paces.purses.lock().unwrap().by_client.len(), MOST);
    }
}
