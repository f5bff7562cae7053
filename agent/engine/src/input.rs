//! The plan-independent state of one cumulative series, and what its next point says.
//!
//! One [`Input`] a cumulative series (sum of either monotonicity, explicit or exponential
//! histogram, summary), kept in the node's series table, whatever the plan. How to call it:
//! - a series that speaks first: `Input::new(monotonic, returning)`, `returning` where its identity
//!   is remembered as expired. Then, also for that first point:
//! - a point of a series that an aggregate (or `sample every`) looks at in any arm:
//!   [`Input::observe`], once a point, before the arms; the [`Observation`] goes to every arm;
//! - a point of a series that nothing looks at now: [`Input::follow`] (nothing is parsed that is not
//!   needed to know the last point, so that a later plan never starts blind);
//! - [`Input::expired`] is asked before either; a series silent for longer is replaced by a new,
//!   returning `Input`.
//!
//! Gauges, deltas and unspecified temporality need no `Input`. A summary counts as two counters, its
//! sum and its count, that always speak together.

pub mod notes;
pub mod record;

use crate::Nanos;
use crate::aggregate::explicit::{Explicit, shares_bounds};
use crate::aggregate::exponential::Exponential;
use crate::aggregate::number::{Total, is_finite, less};
use crate::aggregate::read::{
    keep_content, read_explicit, read_exponential, read_summary, sum_is_finite,
};
use crate::view::{MetricType, Number, PointView};
pub use notes::Notes;

/// Last point of one cumulative series. 56 bytes, and the kept content of a histogram.
#[derive(Debug, Clone)]
pub struct Input {
    /// `start_time_unix_nano` of the last point.
    start: Nanos,
    /// `time_unix_nano` of the last point.
    time: Nanos,
    /// Between the last two points; 0 after one.
    gap: Nanos,
    /// The engine's now when it last spoke.
    seen: Nanos,
    last: Last,
    monotonic: bool,
    returning: bool,
    ended: bool,
}

/// Content of the last point.
#[derive(Debug, Clone)]
enum Last {
    Nothing,
    /// It has not spoken, and began with nothing.
    Zero,
    Number(Number),
    /// Sum and count of a summary; boxed, as what is below: rarer than numbers.
    Summary(Box<(f64, u64)>),
    /// Fields of a histogram point, as they came; read again when the next point asks for it.
    /// Boxed, so that a number does not take the room of a list.
    #[allow(clippy::box_collection)]
    Content(Box<Vec<u8>>),
}

/// Reused buffers: nothing is allocated per point once they have grown.
#[derive(Debug, Default)]
pub struct Scratch {
    explicit: Explicit,
    earlier_explicit: Explicit,
    exponential: Exponential,
    earlier_exponential: Exponential,
}

/// What a point adds to an aggregate of its series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Increment<'s> {
    /// Nothing (duplicate, baseline, no recorded value, or not monotonic: there the value counts).
    None,
    /// Of a monotonic sum.
    Number(Total),
    /// Of a summary: of its sum and its count.
    Summary(Total, Total),
    /// Of an explicit histogram.
    Explicit(&'s Explicit),
    /// Of an exponential histogram.
    Exponential(&'s Exponential),
    /// NaN or infinite: the point is dropped, the state is as before.
    NotANumber,
    /// It cannot be added: buckets that do not fit their bounds, or have no bound in common with
    /// the point before; a number point without number.
    Unfit,
}

/// What one point of a cumulative series says.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'s> {
    /// What it adds.
    pub increment: Increment<'s>,
    /// What is to be counted where the point is absorbed.
    pub notes: Notes,
    /// Newer than what was known: neither duplicate nor out of order.
    pub advanced: bool,
    /// The point begins a new epoch: new start, or a value that fell. The one before it was the
    /// last of the old epoch.
    pub new_epoch: bool,
    /// Time since the point before; 0 where there was none.
    pub gap: Nanos,
}

/// How a point stands to the last one.
enum Standing {
    First,
    Behind(Notes),
    NewEpoch,
    Same,
}

impl Input {
    /// An input that has not spoken. `returning`: it was known before and has expired.
    pub fn new(monotonic: bool, returning: bool) -> Input {
        Input {
            start: 0,
            time: 0,
            gap: 0,
            seen: 0,
            last: Last::Nothing,
            monotonic,
            returning,
            ended: false,
        }
    }

