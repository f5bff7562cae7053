//! `feed`: validate, find each point's series, follow its routes, splice what stays.

use super::{Emitted, Engine, Fed, Hands, Outs, Refusal};
use crate::Nanos;
use crate::arm::close::{Moment, Out};
use crate::arm::resolve::is_cumulative;
use crate::arm::{Arm, Around, Event, Origin};
use crate::input::Input;
use crate::route::Route;
use crate::series::{Entry, Found, Table};
use crate::stage::Closing;
use crate::wire::index::{Index, Reject, UNKNOWN};
use crate::wire::normalise::normalise;
use crate::wire::walk::walk;
use bytes::Bytes;

impl Engine {
    /// Takes one `ExportMetricsServiceRequest` (the same bytes as `MetricsData`).
    ///
    /// # Errors
    /// The request is refused whole and nothing has changed.
    pub fn feed(&mut self, request: &Bytes, now: Nanos) -> Result<Fed, Refusal> {
        self.meter.start();
        self.begin_request();
        let limits = &self.settings.limits;
        walk(request, limits, &mut self.table.memo, &mut self.index)?;
        let mut data = request.clone();
        if !self.index.rare.is_empty() {
            data = normalise(request, limits, &mut self.table.memo, &mut self.index)?;
        }
        self.bytes_in += request.len() as u64;
        self.advance(now);
        self.meter.share();
        let mut outs = if self.settings.is_shared() {
            // Windows close at the edges that all workers share.
            Outs::default()
        } else {
            self.close(Closing::Due, self.now, &mut Hands::default())
        };
        let from = Incoming {
            request,
            data: &data,
        };
        let whole = match self.candidate.as_ref().is_some_and(|arm| !arm.dead) {
            true => self.feed_both(from, &mut outs),
            false => self.feed_one(from, &mut outs),
        };
        let emitted = self.leave_request(request, whole, outs);
        self.sweep();
        self.heard.hear(request, self.now);
        self.meter.share();
        Ok(Fed {
            received: self.index.received(),
            rejected: self.index.rejected,
            reason: self.index.reason.take(),
            emitted,
        })
    }

    /// What arms spent on windows alone is no request's.
    fn begin_request(&mut self) {
        self.baseline.cost.request = 0;
        if let Some(arm) = &mut self.candidate {
            arm.cost.request = 0;
        }
    }

    /// The baseline alone takes the request; what it need not write itself is true.
    fn feed_one(&mut self, from: Incoming<'_>, outs: &mut Outs) -> Whole {
        self.receive(from.data, 0);
        for number in 0..self.index.points.len() {
            self.point(from.data, number);
        }
        [self.leave_baseline(from, outs), false]
    }

    /// What the baseline wrote anew, and what stays of the request.
    pub(super) fn leave_baseline(&mut self, from: Incoming<'_>, outs: &mut Outs) -> bool {
        let (at, alone) = (self.moment(), self.alone());
        let mut around = around!(self);
        let out = &mut outs.baseline;
        self.baseline.close_early(at, &self.table, &mut around, out);
        leave(&mut self.baseline, &self.index, from, alone, out)
    }

    pub(super) fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            window: self.window,
        }
    }

    /// Whether no other arm's output leaves with the baseline's.
    pub(super) fn alone(&self) -> bool {
        !self.exports_candidate()
    }

    /// An arm is about to take the request.
    pub(super) fn receive(&mut self, data: &[u8], side: usize) {
        let arm = match (side, &mut self.candidate) {
            (1, Some(candidate)) => candidate,
            _ => &mut self.baseline,
        };
        arm.kept.clear(self.index.points.len());
        arm.rejected += self.index.rejected;
        match &mut arm.inside {
            Some(inside) => inside.begin(self.index.points.len()),
            None => arm.bytes_in += data.len() as u64,
        }
    }

    /// One point of the request follows its route through the baseline.
    #[inline]
    pub(super) fn point(&mut self, data: &[u8], number: usize) {
        let Some(mut event) = event(&self.index, data, number, self.now, self.window) else {
            return;
        };
        let mut around = around!(self);
        event.series = series_of(&event, &mut self.table, &mut self.transient, &mut around);
        let entry = match self.table.get_mut(event.series) {
            Some(entry) => entry,
            None => {
                event.tracked = false;
                &mut self.transient
            }
        };
        meet(entry, &mut event, around.expiry);
        let Entry { routes, input, .. } = entry;
        let ours = &mut routes.baseline;
        let fresh = ours.generation != self.generation;
        self.baseline
            .ensure(ours, &event, input.as_ref(), &mut around);
        let observes = self.baseline.observes(ours);
        let view = event.view();
        let seen = input.as_mut().and_then(|input| {
            if observes {
                Some(input.observe(&view, around.settings.began, event.now, &mut self.scratch))
            } else {
                input.follow(&view, event.now);
                None
            }
        });
        if self.baseline.take(ours, &event, seen.as_ref(), &mut around) {
            self.baseline.kept.keep(number);
        }
        self.baseline.own(number, ours);
        if fresh {
            let (series, ours) = (event.series, *ours);
            self.conflict(event.identity, series, ours);
        }
    }

    /// A series whose route is new may pass where an aggregation writes its identity.
    #[cold]
    fn conflict(&mut self, identity: u128, series: u32, route: Route) {
        if let Some(entry) = self.table.get_mut(series) {
            if self.candidate.is_none() {
                entry.routes.forget_candidate();
            }
            self.baseline.check_conflict(identity, &route, &self.table);
        }
    }

    /// What the arms wrote and what stays of the request, as it leaves the engine.
    fn leave_request(
        &mut self,
        request: &Bytes,
        [whole, whole_shadow]: Whole,
        outs: Outs,
    ) -> Emitted {
        let mut emitted = self.emitted(outs);
        if whole {
            self.baseline.bytes_out += request.len() as u64;
            if let Some(watch) = &mut self.baseline.watch {
                watch.read(request, self.now);
            }
            emitted.out = request.clone();
        }
        if let Some(arm) = self.candidate.as_mut().filter(|_| whole_shadow) {
            arm.bytes_out += request.len() as u64;
            if let Some(watch) = &mut arm.watch {
                watch.read(request, self.now);
            }
            emitted.shadow = request.clone();
        }
        emitted
    }
}

