//! The few distributions that the judge needs, to about 1e-10.

/// Natural logarithm of the gamma function for x > 0 (Lanczos, g = 7).
pub fn ln_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        // Reflection.
        let pi = std::f64::consts::PI;
        return (pi / (pi * x).sin().abs()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let mut sum = 0.999_999_999_999_809_9;
    for (i, c) in COEFFICIENTS.iter().enumerate() {
        sum += c / (x + i as f64 + 1.0);
    }
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// Regularised incomplete beta function I_x(a, b) (Lentz's continued fraction).
pub fn beta_inc(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front =
        (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    }
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..1_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() < 1e-14 {
            break;
        }
    }
    h
}

/// Distribution function of Student's t.
pub fn t_cdf(t: f64, df: f64) -> f64 {
    let tail = 0.5 * beta_inc(df / 2.0, 0.5, df / (df + t * t));
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// The value that Student's t exceeds with probability `alpha` (0 < alpha < 0.5), one side.
pub fn t_upper(alpha: f64, df: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while 1.0 - t_cdf(high, df) > alpha && high < 1e9 {
        (low, high) = (high, high * 2.0);
    }
    // To the right of 0 the tail is convex: from below, Newton's steps never go too far.
    let half = 0.5 * df;
    let norm = ln_gamma(half + 0.5) - ln_gamma(half) - 0.5 * (df * std::f64::consts::PI).ln();
    for _ in 0..60 {
        let density = (norm - (half + 0.5) * (low * low / df).ln_1p()).exp();
        let step = (1.0 - t_cdf(low, df) - alpha) / density;
        low += step;
        if step.abs() <= 1e-12 * low.abs() {
            break;
        }
    }
    low
}

/// Probability that a standard normal value is at least this far from 0, either side.
pub fn normal_two_sided(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let scale = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x < 2.0 {
        // erf as a series.
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= 2.0 * x * x / (2.0 * f64::from(n) + 1.0);
            sum += term;
        }
        return 1.0 - 2.0 * scale * sum;
    }
    // erfc as a continued fraction, from its far end.
    let mut fraction = x;
    for n in (1..120).rev() {
        fraction = x + f64::from(n) / 2.0 / fraction;
    }
    scale / fraction
}

/// Two-sided exact binomial test: twice the smaller tail, at most 1.
pub fn binomial_two_sided(hits: u64, trials: u64, p: f64) -> f64 {
    if trials == 0 {
        return 1.0;
    }
    let (k, n) = (hits as f64, trials as f64);
    let at_most = if hits >= trials {
        1.0
    } else {
        beta_inc(n - k, k + 1.0, 1.0 - p)
    };
    let at_least = if hits == 0 {
        1.0
    } else {
        beta_inc(k, n - k + 1.0, p)
    };
    (2.0 * at_most.min(at_least)).min(1.0)
}

/// Pearson's chi-square of hits and misses against an expected share (0 < p < 1), one degree of freedom,
/// and the probability of a larger one.
pub fn chi_square(hits: f64, trials: f64, p: f64) -> (f64, f64) {
    let off = hits - trials * p;
    let x = off * off / (trials * p * (1.0 - p));
    (x, normal_two_sided(x.sqrt()))
}

/// Evidence (an e-value) that hits are more probable than `p`, against any probability up to `p`, with a
/// uniform mixture over those above: Robbins' beta-binomial martingale, one side. Exact; it is ever 1/alpha
/// or more with probability alpha at most, however often one looks.
pub fn binomial_evidence(hits: u64, misses: u64, p: f64) -> f64 {
    let (a, b) = (hits as f64 + 1.0, misses as f64 + 1.0);
    let above = 1.0 - beta_inc(a, b, p);
    let beta = ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    (beta + above.ln() - hits as f64 * p.ln() - b * (1.0 - p).ln()).exp()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() < tolerance, "{a} is not {b}");
    }

    #[test]
    fn quantiles_of_t_are_those_of_the_tables() {
        for (alpha, df, value) in [
            (0.05, 1.0, 6.313_752),
            (0.05, 5.0, 2.015_048),
            (0.025, 5.0, 2.570_582),
            (0.025, 10.0, 2.228_139),
            (0.005, 3.0, 5.840_909),
            (0.05, 1e6, 1.644_855),
        ] {
            near(t_upper(alpha, df), value, 1e-5);
        }
    }

    #[test]
    fn binomial_tails_are_those_added_by_hand() {
        // 10 throws, 0 heads: 2 / 1024. 8 of 10: 2 * (45 + 10 + 1) / 1024.
        near(binomial_two_sided(0, 10, 0.5), 2.0 / 1024.0, 1e-12);
        near(binomial_two_sided(8, 10, 0.5), 112.0 / 1024.0, 1e-12);
        near(binomial_two_sided(5, 10, 0.5), 1.0, 1e-12);
        near(binomial_two_sided(3, 3, 0.1), 0.002, 1e-12);
        near(normal_two_sided(1.959_964), 0.05, 1e-6);
        near(normal_two_sided(3.290_527), 0.001, 1e-8);
    }

    #[test]
    fn evidence_is_the_mixture_of_likelihood_ratios_and_keeps_its_promise() {
        // Seven hits, no miss, p = 1/2: 2^7 times the integral of x^7 over (1/2, 1), over 1/2.
        near(
            binomial_evidence(7, 0, 0.5),
            128.0 * 2.0 * (1.0 - 0.5f64.powi(8)) / 8.0,
            1e-9,
        );
        near(binomial_evidence(0, 0, 0.3), 1.0, 1e-12);
        // Under p its mean over one more trial is what it was.
        let (h, m, p) = (4, 3, 0.3);
        let next = p * binomial_evidence(h + 1, m, p) + (1.0 - p) * binomial_evidence(h, m + 1, p);
        near(next, binomial_evidence(h, m, p), 1e-12);
    }

    #[test]
    fn chi_square_is_that_of_the_tables() {
        let (x, p) = chi_square(60.0, 100.0, 0.5);
        near(x, 4.0, 1e-12);
        near(p, 0.045_500, 1e-6);
    }

    #[test]
    fn ln_gamma_gives_factorials() {
        near(ln_gamma(11.0), 3_628_800f64.ln(), 1e-10);
        near(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln(), 1e-10);
    }
}