    /// An input that is known to have begun with nothing, so that its first point counts in full.
    pub fn zero(now: Nanos) -> Input {
        Input {
            seen: now,
            last: Last::Zero,
            ..Input::new(true, false)
        }
    }

    /// Whether it has not spoken: what it says first is told from its beginning.
    pub fn begins(&self) -> bool {
        self.seen == 0 || self.is_zero()
    }

    /// Whether it is known to have begun with nothing, and has not spoken since.
    pub fn is_zero(&self) -> bool {
        matches!(self.last, Last::Zero)
    }

    /// The engine's now when it last spoke.
    pub fn seen(&self) -> Nanos {
        self.seen
    }

    /// Time of its newest point.
    pub fn time(&self) -> Nanos {
        self.time
    }

    /// Start of a histogram's newest point, and the fields of it that increments need.
    pub fn content(&self) -> Option<(Nanos, &[u8])> {
        match &self.last {
            Last::Content(bytes) => Some((self.start, bytes)),
            _ => None,
        }
    }

    /// The same with other content: as a stage writes a histogram anew.
    pub fn with_content(&self, content: Vec<u8>) -> Input {
        Input {
            last: Last::Content(Box::new(content)),
            ..self.clone()
        }
    }

    /// Whether it was known once, has expired, and has not spoken since.
    pub fn is_returning(&self) -> bool {
        self.returning
    }

    /// Whether its newest point had the no-recorded-value flag.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether it has been silent for longer than `expiry`.
    pub fn expired(&self, now: Nanos, expiry: Nanos) -> bool {
        self.seen != 0 && now.saturating_sub(self.seen) > expiry
    }

    /// The series spoke, and its point was held back: it has not vanished.
    pub fn lives(&mut self, now: Nanos) {
        if self.seen != 0 {
            self.seen = now;
        }
    }

    /// Bytes beyond the struct itself.
    pub fn heap_size(&self) -> usize {
        match &self.last {
            Last::Content(bytes) => size_of::<Vec<u8>>() + bytes.capacity(),
            Last::Summary(_) => size_of::<(f64, u64)>(),
            _ => 0,
        }
    }

