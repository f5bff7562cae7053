//! One series that queries read: its last point, and what the next one adds.

use crate::Nanos;
use crate::aggregate::explicit::Explicit;
use crate::aggregate::read::{read_explicit, read_summary};
use crate::view::{MetricType, MetricView, PointView, Temporality};
use std::collections::VecDeque;

/// How values of a series follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// A level.
    Level,
    /// A total that only a reset lets fall.
    Total,
    /// Each point is what was added.
    Change,
}

impl Course {
    /// Of a metric's series.
    pub fn of(metric: &MetricView<'_>) -> Course {
        match metric.kind {
            MetricType::Gauge => Course::Level,
            MetricType::Summary => Course::Total,
            _ if metric.temporality == Temporality::Delta => Course::Change,
            MetricType::Sum if !metric.monotonic => Course::Level,
            _ => Course::Total,
        }
    }
}

/// A value of a series in one group of one aggregation.
#[derive(Debug, Clone)]
pub struct Seat {
    /// Which aggregation.
    pub inner: u32,
    /// Which of the point's values.
    pub part: usize,
    /// Number of the group.
    pub group: u32,
    /// By step: what was added in it, or its last value and when. Unused where only sums are asked.
    pub recent: VecDeque<Moment>,
}

/// What a series gave in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Number of the step.
    pub step: u64,
    /// Time of the point.
    pub time: Nanos,
    /// Added in the step, or last in it; `None`: the series ended.
    pub value: Option<f64>,
}

/// One series.
#[derive(Debug)]
pub struct Series {
    /// How its values follow each other.
    pub course: Course,
    /// Who reads it; empty: nobody.
    pub seats: Vec<Seat>,
    /// Canonical identity.
    pub identity: u128,
    /// The engine's now when it last spoke.
    pub seen: Nanos,
    /// Whether it has a form in Prometheus.
    pub fits: bool,
    /// Time of the newest point that was counted.
    pub counted: Nanos,
    /// The step in which it was counted last.
    pub spoke: u64,
    /// Of the last point.
    pub bounds: Vec<f64>,
    values: Vec<f64>,
    start: Nanos,
    time: Nanos,
}

/// What a point says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Nothing: it is not newer, or no number.
    Nothing,
    /// The series ended.
    Ended,
    /// Values, and (where it is not the first) what they add.
    Values {
        /// Whether `adds` holds something.
        adds: bool,
    },
}

/// Reused buffers.
#[derive(Debug, Default)]
pub struct Scratch {
    explicit: Explicit,
    /// Values of the point at hand.
    pub values: Vec<f64>,
    /// What each adds.
    pub adds: Vec<f64>,
}

impl Scratch {
    /// Reads the point's values; false: it has none.
    pub fn read(&mut self, point: &PointView<'_>) -> bool {
        self.values.clear();
        self.explicit.bounds.clear();
        match point.kind {
            MetricType::Gauge | MetricType::Sum => {
                let value = point.number.map(|n| n.as_f64()).filter(|n| n.is_finite());
                self.values.extend(value);
            }
            MetricType::Summary => {
                let (sum, count) = read_summary(point.body);
                self.values.extend([sum, count as f64]);
            }
            MetricType::Histogram => {
                read_explicit(point.body, &mut self.explicit);
                if !self.explicit.is_well_formed() {
                    return false;
                }
                let mut below = 0;
                let buckets = self.explicit.counts.iter().take(self.explicit.bounds.len());
                self.values.extend(buckets.map(|count| {
                    below += count;
                    below as f64
                }));
                let count = self.explicit.count as f64;
                let sum = self.explicit.sum.unwrap_or_default();
                self.values.extend([count, sum, count]);
            }
            MetricType::ExponentialHistogram => {}
        }
        !self.values.is_empty() && self.values.iter().all(|v| v.is_finite())
    }

    /// Bounds of the point at hand, where it is a histogram.
    pub fn bounds(&self) -> &[f64] {
        &self.explicit.bounds
    }
}

