//! What is kept of one series at a `topk` or `limit`.

use super::epoch::{self, Epoch};
use crate::Nanos;
use crate::aggregate::Seat;
use crate::input::{Increment, Observation};
use crate::route::Route;
use crate::splice::assemble::Surroundings;
use crate::stage::entity::Ticket as Measured;
use crate::view::{MetricType, MetricView, Temporality};
use std::sync::Arc;

/// One series.
#[derive(Debug)]
pub struct Slot {
    pub identity: u128,
    /// The engine's now when it last spoke.
    pub seen: Nanos,
    /// Up to here its increments have been counted, and its own series has been written.
    pub told: Nanos,
    /// Its entity or its budget.
    pub unit: u64,
    /// Series that came before have smaller ones.
    pub order: u64,
    pub counter: bool,
    pub delta: bool,
    /// Never folded: it only tells how loaded the node is.
    pub exempt: bool,
    pub seat: Option<Seat>,
    pub measured: Option<Measured>,
    pub load: Option<Measured>,
    /// For how many series its increments stand.
    pub weight: f64,
    pub own: Option<Box<Own>>,
}

/// A series that stays.
#[derive(Debug)]
pub struct Own {
    pub way: Way,
    pub around: Option<Arc<Surroundings>>,
    /// Fields of its points: the attributes. Empty where it never ends.
    pub attributes: Box<[u8]>,
    /// Its last point had the no-recorded-value flag.
    pub ended: bool,
}

/// How the points of a series that stays go on.
#[derive(Debug)]
pub enum Way {
    /// As they come, by this way through the later stages.
    Untouched(Route),
    /// Written anew: it was folded once.
    Anew(Epoch),
}

/// A series stays from here on. Of counters an epoch begins, where the folded part ends.
pub fn enter(slot: &mut Slot, edge: Nanos, began: Nanos) {
    let start = if slot.told > 0 { slot.told } else { edge };
    let start = start.max(began);
    slot.own = Some(Own::new(slot.counter.then(|| Epoch::new(start))));
}

/// A series stays no longer: the point that ends it, if it has written one.
pub fn leave(slot: &mut Slot, own: Own, edge: Nanos) -> Option<(Arc<Surroundings>, Vec<u8>)> {
    let around = own.around.filter(|_| !own.ended)?;
    let stamp = edge.max(slot.told.saturating_add(1));
    slot.told = stamp;
    let mut body = Vec::new();
    epoch::put_end(around.data_kind(), stamp, &own.attributes, &mut body);
    Some((around, body))
}

impl Slot {
    /// A point came; of counters only a newer one tells something.
    pub fn hears(&mut self, time: Nanos, seen: Option<&Observation<'_>>) {
        let tells = |seen: &Observation<'_>| {
            seen.advanced && !matches!(seen.increment, Increment::NotANumber)
        };
        if !self.counter || seen.is_some_and(tells) {
            self.told = self.told.max(time);
        }
    }
}

impl Way {
    /// The later stages are to be asked again.
    pub fn ask_again(&mut self) {
        if let Way::Untouched(further) = self {
            *further = Route::VOID;
        }
    }
}

impl Own {
    pub fn new(epoch: Option<Epoch>) -> Box<Own> {
        Box::new(Own {
            way: epoch.map_or(Way::Untouched(Route::VOID), Way::Anew),
            around: None,
            attributes: Box::default(),
            ended: false,
        })
    }
}

/// Whether points of a series add increments to what came before.
pub fn is_counter(metric: &MetricView<'_>) -> bool {
    metric.temporality == Temporality::Cumulative
        && match metric.kind {
            MetricType::Sum => metric.monotonic,
            MetricType::Histogram | MetricType::ExponentialHistogram => true,
            MetricType::Gauge | MetricType::Summary => false,
        }
}
