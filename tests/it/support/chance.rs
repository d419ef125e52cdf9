//! Chance that can be had again: whatever a test draws at random comes from one number, its seed.

/// Chance that a seed decides (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub fn below_len(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).unwrap()
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A number that whoever runs the tests has given: `LAPSED_SEED=7 cargo test`.
#[expect(clippy::disallowed_methods, reason = "which seeds are tried is no configuration")]
pub fn wanted(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// The seed of a test: the one that is wanted, or any. It says which if the test fails.
#[expect(clippy::print_stderr, reason = "for whoever looks into a failed test")]
pub fn seed() -> u64 {
    let seed = wanted("LAPSED_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000_000));
    eprintln!("hint: LAPSED_SEED={seed} draws the same again");
    seed
}