impl Series {
    /// A series that has not spoken.
    pub fn new(identity: u128, course: Course, seen: Nanos) -> Series {
        Series {
            course,
            seats: Vec::new(),
            identity,
            seen,
            fits: false,
            counted: 0,
            spoke: 0,
            bounds: Vec::new(),
            values: Vec::new(),
            start: 0,
            time: 0,
        }
    }

    /// Forgets the last point: its values are of other buckets.
    pub fn forget(&mut self) {
        self.values.clear();
    }

    /// Takes a point whose values are in `scratch`; leaves there what they add. `began`: a total that
    /// started since then and speaks first counts from 0.
    pub fn take(&mut self, point: &PointView<'_>, began: Nanos, scratch: &mut Scratch) -> Says {
        let first = self.values.len() != scratch.values.len();
        if point.time <= self.time && self.course != Course::Change && self.time > 0 {
            return Says::Nothing;
        }
        // An unknown start says nothing of when the value began to grow: a baseline.
        let known = point.start != 0 && point.start != point.time;
        let moved = point.start != self.start && point.start >= self.time;
        let (anew, baseline) = match self.course {
            Course::Change => (true, false),
            Course::Level => (false, first),
            Course::Total if first => {
                let anew = known && point.start >= began.max(self.time);
                (anew, !anew)
            }
            Course::Total => (moved && known, moved && !known),
        };
        scratch.adds.clear();
        let last = self.values.iter().copied().map(Some);
        let last = last.chain(std::iter::repeat(None));
        scratch.adds.extend(
            scratch
                .values
                .iter()
                .zip(last)
                .map(|(new, last)| match last {
                    Some(last) if !anew && *new >= last => new - last,
                    _ => *new,
                }),
        );
        self.values.clone_from(&scratch.values);
        (self.start, self.time) = (point.start, self.time.max(point.time));
        Says::Values { adds: !baseline }
    }

    /// The series ended at this time.
    pub fn end(&mut self, time: Nanos) -> Says {
        if time <= self.time {
            return Says::Nothing;
        }
        self.time = time;
        Says::Ended
    }

    /// Bytes beyond the struct itself.
    pub fn heap(&self) -> usize {
        let recent: usize = self.seats.iter().map(|s| s.recent.capacity()).sum();
        self.seats.capacity() * size_of::<Seat>()
            + recent * size_of::<Moment>()
            + (self.values.capacity() + self.bounds.capacity()) * 8
    }
}

impl Seat {
    /// Adds to what was added in a step.
    pub fn add(&mut self, step: u64, time: Nanos, adds: f64) {
        match self.recent.iter_mut().rev().find(|m| m.step == step) {
            Some(moment) => moment.value = Some(moment.value.unwrap_or_default() + adds),
            None => self.put(Moment {
                step,
                time,
                value: Some(adds),
            }),
        }
    }

    /// Notes the last value in a step.
    pub fn set(&mut self, step: u64, time: Nanos, value: Option<f64>) {
        match self.recent.iter_mut().rev().find(|m| m.step == step) {
            Some(moment) if moment.time <= time => *moment = Moment { step, time, value },
            Some(_) => {}
            None => self.put(Moment { step, time, value }),
        }
    }

    fn put(&mut self, moment: Moment) {
        let after = self
            .recent
            .iter()
            .rev()
            .take_while(|m| m.step > moment.step);
        let place = self.recent.len() - after.count();
        self.recent.insert(place, moment);
    }

    /// What was added in the `over` steps up to this one; forgets what no later step asks for.
    pub fn added(&mut self, step: u64, over: u64) -> Option<f64> {
        while self.recent.front().is_some_and(|m| m.step + over <= step) {
            self.recent.pop_front();
        }
        let of = self.recent.iter().take_while(|m| m.step <= step);
        of.filter_map(|m| m.value).reduce(|a, b| a + b)
    }

    /// The last value up to the end of a step, unless it is older than `oldest`.
    pub fn last(&mut self, step: u64, oldest: Nanos) -> Option<f64> {
        while self.recent.get(1).is_some_and(|next| next.step <= step) {
            self.recent.pop_front();
        }
        let last = self.recent.front().filter(|m| m.step <= step)?;
        last.value.filter(|_| last.time > oldest)
    }
}
