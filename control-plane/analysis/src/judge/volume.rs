//! Volumes of the fleet: points and bytes are added; series are a union of sketches, exact where one
//! agent saw them.

use super::select::Selection;
use crate::criteria::Measure;
use crate::window::{Arm, Cardinality, Window};
use phoenix_engine::sketch::Sketch;

/// A volume and what it can be at the least and at the most.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Amount {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Amount {
    pub fn exact(value: f64) -> Amount {
        Amount {
            value,
            low: value,
            high: value,
        }
    }

    pub fn is_exact(self) -> bool {
        self.low >= self.high
    }

    /// Half the width of two standard deviations each side.
    pub fn deviation(self) -> f64 {
        (self.high - self.low) / 4.0
    }

    fn plus(self, other: Amount) -> Amount {
        Amount {
            value: self.value + other.value,
            low: self.low + other.low,
            high: self.high + other.high,
        }
    }

    fn minus(self, known: f64) -> Amount {
        Amount {
            value: (self.value - known).max(0.0),
            low: (self.low - known).max(0.0),
            high: (self.high - known).max(0.0),
        }
    }
}

/// What came into and out of both arms.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Flow {
    pub baseline_in: Amount,
    pub baseline_out: Amount,
    pub candidate_in: Amount,
    pub candidate_out: Amount,
}

impl Flow {
    pub fn plus(self, other: Flow) -> Flow {
        Flow {
            baseline_in: self.baseline_in.plus(other.baseline_in),
            baseline_out: self.baseline_out.plus(other.baseline_out),
            candidate_in: self.candidate_in.plus(other.candidate_in),
            candidate_out: self.candidate_out.plus(other.candidate_out),
        }
    }

    pub fn is_exact(self) -> bool {
        self.baseline_in.is_exact()
            && self.baseline_out.is_exact()
            && self.candidate_in.is_exact()
            && self.candidate_out.is_exact()
    }
}

/// The flow of some reports of one window. `None`: a series count is not known.
pub fn flow(reports: &[&Window], measure: Measure) -> Option<Flow> {
    let arms = |pick: fn(&Window) -> Option<&Arm>| -> Vec<&Arm> {
        reports.iter().filter_map(|w| pick(w)).collect()
    };
    let baseline = arms(Window::baseline_arm);
    let candidate = arms(Window::candidate_arm);
    let left_out = |figure: fn(&crate::window::Volume) -> u64| -> f64 {
        let parts = baseline.iter().filter_map(|a| a.unassigned.as_ref());
        parts.map(figure).sum::<u64>() as f64
    };
    let (unassigned_in, unassigned_out) = match measure {
        Measure::Points => (left_out(|v| v.points_in), left_out(|v| v.points_out)),
        Measure::Bytes => (left_out(|v| v.bytes_in), left_out(|v| v.bytes_out)),
        Measure::Series => (left_out(|v| v.series_in), left_out(|v| v.series_out)),
    };
    let (baseline_in, baseline_out) = volumes(&baseline, measure)?;
    let (candidate_in, candidate_out) = volumes(&candidate, measure)?;
    Some(Flow {
        baseline_in: baseline_in.minus(unassigned_in),
        baseline_out: baseline_out.minus(unassigned_out),
        candidate_in,
        candidate_out,
    })
}

fn volumes(arms: &[&Arm], measure: Measure) -> Option<(Amount, Amount)> {
    let sum =
        |figure: fn(&Arm) -> u64| Amount::exact(arms.iter().map(|a| figure(a)).sum::<u64>() as f64);
    Some(match measure {
        Measure::Points => (sum(|a| a.ledger.received), sum(|a| a.ledger.exported)),
        Measure::Bytes => (sum(|a| a.bytes_in), sum(|a| a.bytes_out)),
        Measure::Series => (
            union(arms.iter().map(|a| &a.series_in))?,
            union(arms.iter().map(|a| &a.series_out))?,
        ),
    })
}

/// The series that one arm wrote in all comparable windows together, as a union of sketches.
/// `None`: some window has no sketch.
pub fn over_all_windows(selection: &Selection<'_>) -> Option<(Amount, Amount)> {
    let all = |pick: fn(&Window) -> Option<&Arm>| {
        let arms = selection.comparable().filter_map(pick);
        union(arms.map(|a| &a.series_out))
    };
    Some((all(Window::baseline_arm)?, all(Window::candidate_arm)?))
}

/// Distinct identities of several counts: not fewer than the largest of them, not more than all
/// added, and in between what the sketches say.
pub fn union<'a>(counts: impl Iterator<Item = &'a Cardinality>) -> Option<Amount> {
    let counts: Vec<&Cardinality> = counts.filter(|c| c.exact != Some(0)).collect();
    match counts.as_slice() {
        [] => return Some(Amount::exact(0.0)),
        [one] => {
            return match one.exact {
                Some(n) => Some(Amount::exact(n as f64)),
                None => sketched(&counts),
            };
        }
        _ => {}
    }
    let known: Option<Vec<u64>> = counts.iter().map(|c| c.exact).collect();
    let (Some(known), estimate) = (known, sketched(&counts)) else {
        return sketched(&counts);
    };
    let least = known.iter().copied().max().unwrap_or(0) as f64;
    let most = known.iter().sum::<u64>() as f64;
    let estimate = estimate?;
    Some(Amount {
        value: estimate.value.clamp(least, most),
        low: estimate.low.clamp(least, most),
        high: estimate.high.clamp(least, most),
    })
}

fn sketched(counts: &[&Cardinality]) -> Option<Amount> {
    let mut united: Option<Sketch> = None;
    for count in counts {
        if count.sketch.is_empty() {
            return None;
        }
        let sketch = Sketch::from_bytes(&count.sketch).ok()?;
        match &mut united {
            Some(all) => all.merge(&sketch),
            None => united = Some(sketch),
        }
    }
    let united = united?;
    let (low, high) = united.bounds();
    Some(Amount {
        value: united.estimate(),
        low,
        high,
    })
}
