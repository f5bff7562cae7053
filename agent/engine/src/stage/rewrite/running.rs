//! The running total of a delta series: where it starts, what it holds, when it begins anew.

use super::temporality::{put_number, put_start};
use super::{Fate, Said, Scratch};
use crate::Nanos;
use crate::aggregate::encode::{put_explicit, put_exponential};
use crate::aggregate::explicit::Explicit;
use crate::aggregate::exponential::Exponential;
use crate::aggregate::number::Total;
use crate::input::Input;
use crate::view::{MetricType, PointView};
use crate::wire::otlp::point as common;
use crate::wire::write;

/// A delta was added that is no newer than what was written; the next point says so.
pub const LATE: &str = "late";
/// The total began anew, because a number did not fit.
pub const SATURATED: &str = "saturated";
/// The total began anew, because the bounds changed.
pub const BOUNDS_CHANGED: &str = "bounds_changed";

/// A running total. Its epoch begins with the first delta, and anew where it could not go on.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// Of the epoch.
    start: Nanos,
    /// Of the newest point that was written; 0 before the first.
    time: Nanos,
    total: Sum,
    /// Start and total that were written last, where a late delta came since.
    told: Option<Box<(Nanos, Sum)>>,
}

#[derive(Debug, Clone, Default)]
enum Sum {
    #[default]
    Nothing,
    Number(Total),
    Explicit(Box<Explicit>),
    Exponential(Box<Exponential>),
}

impl Running {
    /// Takes a delta that was read into `scratch`. `floor`: where the total begins, if neither the
    /// point nor an earlier epoch says.
    pub fn take(&mut self, point: &PointView<'_>, floor: Nanos, scratch: &Scratch) -> Fate {
        let mut reason = None;
        let late = point.time <= self.time;
        if late && self.told.is_none() {
            self.told = Some(Box::new((self.start, self.total.clone())));
        }
        if matches!(self.total, Sum::Nothing) {
            self.start = self.begins(point, floor);
            self.total = whole(point, scratch);
        } else {
            reason = self.add(point, scratch);
            if reason.is_some() {
                // Where the old epoch ended.
                self.start = self.time;
                self.total = whole(point, scratch);
            }
        }
        if late {
            let reason = reason.or(Some(LATE));
            return Fate::Withhold(Said::reason(reason));
        }
        (self.time, self.told) = (point.time, None);
        Fate::Write(Said::reason(reason))
    }

    /// Where an epoch that begins with this point starts; always before the point, unless that is
    /// late.
    fn begins(&self, point: &PointView<'_>, floor: Nanos) -> Nanos {
        let own = (point.start != 0 && point.start < point.time).then_some(point.start);
        if self.time != 0 {
            return own.unwrap_or(0).max(self.time);
        }
        own.unwrap_or_else(|| floor.min(point.time.saturating_sub(1)))
    }

    /// Adds; the reason why the total cannot go on, if it cannot.
    fn add(&mut self, point: &PointView<'_>, scratch: &Scratch) -> Option<&'static str> {
        match &mut self.total {
            Sum::Nothing => {}
            Sum::Number(total) => {
                total.add(point.number.map_or(Total::default(), Total::from));
                if total.overflows() {
                    return Some(SATURATED);
                }
            }
            Sum::Explicit(total) if total.bounds != scratch.explicit.bounds => {
                return Some(BOUNDS_CHANGED);
            }
            Sum::Explicit(total) => total.add(&scratch.explicit),
            Sum::Exponential(total) => total.add(&scratch.exponential),
        }
        None
    }

    /// Appends where the total starts.
    pub fn put_start(&self, out: &mut Vec<u8>) {
        put_start(self.start, out);
    }

    /// Appends start and value of the total.
    pub fn put(&self, out: &mut Vec<u8>) {
        self.put_start(out);
        self.total.put(out);
    }

    /// The series has no value any more; [`put_start`](Running::put_start) then gives where what it had started. What
    /// comes begins anew, unless the point is late.
    pub fn end(&mut self, point: &PointView<'_>) {
        if matches!(self.total, Sum::Nothing) {
            self.start = point.start;
        }
        if point.time > self.time {
            self.time = point.time;
            (self.total, self.told) = (Sum::Nothing, None);
        }
    }

    /// What later stages know of the series: the total that was written last; before the first one, that it begins with
    /// nothing and counts in full. `spoke`: when it did last.
    pub fn seed(&self, kind: MetricType, spoke: Nanos) -> Input {
        let (start, total) = match self.told.as_deref() {
            Some((start, total)) => (*start, total),
            None => (self.start, &self.total),
        };
        if matches!(total, Sum::Nothing) {
            return Input::zero(spoke);
        }
        let mut body = Vec::new();
        write::put_fixed64(&mut body, common::TIME, self.time);
        put_start(start, &mut body);
        total.put(&mut body);
        let mut input = Input::new(true, false);
        input.follow(&PointView::of(kind, &body), spoke);
        input
    }

    /// Bytes beyond the struct itself.
    pub fn heap_size(&self) -> usize {
        let told = self.told.as_deref();
        let told = told.map_or(0, |told| size_of_val(told) + told.1.heap_size());
        self.total.heap_size() + told
    }
}

impl Sum {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Sum::Nothing => {}
            Sum::Number(total) => put_number(*total, out),
            Sum::Explicit(h) => put_explicit(out, h, false),
            Sum::Exponential(h) => put_exponential(out, h, false),
        }
    }

    fn heap_size(&self) -> usize {
        match self {
            Sum::Nothing | Sum::Number(_) => 0,
            Sum::Explicit(h) => {
                size_of::<Explicit>() + 8 * (h.bounds.capacity() + h.counts.capacity())
            }
            Sum::Exponential(h) => {
                let buckets = h.positive.counts.capacity() + h.negative.counts.capacity();
                size_of::<Exponential>() + 8 * buckets
            }
        }
    }
}

/// A total of this point alone.
fn whole(point: &PointView<'_>, scratch: &Scratch) -> Sum {
    match point.kind {
        MetricType::Histogram => {
            let mut first = scratch.explicit.clone();
            (first.min, first.max) = (None, None);
            Sum::Explicit(Box::new(first))
        }
        MetricType::ExponentialHistogram => {
            let mut first = scratch.exponential.clone();
            (first.min, first.max) = (None, None);
            first.bound();
            Sum::Exponential(Box::new(first))
        }
        _ => Sum::Number(point.number.map_or(Total::default(), Total::from)),
    }
}
