//! What each client may still ask for, and all together: a purse each, which is spent at once and
//! filled again slowly.

use std::{collections::HashMap, net::IpAddr, time::Instant};

/// Clients that are remembered. More of them at a time are only there in a flood.
const MOST: usize = 10_000;

/// How many requests may come at once, and how many more in each second after that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) burst: f64,
    pub(super) per_second: f64,
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

    fn has_left(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        1.0 <= self.left
    }

    fn pays(&mut self, rate: Rate, now: Instant) -> bool {
        let pays = self.has_left(rate, now);
        if pays {
            self.left -= 1.0;
        }
        pays
    }
}

/// The purses of all clients.
#[derive(Debug)]
pub(super) struct Purses {
    of_one: Rate,
    of_all: Rate,
    all: Purse,
    by_client: HashMap<IpAddr, Purse>,
}

impl Purses {
    /// Full purses for everybody.
    pub(super) fn new(of_one: Rate, of_all: Rate, now: Instant) -> Self {
        Self { of_one, of_all, all: Purse::full(of_all, now), by_client: HashMap::new() }
    }

    /// Takes one request from the purses of `client` and of all. Returns whether both had one left.
    pub(super) fn pays(&mut self, client: IpAddr, now: Instant) -> bool {
        let (of_one, of_all) = (self.of_one, self.of_all);
        // Whoever is too fast takes nothing from the others.
        self.of(household(client), now).pays(of_one, now) && self.all.pays(of_all, now)
    }

    /// Whether `client` could pay for a request. Nothing is taken.
    pub(super) fn has_left(&mut self, client: IpAddr, now: Instant) -> bool {
        let (of_one, of_all) = (self.of_one, self.of_all);
        let own = self.by_client.get_mut(&household(client));
        own.is_none_or(|purse| purse.has_left(of_one, now)) && self.all.has_left(of_all, now)
    }

    fn of(&mut self, client: IpAddr, now: Instant) -> &mut Purse {
        let rate = self.of_one;
        if MOST <= self.by_client.len() && !self.by_client.contains_key(&client) {
            // A full purse is as good as none.
            self.by_client.retain(|_, purse| {
                purse.refill(rate, now);
                purse.left < rate.burst
            });
            // If all have spent something, the one that has spent least is forgotten: who floods is not.
            if MOST <= self.by_client.len() {
                let least = self.by_client.iter().max_by(|a, b| a.1.left.total_cmp(&b.1.left));
                let least = least.map(|(client, _)| *client);
                least.map(|client| self.by_client.remove(&client));
            }
        }
        self.by_client.entry(client).or_insert(Purse::full(rate, now))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn client(n: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n).into())
    }

    fn purses() -> (Purses, Instant) {
        let now = Instant::now();
        let rate = |burst, per_second| Rate { burst, per_second };
        (Purses::new(rate(60.0, 5.0), rate(500.0, 100.0), now), now)
    }

    #[test]
    fn a_client_that_floods_is_slowed_and_no_other_is() {
        let (mut purses, now) = purses();
        assert_eq!((0..1000).filter(|_| purses.pays(client(1), now)).count(), 60);
        assert!(!purses.has_left(client(1), now));
        assert!(purses.has_left(client(2), now) && purses.pays(client(2), now));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| purses.pays(client(1), later)).count(), 5);
    }

    #[test]
    fn many_clients_are_slowed_together() {
        let (mut purses, now) = purses();
        assert_eq!((0..1000).filter(|n| purses.pays(client(*n), now)).count(), 500);
        assert!(!purses.has_left(client(2000), now));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|n| purses.pays(client(*n), later)).count(), 100);
    }

    #[test]
    fn the_addresses_of_one_household_count_as_one() {
        let (mut purses, now) = purses();
        let of = |n: u128| IpAddr::V6(((0x2001_0db8_u128 << 96) + n).into());
        assert_eq!((0..1000).filter(|n| purses.pays(of(*n), now)).count(), 60);
        assert!(!purses.has_left(of(2000), now));
        assert!(purses.pays(of(1 << 64), now), "the neighbours");
    }

    #[test]
    fn looking_takes_nothing_and_remembers_nobody() {
        let (mut purses, now) = purses();
        assert!((0..1000).all(|n| purses.has_left(client(n % 2), now)));
        assert!(purses.by_client.is_empty());
    }

    #[test]
    fn a_crowd_neither_grows_for_ever_nor_clears_who_floods() {
        let (mut purses, now) = purses();
        assert_eq!((0..100).filter(|_| purses.pays(client(0), now)).count(), 60);
        for n in 1..20_000 {
            purses.pays(client(n), now);
        }
        assert!(!purses.pays(client(0), now));
        assert_eq!(purses.by_client.len(), MOST);
    }
}
