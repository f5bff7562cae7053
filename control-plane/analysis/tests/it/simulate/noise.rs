//! Seeded noise.

/// SplitMix64.
pub struct Noise(pub u64);

impl Noise {
    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().max(1e-300).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// How many of `n` come out with this probability each.
    pub fn binomial(&mut self, n: u64, probability: f64) -> u64 {
        (0..n).map(|_| u64::from(self.chance(probability))).sum()
    }
}

/// Normal noise in which each value remembers the one before: AR(1) with standard deviation 1.
#[derive(Clone)]
pub struct Correlated {
    memory: f64,
    last: f64,
}

impl Correlated {
    pub fn new(memory: f64, noise: &mut Noise) -> Correlated {
        Correlated {
            memory,
            last: noise.normal(),
        }
    }

    pub fn next(&mut self, noise: &mut Noise) -> f64 {
        let fresh = (1.0 - self.memory * self.memory).sqrt();
        self.last = self.memory * self.last + fresh * noise.normal();
        self.last
    }
}
