//! Confidence sequences for a contrast of two arms: bounds that hold at every look at once.
//!
//! Construction (docs/judge.md): the contrast of totals is linearised over blocks of consecutive windows;
//! the blocks' residuals go into the anytime-valid t-test of Wang and Ramdas (2025, "Anytime-valid t-tests
//! and confidence sequences for Gaussian means with unknown variance", after Lai 1976) with a normal
//! mixture over the standardised effect, inverted. Windows that depend on one another are met twice: the
//! variance of single windows is raised by their autocorrelation, estimated upwards, and the same is done
//! with blocks of 2, 4, 8, ... windows. The widest bound counts, so that it is enough that one of these
//! levels is right.

/// Windows that a bound needs.
pub const MIN_WINDOWS: usize = 12;

/// Blocks that a level of longer blocks needs.
const MIN_BLOCKS: usize = 12;

/// Variance of the mixture over the effect, in units of a block's variance: tightest around 12 to 100
/// blocks.
const MIXTURE: f64 = 0.5;

/// Standard errors that are added to the estimated autocorrelation.
const CAUTION: f64 = 2.0;

/// An autocorrelation is not taken as larger: (1 + r) / (1 - r) is 66 here.
const MOST_CORRELATED: f64 = 0.97;

/// A figure and what it is divided by: points out and in, CPU seconds and points, nanoseconds and requests.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Share {
    /// What is counted.
    pub of: f64,
    /// Per so much.
    pub per: f64,
}

/// Both arms in one window (or block, or agent).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pair {
    /// Baseline.
    pub baseline: Share,
    /// Candidate.
    pub candidate: Share,
}

impl Pair {
    /// Both together.
    pub fn plus(self, other: Pair) -> Pair {
        let add = |a: Share, b: Share| Share {
            of: a.of + b.of,
            per: a.per + b.per,
        };
        Pair {
            baseline: add(self.baseline, other.baseline),
            candidate: add(self.candidate, other.candidate),
        }
    }
}

/// How the arms are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contrast {
    /// (candidate of / per) / (baseline of / per); bounds are found for its logarithm.
    Ratio,
    /// candidate of / per - baseline of / per.
    Difference,
}

/// Bounds of a contrast, and how they were found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// From the totals of all windows.
    pub estimate: f64,
    /// The truth is not below.
    pub low: f64,
    /// The truth is not above.
    pub high: f64,
    /// Windows that these bounds stand on.
    pub windows: usize,
    /// Windows in a block, at the level with the widest bounds.
    pub block: usize,
    /// Standard error at that level; of the logarithm where a ratio is bounded.
    pub standard_error: f64,
    /// Probability that the truth is ever outside, both sides together.
    pub alpha: f64,
}

/// What was found at one level: an estimate on the scale of the bounds, and half their width.
#[derive(Debug, Clone, Copy)]
struct Level {
    centre: f64,
    half: f64,
    standard_error: f64,
}

/// The contrast of the totals. `None`: something is 0 that divides.
pub fn estimate(total: Pair, contrast: Contrast) -> Option<f64> {
    let (b, c) = (total.baseline, total.candidate);
    if b.per <= 0.0 || c.per <= 0.0 {
        return None;
    }
    match contrast {
        Contrast::Ratio => (b.of > 0.0).then(|| c.of / c.per * (b.per / b.of)),
        Contrast::Difference => Some(c.of / c.per - b.of / b.per),
    }
}

/// What each part adds to the error of the contrast (delta method); of its logarithm for a ratio.
pub fn residuals(parts: &[Pair], contrast: Contrast) -> Option<Vec<f64>> {
    let total = parts.iter().copied().reduce(Pair::plus)?;
    estimate(total, contrast)?;
    let (b, c) = (total.baseline, total.candidate);
    let ratio = |part: &Pair| {
        let candidate = if c.of > 0.0 {
            part.candidate.of / c.of - part.candidate.per / c.per
        } else {
            0.0
        };
        candidate - (part.baseline.of / b.of - part.baseline.per / b.per)
    };
    let difference = |part: &Pair| {
        let arm =
            |part: Share, total: Share| (part.of - total.of / total.per * part.per) / total.per;
        arm(part.candidate, c) - arm(part.baseline, b)
    };
    Some(match contrast {
        Contrast::Ratio => parts.iter().map(ratio).collect(),
        Contrast::Difference => parts.iter().map(difference).collect(),
    })
}