    /// Takes a point and tells what it adds.
    ///
    /// `began`: when this node began to observe; a first point that started before it is a baseline.
    pub fn observe<'s>(
        &mut self,
        point: &PointView<'_>,
        began: Nanos,
        now: Nanos,
        scratch: &'s mut Scratch,
    ) -> Observation<'s> {
        self.seen = now;
        let mut seen = Observation {
            increment: Increment::None,
            notes: Notes::NONE,
            advanced: false,
            new_epoch: false,
            gap: self.gap,
        };
        let standing = self.standing(point);
        let valued = !point.no_recorded_value();
        if valued && let Some(fault) = read(point, scratch) {
            seen.increment = fault;
            return seen;
        }
        if let Standing::Behind(notes) = standing {
            if valued {
                seen.notes = notes;
            }
            return seen;
        }
        seen.advanced = true;
        if !valued {
            self.ended = true;
            return seen;
        }
        let adds;
        (adds, seen.notes) = never_falling(self.judge(point, &standing, began, scratch));
        // What goes up and down is never reset.
        seen.new_epoch = self.monotonic
            && (matches!(standing, Standing::NewEpoch)
                || seen.notes.has(Notes::RESET)
                || seen.notes.has(Notes::RESET_ANOMALY)
                || (matches!(standing, Standing::Same) && seen.notes.has(Notes::NEGATIVE)));
        self.store(point);
        seen.gap = self.gap;
        seen.increment = match (adds, point.kind) {
            (Adds::Nothing, _) => Increment::None,
            (Adds::Unfit, _) => Increment::Unfit,
            (Adds::Number(total), _) => Increment::Number(total),
            (Adds::Summary(sum, count), _) => Increment::Summary(sum, count),
            (Adds::Content, MetricType::Histogram) => Increment::Explicit(&scratch.explicit),
            (Adds::Content, _) => Increment::Exponential(&scratch.exponential),
        };
        seen
    }

    /// Takes a point that nothing looks at: only what the next one needs is kept.
    pub fn follow(&mut self, point: &PointView<'_>, now: Nanos) {
        self.seen = now;
        if matches!(self.standing(point), Standing::Behind(_)) {
            return;
        }
        if point.no_recorded_value() {
            self.ended = true;
        } else if can_be_added(point) {
            self.store(point);
        }
    }

    fn standing(&self, point: &PointView<'_>) -> Standing {
        if matches!(self.last, Last::Nothing) {
            Standing::First
        } else if point.time == self.time {
            Standing::Behind(Notes::DUPLICATE)
        } else if point.time < self.time {
            Standing::Behind(Notes::OUT_OF_ORDER)
        } else if point.start != self.start && point.start >= self.time {
            Standing::NewEpoch
        } else {
            Standing::Same
        }
    }

    /// What a newer point adds. The point was read into `scratch`; what it adds is left there.
    fn judge(
        &self,
        point: &PointView<'_>,
        standing: &Standing,
        began: Nanos,
        scratch: &mut Scratch,
    ) -> (Adds, Notes) {
        // An unknown start says nothing of when the value began to grow.
        let known = point.start != 0 && point.start != point.time;
        let whole = match (point.kind, point.number) {
            (MetricType::Summary, _) => {
                let (sum, count) = read_summary(point.body);
                Adds::Summary(Total::Double(sum), Total::Int(i128::from(count)))
            }
            (_, Some(number)) => Adds::Number(Total::from(number)),
            (_, None) => Adds::Content,
        };
        match standing {
            _ if !self.monotonic => (Adds::Nothing, Notes::NONE),
            Standing::First if known && point.start >= began && !self.returning => {
                (whole, Notes::NONE)
            }
            Standing::NewEpoch if known => (whole, Notes::NONE),
            Standing::First | Standing::NewEpoch => (Adds::Nothing, Notes::BASELINED),
            Standing::Behind(_) => (Adds::Nothing, Notes::NONE),
            Standing::Same => match self.step(point, scratch) {
                Step::Grew(adds) if point.start != self.start => (adds, Notes::START_DRIFT),
                Step::Grew(adds) => (adds, Notes::NONE),
                Step::Fell(part) => {
                    let anomaly = known && point.start == self.start;
                    let note = if anomaly {
                        Notes::RESET_ANOMALY
                    } else {
                        Notes::RESET
                    };
                    (part.unwrap_or(whole), note)
                }
                Step::Unknown => (Adds::Nothing, Notes::BASELINED),
                Step::Incomparable => (Adds::Unfit, Notes::NONE),
            },
        }
    }

    /// The difference to the last point of the same epoch.
    fn step(&self, point: &PointView<'_>, scratch: &mut Scratch) -> Step {
        match (&self.last, point.number) {
            (Last::Number(earlier), Some(later)) if less(later, *earlier) => Step::Fell(None),
            (Last::Number(earlier), Some(later)) => {
                Step::Grew(Adds::Number(Total::difference(later, *earlier)))
            }
            (Last::Zero, Some(number)) => Step::Grew(Adds::Number(Total::from(number))),
            (Last::Zero, None) => Step::Grew(Adds::Content),
            (Last::Content(earlier), None) => scratch.subtract(point, earlier),
            (Last::Summary(earlier), None) => step_of_summary(read_summary(point.body), **earlier),
            _ => Step::Unknown,
        }
    }

    /// Keeps a point that can be added, as the last one.
    fn store(&mut self, point: &PointView<'_>) {
        let first = matches!(self.last, Last::Nothing);
        match (point.number, &mut self.last) {
            (Some(number), last) => *last = Last::Number(number),
            (None, Last::Summary(kept)) if point.kind == MetricType::Summary => {
                **kept = read_summary(point.body);
            }
            (None, last) if point.kind == MetricType::Summary => {
                *last = Last::Summary(Box::new(read_summary(point.body)));
            }
            (None, Last::Content(kept)) => {
                kept.clear();
                keep_content(point.kind, point.body, kept);
            }
            (None, last) => {
                let mut kept = Vec::new();
                keep_content(point.kind, point.body, &mut kept);
                kept.shrink_to_fit();
                *last = Last::Content(Box::new(kept));
            }
        }
        if !first {
            self.gap = point.time.saturating_sub(self.time);
        }
        (self.start, self.time) = (point.start, point.time);
        (self.ended, self.returning) = (false, false);
    }
}