/// A request as it came, and as it is read.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// As it came.
    pub request: &'a Bytes,
    /// As it is read: the same, or without what is of a rare shape.
    pub data: &'a Bytes,
}

/// Of baseline and shadow: the request leaves as it came, and alone.
pub(super) type Whole = [bool; 2];

/// What stays of a request goes after what the arm's stages wrote. True: the request leaves as it came,
/// and nothing was written. `alone`: no other arm's output leaves with this one's.
pub(super) fn leave(
    arm: &mut Arm,
    index: &Index,
    from: Incoming<'_>,
    alone: bool,
    out: &mut Out,
) -> bool {
    let points = arm.kept.count as u64;
    let before = out.bytes.len();
    let all = arm.splice(index, from.data, &mut out.bytes);
    let whole = all && out.bytes.is_empty() && alone;
    // Where both arms' outputs leave together, what holds no point is the baseline's.
    if all && !whole && (alone || points > 0 || arm.side == 0) {
        out.bytes.extend_from_slice(from.request);
    }
    let written = match whole {
        true => from.request.len(),
        false => out.bytes.len() - before,
    };
    arm.weigh_request(index, from, written);
    out.points += points + arm.flush(&mut out.bytes);
    if let Some(inside) = &mut arm.inside {
        inside.all_written();
    }
    whole
}

/// A point of a request as an event; nothing where it is rejected or is none.
#[inline]
pub(super) fn event<'a>(
    index: &'a Index,
    data: &'a [u8],
    number: usize,
    now: Nanos,
    window: u32,
) -> Option<Event<'a>> {
    let point = index.points.get(number)?;
    let of = index.metrics.get(point.metric as usize);
    let kind = of.and_then(|metric| metric.kind)?;
    (point.reject == Reject::No).then_some(Event {
        data,
        index,
        point,
        kind,
        series: UNKNOWN,
        identity: 0,
        metric: 0,
        entry: 0,
        guise: None,
        origin: Origin::Received,
        tracked: true,
        now,
        clock: now,
        window,
        weight: 1.0,
    })
}

/// The number of a point's series; what has none is described by `transient`.
#[inline]
pub(super) fn series_of(
    event: &Event<'_>,
    table: &mut Table,
    transient: &mut Entry,
    around: &mut Around<'_>,
) -> u32 {
    if event.point.series == UNKNOWN {
        identify(event, table, transient, around)
    } else {
        event.point.series
    }
}

/// The series speaks. One that returns is new to every stage, as if it had been swept meanwhile.
#[inline]
pub(super) fn meet(entry: &mut Entry, event: &mut Event<'_>, expiry: Nanos) {
    entry.seen = event.now.max(1);
    (event.identity, event.metric) = (entry.identity, entry.metric);
    if let Some(input) = entry.input.as_mut()
        && input.expired(event.now, expiry)
    {
        *input = Input::new(event.monotonic(), true);
        entry.routes.void();
    }
}

/// The series of a point that the memo does not know, by its canonical identity. Without a place in
/// the table it is described by `transient`.
#[cold]
fn identify(
    event: &Event<'_>,
    table: &mut Table,
    transient: &mut Entry,
    around: &mut Around<'_>,
) -> u32 {
    // Another point of this request may have made it known.
    if let Some(series) = table.memo.peek(event.point.key) {
        return series;
    }
    let Some(series) = event.series_view() else {
        return UNKNOWN;
    };
    let identity = around
        .canonical
        .identity(&series, around.settings.fleet_seed);
    let metric = around.names.number(series.metric.name);
    let cumulative = is_cumulative(&series.metric);
    let monotonic = crate::arm::close::is_monotonic(&series.metric);
    let found = table.find_or_add(identity, |returning| {
        Entry::new(
            identity,
            metric,
            cumulative.then(|| Input::new(monotonic, returning)),
        )
    });
    match found {
        Found::Known(series) | Found::New { series, .. } => {
            table.memo.insert(event.point.key, series);
            series
        }
        Found::Full => {
            *transient = Entry::new(identity, metric, None);
            UNKNOWN
        }
    }
}
