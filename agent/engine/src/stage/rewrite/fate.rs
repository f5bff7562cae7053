//! What an op makes of a point: decided first, written then.

use super::slots::Kept;
use super::{histogram, quantise, temporality};
use crate::Nanos;
use crate::aggregate::explicit::Explicit;
use crate::aggregate::exponential::Exponential;
use crate::aggregate::number::{Total, is_finite};
use crate::aggregate::read::{read_explicit, read_exponential};
use crate::compile::Op;
use crate::input::{Notes, Observation};
use crate::view::{MetricType, PointView, Temporality};

/// Reused buffers.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) explicit: Explicit,
    pub(super) exponential: Exponential,
}

impl Scratch {
    /// Reads a delta of a sum or histogram; what becomes of one that cannot be added.
    pub(super) fn read_delta(&mut self, point: &PointView<'_>) -> Option<Fate> {
        let infinite = |sum: Option<f64>| sum.is_some_and(|sum| !sum.is_finite());
        match (point.kind, point.number) {
            (MetricType::Histogram, _) => {
                read_explicit(point.body, &mut self.explicit);
                if infinite(self.explicit.sum) {
                    return Some(Fate::Drop(temporality::NAN));
                }
                (!self.explicit.is_well_formed()).then_some(Fate::Pass(histogram::UNFIT))
            }
            (MetricType::ExponentialHistogram, _) => {
                read_exponential(point.body, &mut self.exponential);
                infinite(self.exponential.sum).then_some(Fate::Drop(temporality::NAN))
            }
            (_, Some(number)) if !is_finite(number) => Some(Fate::Drop(temporality::NAN)),
            // A total would fall.
            (_, Some(number)) => Total::from(number)
                .is_negative()
                .then_some(Fate::Pass(temporality::NEGATIVE)),
            (_, None) => Some(Fate::Pass(histogram::UNFIT)),
        }
    }
}

/// What is to be counted about a point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said {
    /// What the series' state noted.
    pub notes: Notes,
    /// What the stage noted.
    pub reason: Option<&'static str>,
}

impl Said {
    pub(super) fn reason(reason: Option<&'static str>) -> Said {
        Said {
            notes: Notes::NONE,
            reason,
        }
    }
}

/// What is to become of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is written anew.
    Write(Said),
    /// It adds nothing, or the next point says it too.
    Withhold(Said),
    /// It has no value that can be added.
    Drop(&'static str),
    /// It goes on as it came, as a series of its own.
    Pass(&'static str),
}

/// Where a written point goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// To the later stages.
    Later,
    /// To the output: no later stage keeps anything of it.
    Output,
    /// Nowhere: a later stage drops it, whatever it holds.
    Nowhere,
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// It waits in a buffer, unless its sink is nowhere.
    Written {
        /// Prometheus samples that it is.
        samples: u64,
        /// What is to be counted.
        said: Said,
    },
    /// It ends here.
    Withheld(Said),
    /// It is lost, for this reason.
    Dropped(&'static str),
    /// It goes on as it came, for this reason.
    Passes(&'static str),
    /// The slot has expired, or what surrounds the series is another than it was.
    Stale,
}

/// What an op does with a point.
pub enum Verdict {
    /// It wrote it.
    Written,
    /// It wrote it, mostly as it came, and this is to be said of it.
    Noted(&'static str),
}

impl Verdict {
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Verdict::Written => None,
            Verdict::Noted(reason) => Some(reason),
        }
    }
}

impl Op {
    /// What is to become of a point, which is remembered here where the series has a slot.
    pub(super) fn judge(
        &self,
        kept: Option<&mut Kept>,
        (point, seen): (&PointView<'_>, Option<&Observation<'_>>),
        floor: Nanos,
        scratch: &mut Scratch,
    ) -> Fate {
        match (self, kept) {
            (Op::Histogram(buckets), Some(kept)) => {
                kept.spread().take(point, seen, &buckets.bounds, scratch)
            }
            (Op::Temporality { to }, Some(kept)) if *to == Temporality::Cumulative => {
                temporality::to_cumulative(point, kept.running(), floor, scratch)
            }
            (Op::Temporality { .. }, _) => match seen {
                Some(seen) => temporality::to_delta(point, seen),
                None => Fate::Pass(histogram::UNFIT),
            },
            (Op::Quantise { .. } | Op::Histogram(_), _) => Fate::Write(Said::default()),
        }
    }

    /// Appends the body of a point that is to be written.
    pub(super) fn put(
        &self,
        kept: Option<&mut Kept>,
        (point, seen): (&PointView<'_>, Option<&Observation<'_>>),
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Verdict {
        match (self, kept, seen) {
            (Op::Quantise { digits }, ..) => return quantise::put(point, *digits, out),
            (Op::Histogram(buckets), None, _) => return buckets.put(point, scratch, out),
            (Op::Histogram(buckets), Some(kept), _) => {
                kept.spread().put(point, &buckets.bounds, out);
            }
            (Op::Temporality { to }, Some(kept), _) if *to == Temporality::Cumulative => {
                temporality::put_cumulative(point, kept.running(), out);
            }
            (Op::Temporality { .. }, _, Some(seen)) => temporality::put_delta(point, seen, out),
            (Op::Temporality { .. }, ..) => {}
        }
        Verdict::Written
    }
}
