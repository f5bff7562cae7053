//! What a frequency says of a probability, and so whether a promise is kept.

use phoenix_analysis::stats::beta_inc;

/// What a simulation says of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Yes,
    No,
    /// So many experiments cannot tell.
    Open,
}

impl Kept {
    /// All of these together.
    pub fn all(each: impl Iterator<Item = Kept>) -> Kept {
        each.fold(Kept::Yes, |all, one| match (all, one) {
            (Kept::No, _) | (_, Kept::No) => Kept::No,
            (Kept::Open, _) | (_, Kept::Open) => Kept::Open,
            _ => Kept::Yes,
        })
    }
}

/// That something happens with a probability of at most `most`. None at all is meant by 0.
pub fn at_most(hits: u64, trials: u64, most: f64) -> Kept {
    let (low, high) = interval(hits, trials);
    match (most <= 0.0, hits) {
        (true, 0) => Kept::Yes,
        (true, _) => Kept::No,
        _ if high <= most => Kept::Yes,
        _ if low > most => Kept::No,
        _ => Kept::Open,
    }
}

/// That it happens with a probability of at least `least`. Always is meant by 1.
pub fn at_least(hits: u64, trials: u64, least: f64) -> Kept {
    at_most(trials - hits, trials, 1.0 - least)
}

/// The probabilities that so many hits leave open, sure to 95 %: those that each tail of the binomial
/// distribution gives 2.5 % (Clopper and Pearson).
fn interval(hits: u64, trials: u64) -> (f64, f64) {
    let (k, n) = (hits as f64, trials as f64);
    let low = match hits {
        0 => 0.0,
        _ => root(|p| beta_inc(k, n - k + 1.0, p) - 0.025),
    };
    let high = match hits == trials {
        true => 1.0,
        false => root(|p| beta_inc(k + 1.0, n - k, p) - 0.975),
    };
    (low, high)
}

/// Where a function that grows crosses 0.
fn root(of: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        match of(middle) < 0.0 {
            true => low = middle,
            false => high = middle,
        }
    }
    0.5 * (low + high)
}

#[test]
fn limits_are_those_of_the_tables() {
    for (hits, trials, low, high) in [
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (3, 10_000, 0.000_061_9, 0.000_876_5),
    ] {
        let found = interval(hits, trials);
        let near =
            |a: f64, b: f64| (a - b).abs() < 5e-5 && (b == 0.0 || (a / b - 1.0).abs() < 0.03);
        assert!(
            near(found.0, low) && near(found.1, high),
            "{hits} of {trials}: {found:?}"
        );
    }
}

#[test]
fn a_frequency_within_a_promise_is_not_yet_a_promise_kept() {
    assert_eq!(at_most(3, 10_000, 0.001), Kept::Yes);
    assert_eq!(at_most(3, 5_000, 0.001), Kept::Open);
    assert_eq!(at_most(0, 500, 0.001), Kept::Open);
    assert_eq!(at_most(20, 10_000, 0.001), Kept::No);
    assert_eq!(
        (at_most(0, 500, 0.0), at_most(1, 500, 0.0)),
        (Kept::Yes, Kept::No)
    );
    assert_eq!(at_least(9_999, 10_000, 0.99), Kept::Yes);
    assert_eq!(at_least(99, 100, 0.99), Kept::Open);
    assert_eq!(
        (at_least(9, 9, 1.0), at_least(8, 9, 1.0)),
        (Kept::Yes, Kept::No)
    );
}
