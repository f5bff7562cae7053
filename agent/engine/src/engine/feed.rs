//! `feed`: validate, find each point's series, follow its routes, splice what stays.

use super::{Emitted, Engine, Fed, Hands, Outs, Refusal};
use crate::Nanos;
use crate::arm::close::Moment;
use crate::arm::resolve::is_cumulative;
use crate::arm::{Around, Event, Origin};
use crate::input::Input;
use crate::series::{Entry, Found, Table};
use crate::stage::Closing;
use crate::wire::index::{Reject, UNKNOWN};
use crate::wire::normalise::normalise;
use crate::wire::walk::walk;
use bytes::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Engine {
    /// Takes one `ExportMetricsServiceRequest` (the same bytes as `MetricsData`).
    ///
    /// # Errors
    /// The request is refused whole and nothing has changed.
    pub fn feed(&mut self, request: &Bytes, now: Nanos) -> Result<Fed, Refusal> {
        let limits = &self.settings.limits;
        walk(request, limits, &mut self.table.memo, &mut self.index)?;
        let mut data = request.clone();
        if !self.index.rare.is_empty() {
            data = normalise(request, limits, &mut self.table.memo, &mut self.index)?;
        }
        self.advance(now);
        let mut outs = if self.settings.is_shared() {
            // Windows close at the edges that all workers share.
            Outs::default()
        } else {
            self.close(Closing::Due, self.now, &mut Hands::default())
        };
        self.follow(&data);
        let at = Moment {
            now: self.now,
            window: self.window,
        };
        self.both(&mut outs, |arm, node, around, out| {
            arm.close_early(at, node, around, out)
        });
        let emitted = self.leave_request(request, &data, outs);
        self.sweep();
        self.recent.remember(request);
        Ok(Fed {
            received: self.index.received(),
            rejected: self.index.rejected,
            reason: self.index.reason.take(),
            emitted,
        })
    }

    /// Every point of the request follows its routes.
    fn follow(&mut self, data: &[u8]) {
        let points = self.index.points.len();
        let rejected = self.index.rejected;
        let split = self.is_split();
        for arm in std::iter::once(&mut self.baseline).chain(&mut self.candidate) {
            arm.kept.clear(points);
            arm.rejected += if arm.dead { 0 } else { rejected };
            arm.bytes_in += if split || arm.dead {
                0
            } else {
                data.len() as u64
            };
        }
        for number in 0..points {
            self.point(data, number);
        }
    }

    #[inline]
    fn point(&mut self, data: &[u8], number: usize) {
        let Some(point) = self.index.points.get(number) else {
            return;
        };
        let of = self.index.metrics.get(point.metric as usize);
        let Some(kind) = of.and_then(|metric| metric.kind) else {
            return;
        };
        if point.reject != Reject::No {
            return;
        }
        let mut event = Event {
            data,
            index: &self.index,
            point,
            kind,
            series: UNKNOWN,
            identity: 0,
            metric: 0,
            entry: 0,
            guise: None,
            origin: Origin::Received,
            tracked: true,
            now: self.now,
            clock: self.now,
            window: self.window,
            weight: 1.0,
        };
        let mut around = Around {
            settings: &self.settings,
            canonical: &mut self.canonical,
            names: &mut self.names,
            measured: &self.measured,
            split: self.split.as_mut(),
            expiry: self.expiry,
        };
        let series = if point.series == UNKNOWN {
            identify(&event, &mut self.table, &mut self.transient, &mut around)
        } else {
            point.series
        };
        event.series = series;
        let entry = match self.table.get_mut(series) {
            Some(entry) => entry,
            None => {
                event.tracked = false;
                &mut self.transient
            }
        };
        entry.seen = self.now.max(1);
        (event.identity, event.metric) = (entry.identity, entry.metric);
        let Entry {
            routes: [ours, theirs],
            input,
            ..
        } = entry;
        // One that returns is new to every stage, as if it had been swept meanwhile.
        if let Some(input) = input.as_mut()
            && input.expired(event.now, around.expiry)
        {
            *input = Input::new(event.monotonic(), true);
            (ours.generation, theirs.generation) = (0, 0);
        }
        let fresh = ours.generation != self.generation;
        self.baseline
            .ensure(ours, &event, input.as_ref(), &mut around);
        let mut observes = self.baseline.observes(ours);
        let mut fault = false;
        let mut candidate = self.candidate.as_mut().filter(|arm| !arm.dead);
        let mut fresh_candidate = false;
        if let Some(arm) = &mut candidate {
            fresh_candidate = theirs.generation != arm.generation;
            if fresh_candidate {
                fault = catch_unwind(AssertUnwindSafe(|| {
                    arm.ensure(theirs, &event, input.as_ref(), &mut around);
                }))
                .is_err();
            }
            observes |= arm.observes(theirs);
        }
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
        if let Some(arm) = candidate.filter(|_| !fault) {
            let done = catch_unwind(AssertUnwindSafe(|| {
                if arm.take(theirs, &event, seen.as_ref(), &mut around) {
                    arm.kept.keep(number);
                }
            }));
            fault = done.is_err();
            if around.split.is_some() {
                let arm = if arm.is_foreign(theirs) {
                    &mut self.baseline
                } else {
                    arm
                };
                arm.bytes_in += point.at.field.len() as u64;
            }
        }
        if fresh || fresh_candidate {
            self.conflicts(series, fresh, fresh_candidate);
        }
        if fault {
            self.end_candidate();
        }
    }

    /// A series whose route is new may pass where an aggregation writes its identity.
    #[cold]
    fn conflicts(&mut self, series: u32, baseline: bool, candidate: bool) {
        let Some(entry) = self.table.get(series) else {
            return;
        };
        let (identity, [ours, theirs]) = (entry.identity, entry.routes);
        if baseline {
            self.baseline.check_conflict(identity, &ours, &self.table);
        }
        if let Some(arm) = self.candidate.as_mut().filter(|_| candidate) {
            arm.check_conflict(identity, &theirs, &self.table);
        }
    }

    /// What stays of the request goes after what the stages wrote.
    fn leave_request(&mut self, request: &Bytes, data: &Bytes, mut outs: Outs) -> Emitted {
        let exported = self.exports_candidate();
        let points = self.baseline.kept.count as u64;
        let out = &mut outs.baseline.bytes;
        let all = self.baseline.splice(&self.index, data, out);
        let whole = all && out.is_empty() && !exported;
        if all && !whole {
            out.extend_from_slice(request);
        }
        outs.baseline.points += points + self.baseline.flush(&mut outs.baseline.bytes);
        let mut whole_shadow = false;
        if let Some(arm) = &mut self.candidate {
            let points = arm.kept.count as u64;
            let out = &mut outs.candidate.bytes;
            match arm.splice(&self.index, data, out) {
                true if exported && points == 0 => {}
                true if out.is_empty() && !exported => whole_shadow = !arm.dead,
                true => out.extend_from_slice(request),
                false => {}
            }
            outs.candidate.points += points + arm.flush(&mut outs.candidate.bytes);
        }
        let mut emitted = self.emitted(outs);
        if whole {
            self.baseline.bytes_out += request.len() as u64;
            emitted.out = request.clone();
        }
        if let Some(arm) = self.candidate.as_mut().filter(|_| whole_shadow) {
            arm.bytes_out += request.len() as u64;
            emitted.shadow = request.clone();
        }
        emitted
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
