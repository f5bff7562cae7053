//! Volumes of the fleet: points and bytes are added; series are a union of sketches, exact where one
//! agent saw them.

use super::select::Selection;
use crate::criteria::Measure;
use crate::window::{Arm, Cardinality, Volume, Window};
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

/// The flow of some reports of one window. `None`: a count is not known.
pub fn flow(reports: &[&Window], measure: Measure) -> Option<Flow> {
    let arms = |pick: fn(&Window) -> Option<&Arm>| -> Vec<&Arm> {
        reports.iter().filter_map(|w| pick(w)).collect()
    };
    let (baseline_in, baseline_out) = volumes(&arms(Window::baseline_arm), measure)?;
    let (candidate_in, candidate_out) = volumes(&arms(Window::candidate_arm), measure)?;
    Some(Flow {
        baseline_in,
        baseline_out,
        candidate_in,
        candidate_out,
    })
}

/// What an arm has outside the comparison. What came in an earlier window may leave in this one.
fn part(arm: &Arm) -> Option<Volume> {
    let outside = arm.unassigned;
    outside.filter(|v| v.points_in > 0 || v.points_out > 0)
}

/// Bytes inside the comparison; `figure`: all, and those inside. Points share their resource's bytes, also with
/// points outside: where agents do not count those inside by themselves, they are not known.
fn bytes(arms: &[&Arm], figure: fn(&Arm) -> (u64, Option<u64>)) -> Option<Amount> {
    let each = arms.iter().map(|arm| match figure(arm) {
        (_, Some(inside)) => Some(inside),
        (all, None) => part(arm).is_none().then_some(all),
    });
    let total: Option<u64> = each.sum();
    total.map(|n| Amount::exact(n as f64))
}

/// What came into arms and what left them, without what is outside the comparison.
fn volumes(arms: &[&Arm], measure: Measure) -> Option<(Amount, Amount)> {
    let sum = |all: fn(&Arm) -> Option<u64>, outside: fn(&Volume) -> Option<u64>| {
        let each = arms.iter().map(|arm| {
            let part = part(arm);
            Some(all(arm)?.saturating_sub(part.map_or(Some(0), |v| outside(&v))?))
        });
        let total: Option<u64> = each.sum();
        total.map(|n| Amount::exact(n as f64))
    };
    Some(match measure {
        Measure::Points => (
            sum(|a| Some(a.ledger.received), |v| Some(v.points_in))?,
            sum(|a| Some(a.ledger.exported), |v| Some(v.points_out))?,
        ),
        Measure::Bytes => (
            bytes(arms, |a| (a.bytes_in, a.compared_bytes_in))?,
            bytes(arms, |a| (a.bytes_out, a.compared_bytes_out))?,
        ),
        Measure::Samples => (
            sum(|a| a.samples_in, |v| v.samples_in)?,
            sum(|a| a.samples_out, |v| v.samples_out)?,
        ),
        Measure::Series => (series(arms, &CAME)?, series(arms, &LEFT)?),
        Measure::Money => return None,
    })
}

/// Where a report tells of series: all, those inside the comparison, how many are outside.
struct Told {
    all: fn(&Arm) -> &Cardinality,
    inside: fn(&Arm) -> Option<&Cardinality>,
    outside: fn(&Volume) -> u64,
}

const CAME: Told = Told {
    all: |a| &a.series_in,
    inside: |a| a.compared_series_in.as_ref(),
    outside: |v| v.series_in,
};
const LEFT: Told = Told {
    all: |a| &a.series_out,
    inside: |a| a.compared_series_out.as_ref(),
    outside: |v| v.series_out,
};

/// The series of arms inside the comparison. Where only a number is known of those outside, several reports
/// may speak of the same ones or of others: as many as all of them say, or only as many as one.
fn series(arms: &[&Arm], told: &Told) -> Option<Amount> {
    let inside = |arm| (told.inside)(arm);
    let counts = arms.iter().copied();
    let all = union(counts.map(|a| inside(a).unwrap_or_else(|| (told.all)(a))))?;
    let counted = arms.iter().filter(|arm| inside(arm).is_none());
    let outside = counted.filter_map(|arm| arm.unassigned.as_ref());
    let outside: Vec<u64> = outside.map(told.outside).collect();
    let sum = outside.iter().sum::<u64>() as f64;
    let most = outside.iter().copied().max().unwrap_or(0) as f64;
    Some(Amount {
        value: (all.value - sum).max(0.0),
        low: (all.low - sum).max(0.0),
        high: (all.high - most).max(0.0),
    })
}

/// The series that each arm wrote in all comparable windows together, as a union of sketches, without those
/// outside the comparison. `None`: some window has no sketch.
pub fn over_all_windows(selection: &Selection<'_>) -> Option<(Amount, Amount)> {
    let all = |pick: fn(&Window) -> Option<&Arm>| {
        let arms: Vec<&Arm> = selection.comparable().filter_map(pick).collect();
        series(&arms, &LEFT)
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
