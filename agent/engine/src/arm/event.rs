//! A point at a stage.

use crate::Nanos;
use crate::prometheus::samples;
use crate::stage::transform::guise::Guise;
use crate::view::{MetricType, PointView, SeriesView};
use crate::wire::index::{Index, PointEntry};
use std::sync::Arc;

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A request.
    Received,
    /// A `sample every` that let it go: unchanged.
    Released,
    /// An aggregation.
    Merged,
}

impl Origin {
    /// Of a point that a stage has written anew.
    pub(super) fn rewritten(self) -> Origin {
        match self {
            Origin::Received | Origin::Released => Origin::Released,
            Origin::Merged => Origin::Merged,
        }
    }
}

/// One point at a stage.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// The request that holds it.
    pub data: &'a [u8],
    /// The request's index.
    pub index: &'a Index,
    /// The point.
    pub point: &'a PointEntry,
    /// Its type.
    pub kind: MetricType,
    /// Number of its series in its table.
    pub series: u32,
    /// Identity of its series.
    pub identity: u128,
    /// Number of its metric name.
    pub metric: u32,
    /// The first stage that sees it.
    pub entry: u16,
    /// What a transform calls it; `None` for what it came as.
    pub guise: Option<&'a Arc<Guise>>,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether its series has a place in the table; without one it cannot be held.
    pub tracked: bool,
    /// The engine's now; of what a drain writes ahead of it, the point's own time.
    pub now: Nanos,
    /// The engine's now, by which silence is measured.
    pub clock: Nanos,
    /// Number of the window of figures.
    pub window: u32,
    /// For how many series the increments of its series stand, at `entry`.
    pub weight: f64,
}

impl<'a> Event<'a> {
    /// Its series' view. `None` never happens: the point is of this index.
    pub fn series_view(&self) -> Option<SeriesView<'a>> {
        match self.guise {
            Some(guise) => Some(guise.view(self.point.at.body().of(self.data))),
            None => self.index.series(self.point, self.data),
        }
    }

    /// Whether a falling value of the series is a reset.
    pub fn monotonic(&self) -> bool {
        let of = self.index.metrics.get(self.point.metric as usize);
        self.kind != MetricType::Sum || of.is_some_and(|metric| metric.monotonic)
    }

    /// How many Prometheus samples it is.
    #[inline]
    pub fn samples(&self) -> u64 {
        match self.kind {
            // What most points are; the view is not needed.
            MetricType::Gauge | MetricType::Sum if self.point.number.is_some() => 1,
            _ => samples(&self.view()),
        }
    }

    /// The point as stages see it.
    pub fn view(&self) -> PointView<'a> {
        self.point.view(self.kind, self.data)
    }
}