/// Bounds at level `alpha` (both sides, all looks) from windows in order of time. `known_error` is a
/// standard error that more windows do not lessen (sketches), on the scale of the bounds.
///
/// `None`: fewer windows than [`MIN_WINDOWS`], or nothing to divide by.
pub fn sequence(
    windows: &[Pair],
    contrast: Contrast,
    alpha: f64,
    known_error: f64,
) -> Option<Bounds> {
    if windows.len() < MIN_WINDOWS {
        return None;
    }
    let total = windows.iter().copied().reduce(Pair::plus)?;
    let estimate = estimate(total, contrast)?;
    let mut bounds: Option<Bounds> = None;
    let (mut blocks, mut block) = (windows.to_vec(), 1);
    while block == 1 || blocks.len() >= MIN_BLOCKS {
        let level = level(&blocks, contrast, alpha, known_error, block == 1)?;
        let (low, high) = (level.centre - level.half, level.centre + level.half);
        let found = bounds.get_or_insert(Bounds {
            estimate,
            low,
            high,
            windows: windows.len(),
            block,
            standard_error: level.standard_error,
            alpha,
        });
        if high - low > found.high - found.low {
            (found.block, found.standard_error) = (block, level.standard_error);
        }
        (found.low, found.high) = (found.low.min(low), found.high.max(high));
        blocks = blocks
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[a, b]| a.plus(*b))
            .collect();
        block *= 2;
    }
    bounds.map(|found| unscaled(found, contrast))
}

/// From the logarithm back to the ratio.
fn unscaled(bounds: Bounds, contrast: Contrast) -> Bounds {
    match contrast {
        Contrast::Difference => bounds,
        Contrast::Ratio => Bounds {
            low: bounds.low.exp().min(bounds.estimate),
            high: bounds.high.exp().max(bounds.estimate),
            ..bounds
        },
    }
}

fn level(
    blocks: &[Pair],
    contrast: Contrast,
    alpha: f64,
    known_error: f64,
    single: bool,
) -> Option<Level> {
    let total = blocks.iter().copied().reduce(Pair::plus)?;
    let estimate = estimate(total, contrast)?;
    let centre = match contrast {
        Contrast::Difference => estimate,
        // Nothing left the candidate at all: the ratio is 0, without error.
        Contrast::Ratio => estimate.max(f64::MIN_POSITIVE).ln(),
    };
    let errors = residuals(blocks, contrast)?;
    let n = errors.len() as f64;
    let mut variance = n / (n - 1.0) * errors.iter().map(|e| e * e).sum::<f64>();
    if single {
        let r = autocorrelation(&errors);
        variance *= (1.0 + r) / (1.0 - r);
    }
    let standard_error = (variance + known_error * known_error).sqrt();
    Some(Level {
        centre,
        half: if standard_error > 0.0 {
            radius(errors.len(), alpha)? * standard_error
        } else {
            0.0
        },
        standard_error,
    })
}

/// Lag-1 autocorrelation of residuals, not below 0: freed of its bias in short series, and taken
/// [`CAUTION`] standard errors higher than it was found.
fn autocorrelation(errors: &[f64]) -> f64 {
    let n = errors.len() as f64;
    let square: f64 = errors.iter().map(|e| e * e).sum();
    if square <= 0.0 || n <= 4.0 {
        return 0.0;
    }
    let product: f64 = errors
        .iter()
        .zip(errors.iter().skip(1))
        .map(|(a, b)| a * b)
        .sum();
    let raised = n * product / square + 1.0 + CAUTION * n.sqrt();
    (raised / (n - 4.0)).clamp(0.0, MOST_CORRELATED)
}

/// How many standard errors the mean of `n` blocks is from the truth at the most, at every n together,
/// with probability 1 - alpha. `None`: n is too small for any bound.
pub fn radius(n: usize, alpha: f64) -> Option<f64> {
    let n = n as f64;
    let r = 1.0 + n * MIXTURE;
    let k = (r.sqrt() / alpha).powf(2.0 / n);
    (n >= 2.0 && k < r).then(|| ((n - 1.0) * (k - 1.0) / (1.0 - k / r)).sqrt())
}

/// The highest lower bound of any stretch of windows that lasts to the end, so that what begins late is
/// not hidden by what came before: sequences begin anew every [`MIN_WINDOWS`] windows, and alpha is
/// divided among them all.
pub fn lately_at_least(windows: &[Pair], contrast: Contrast, alpha: f64) -> Option<f64> {
    (0..windows.len() / MIN_WINDOWS)
        .filter_map(|j| {
            let spent = alpha / ((j + 1) * (j + 2)) as f64;
            let rest = windows.get(j * MIN_WINDOWS..)?;
            sequence(rest, contrast, spent, 0.0).map(|bounds| bounds.low)
        })
        .reduce(f64::max)
}