/// What a newer point adds, without the content itself.
enum Adds {
    Nothing,
    Unfit,
    Number(Total),
    Summary(Total, Total),
    /// A histogram: what lies in the scratch.
    Content,
}

/// A newer point of the same epoch against the one before.
enum Step {
    Grew(Adds),
    /// Something fell: this is added, or the whole value.
    Fell(Option<Adds>),
    /// Nothing of use is known of the one before.
    Unknown,
    /// No bounds in common.
    Incomparable,
}

/// A counter below 0 is none: the whole value of one that begins there would make a total fall.
fn never_falling((adds, notes): (Adds, Notes)) -> (Adds, Notes) {
    match adds {
        Adds::Number(whole) if whole.is_negative() => (Adds::Nothing, Notes::NEGATIVE),
        Adds::Summary(sum, count) if sum.is_negative() => {
            let sum = Total::Double(0.0);
            (Adds::Summary(sum, count), notes.with(Notes::NEGATIVE))
        }
        adds => (adds, notes),
    }
}

/// Each half of a summary by itself, as two counters would.
fn step_of_summary((sum, count): (f64, u64), (before, counted): (f64, u64)) -> Step {
    let grown = match sum < before {
        true => sum,
        false => sum - before,
    };
    let more = count.checked_sub(counted).unwrap_or(count);
    let adds = Adds::Summary(Total::Double(grown), Total::Int(i128::from(more)));
    // A sum that fell below 0 is noted as that.
    if (sum < before && sum >= 0.0) || count < counted {
        Step::Fell(Some(adds))
    } else {
        Step::Grew(adds)
    }
}

/// Reads what the point holds into the scratch; a fault where it cannot be added.
fn read(point: &PointView<'_>, scratch: &mut Scratch) -> Option<Increment<'static>> {
    match (point.kind, point.number) {
        (MetricType::Gauge | MetricType::Sum, Some(number)) => {
            (!is_finite(number)).then_some(Increment::NotANumber)
        }
        (MetricType::Histogram, _) => {
            read_explicit(point.body, &mut scratch.explicit);
            match scratch.explicit.sum {
                Some(sum) if !sum.is_finite() => Some(Increment::NotANumber),
                _ if !scratch.explicit.is_well_formed() => Some(Increment::Unfit),
                _ => None,
            }
        }
        (MetricType::ExponentialHistogram, _) => {
            read_exponential(point.body, &mut scratch.exponential);
            let infinite = scratch.exponential.sum.is_some_and(|sum| !sum.is_finite());
            infinite.then_some(Increment::NotANumber)
        }
        (MetricType::Summary, _) => {
            let (sum, _) = read_summary(point.body);
            (!sum.is_finite()).then_some(Increment::NotANumber)
        }
        _ => Some(Increment::Unfit),
    }
}

/// Whether a point that nobody reads can be kept as the last one.
fn can_be_added(point: &PointView<'_>) -> bool {
    match point.kind {
        MetricType::Gauge | MetricType::Sum => point.number.is_some_and(is_finite),
        MetricType::Summary => read_summary(point.body).0.is_finite(),
        _ => sum_is_finite(point.body),
    }
}

impl Scratch {
    /// Takes the earlier content from what was read of the point.
    fn subtract(&mut self, point: &PointView<'_>, earlier: &[u8]) -> Step {
        let fell = if point.kind == MetricType::Histogram {
            read_explicit(earlier, &mut self.earlier_explicit);
            if !self.earlier_explicit.is_well_formed() {
                return Step::Unknown;
            }
            let (now, before) = (&mut self.explicit, &self.earlier_explicit);
            if now.count >= before.count && !shares_bounds(&now.bounds, &before.bounds) {
                return Step::Incomparable;
            }
            now.subtract(before).is_err()
        } else {
            read_exponential(earlier, &mut self.earlier_exponential);
            self.exponential
                .subtract(&mut self.earlier_exponential)
                .is_err()
        };
        if fell {
            // The difference is of no use; the whole content is.
            read(point, self);
            return Step::Fell(None);
        }
        Step::Grew(Adds::Content)
    }
}

#[cfg(test)]
mod tests;
