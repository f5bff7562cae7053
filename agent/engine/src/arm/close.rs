//! Windows close stage by stage; what a stage writes goes through the later stages of the same arm.

use super::resolve::{is_cumulative, outputs};
use super::{Arm, Around, Event, Origin};
use crate::Nanos;
use crate::aggregate::Written;
use crate::engine::Limits;
use crate::input::{Input, Scratch};
use crate::route::Route;
use crate::series::{Entry, Found, Table};
use crate::splice::{Kept, splice};
use crate::stage::partial::Hand;
use crate::stage::{Closing, State};
use crate::wire::index::{Index, UNKNOWN};
use crate::wire::walk::walk;
use hashbrown::HashSet;

/// What an arm writes into.
#[derive(Debug, Default)]
pub struct Out {
    /// A valid request.
    pub bytes: Vec<u8>,
    /// Points in it.
    pub points: u64,
}

/// The engine's moment: now, and the window of figures.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The engine's now.
    pub now: Nanos,
    /// Number of the window of figures.
    pub window: u32,
}

impl Arm {
    /// Closes windows, stages in document order, and appends what leaves the arm.
    pub fn close(
        &mut self,
        at: Moment,
        how: Closing,
        hand: &mut Hand,
        node: &Table,
        around: &mut Around<'_>,
        out: &mut Out,
    ) {
        for number in 0..self.stages.len() {
            let mut written = Written::default();
            let Some(running) = self.stages.get_mut(number) else {
                return;
            };
            let edge = (at.now, how, around.expiry);
            running.close_by(number, edge, hand, &mut written);
            self.written(number, written, at, node, around, out);
            self.release_rewritten(number, at, node, around, out);
            self.release_folded(number, at, node, around, out);
        }
    }

    /// What left a `sample every` before its window closed, and what was written anew.
    pub fn close_early(
        &mut self,
        at: Moment,
        node: &Table,
        around: &mut Around<'_>,
        out: &mut Out,
    ) {
        for number in 0..self.stages.len() {
            self.release(number, at, node, around, out);
        }
    }

    /// The same of one stage.
    pub(super) fn release(
        &mut self,
        number: usize,
        at: Moment,
        node: &Table,
        around: &mut Around<'_>,
        out: &mut Out,
    ) {
        self.release_rewritten(number, at, node, around, out);
        self.release_folded(number, at, node, around, out);
        let Some(running) = self.stages.get_mut(number) else {
            return;
        };
        let State::Every(every) = &mut running.state else {
            return;
        };
        if every.has_early() {
            let mut written = Written::default();
            every.release_early(&mut written, &mut running.tally);
            self.written(number, written, at, node, around, out);
        }
    }

    /// Takes what stage `number` wrote through the later stages.
    pub(super) fn written(
        &mut self,
        number: usize,
        written: Written,
        at: Moment,
        node: &Table,
        around: &mut Around<'_>,
        out: &mut Out,
    ) {
        let Some(running) = self.stages.get_mut(number) else {
            return;
        };
        let origin = match running.state {
            State::Aggregate(_) | State::Fold(_) => {
                running.tally.closed += written.absorbed;
                running.tally.emitted += written.points;
                Origin::Merged
            }
            _ => Origin::Released,
        };
        if written.points > 0 {
            out.bytes.reserve_exact(written.request.len());
            let pieces = written.pieces();
            self.take_in(number, pieces, origin, at, node, around, out);
        }
    }

    /// Takes points that stage `number` wrote through the later stages: pieces, each a request.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn take_in<'a>(
        &mut self,
        number: usize,
        pieces: impl IntoIterator<Item = &'a [u8]>,
        origin: Origin,
        at: Moment,
        node: &Table,
        around: &mut Around<'_>,
        out: &mut Out,
    ) {
        let Some(running) = self.stages.get_mut(number) else {
            return;
        };
        outputs(running, around);
        let Some(mut table) = running.outputs.take() else {
            return;
        };
        for piece in pieces {
            let entry = number as u16 + 1;
            self.inject(piece, entry, origin, at, &mut table, node, around, out);
            table.sweep(at.now, around.expiry, at.window);
            self.series_out.inexact |= table.miscounts(at.window);
        }
        if let Some(inside) = &mut self.inside {
            inside.all_written();
        }
        if let Some(running) = self.stages.get_mut(number) {
            running.outputs = Some(table);
            running.abroad.begun.append(&mut self.begun);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn inject(
        &mut self,
        bytes: &[u8],
        entry: u16,
        origin: Origin,
        at: Moment,
        table: &mut Table,
        node: &Table,
        around: &mut Around<'_>,
        out: &mut Out,
    ) {
        let mut index = std::mem::take(&mut self.inner);
        if walk(bytes, &Limits::none(), &mut table.memo, &mut index).is_err() {
            return;
        }
        let (mut kept, mut inside) = (Kept::default(), Kept::default());
        kept.clear(index.points.len());
        let apart = self.inside.is_some();
        if apart {
            inside.clear(index.points.len());
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let weighs = self.weighs();
        for (number, point) in index.points.iter().enumerate() {
            let Some(kind) = index
                .metrics
                .get(point.metric as usize)
                .and_then(|m| m.kind)
            else {
                continue;
            };
            // What the end of a capture writes may lie ahead of now; it is not from the future for that.
            let now = match origin {
                Origin::Merged => at.now.max(point.time),
                Origin::Received | Origin::Released => at.now,
            };
            let mut event = Event {
                data: bytes,
                index: &index,
                point,
                kind,
                series: UNKNOWN,
                identity: 0,
                metric: 0,
                entry,
                guise: None,
                origin,
                tracked: true,
                now,
                clock: at.now,
                window: at.window,
                weight: 1.0,
            };
            let series = if point.series == UNKNOWN {
                self.identify_output(&event, table, node, around)
            } else {
                point.series
            };
            let mut spare = Entry::new(0, 0, None);
            let known = table.get_mut(series);
            event.tracked = known.is_some();
            let output = known.unwrap_or(&mut spare);
            output.seen = at.now.max(1);
            (event.identity, event.metric) = (output.identity, output.metric);
            if weighs {
                event.weight = self.weight_behind(entry - 1, event.identity);
            }
            if self.take_output(output, &event, at.now, &mut scratch, around) {
                kept.keep(number);
                if apart && !self.is_outside(&output.routes.baseline) {
                    inside.keep(number);
                }
            }
        }
        self.scratch = scratch;
        if apart {
            self.weigh_piece(&index, &inside);
        }
        out.points += kept.count as u64;
        if kept.count == index.points.len() {
            out.bytes.extend_from_slice(bytes);
        } else {
            splice(&index, bytes, &kept, &mut self.lengths, &mut out.bytes);
        }
        self.inner = index;
        out.points += self.flush(&mut out.bytes);
    }

    pub(super) fn take_output(
        &mut self,
        output: &mut Entry,
        event: &Event<'_>,
        now: Nanos,
        scratch: &mut Scratch,
        around: &mut Around<'_>,
    ) -> bool {
        let Entry { routes, input, .. } = output;
        let route = &mut routes.baseline;
        if let Some(input) = input.as_mut()
            && input.expired(now, around.expiry)
        {
            *input = Input::new(event.monotonic(), true);
            route.generation = 0;
        }
        if !self.knows(route) || self.has_forgotten(route, event.identity, (now, around.expiry)) {
            self.resolve(route, event, input.as_ref(), around);
        }
        let observes = self.observes(route);
        let began = around.settings.began;
        let seen = input.as_mut().and_then(|input| {
            let view = event.view();
            if observes {
                Some(input.observe(&view, began, now, scratch))
            } else {
                input.follow(&view, now);
                None
            }
        });
        self.take(route, event, seen.as_ref(), around)
    }

    /// The series of an output, by its canonical identity.
    fn identify_output(
        &mut self,
        event: &Event<'_>,
        table: &mut Table,
        node: &Table,
        around: &mut Around<'_>,
    ) -> u32 {
        let Some(series) = event.series_view() else {
            return UNKNOWN;
        };
        let identity = around
            .canonical
            .identity(&series, around.settings.fleet_seed);
        let metric = around.names.number(series.metric.name);
        let cumulative = is_cumulative(&series.metric);
        let monotonic = is_monotonic(&series.metric);
        let found = table.find_or_add(identity, |returning| {
            Entry::new(
                identity,
                metric,
                cumulative.then(|| Input::new(monotonic, returning)),
            )
        });
        match found {
            Found::Known(series) => {
                table.memo.insert(event.point.key, series);
                series
            }
            Found::New { series, .. } => {
                table.memo.insert(event.point.key, series);
                if event.origin == Origin::Merged {
                    let claimed = self.guises.claimed(identity, identity);
                    self.conflicts += u64::from(claimed || self.passes(node, identity));
                    if around.settings.is_shared() {
                        self.begun.push(identity);
                    }
                }
                series
            }
            Found::Full => UNKNOWN,
        }
    }

    /// Whether a received series of this identity passes this arm.
    pub(super) fn passes(&self, node: &Table, identity: u128) -> bool {
        node.find(identity)
            .and_then(|series| node.get(series))
            .map(|entry| entry.routes.of(self.side))
            .is_some_and(|route| self.outlet(route) == Some(None))
    }

    /// Counts a received series that leaves under an identity that an aggregation of this arm writes,
    /// or under which another series leaves.
    pub fn check_conflict(&mut self, source: u128, route: &Route, node: &Table) {
        let Some(changed) = self.outlet(route) else {
            return;
        };
        let identity = changed.unwrap_or(source);
        let other = self.guises.claimed(identity, source)
            || (changed.is_some() && self.passes(node, identity));
        let written = |running: &crate::stage::Running| {
            let here = matches!(running.state, State::Aggregate(_))
                && running
                    .outputs
                    .as_ref()
                    .is_some_and(|table| table.find(identity).is_some());
            here || running.abroad.written.contains(&identity)
        };
        if other || self.stages.iter().any(written) {
            self.conflicts += 1;
        }
    }

    /// Appends what stays of a request. True: all of it stays and nothing was appended; forward
    /// the buffer.
    pub fn splice(&mut self, index: &Index, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        if self.kept.count == index.points.len() && index.rejected == 0 {
            return true;
        }
        splice(index, bytes, &self.kept, &mut self.lengths, out);
        false
    }

    /// Frees what has been silent.
    pub fn sweep(&mut self, now: Nanos, expiry: Nanos, window: u32) {
        self.guises.sweep(now, expiry);
        for running in &mut self.stages {
            match &mut running.state {
                State::Every(every) => every.sweep(now, expiry),
                State::Fold(fold) => fold.sweep(now, expiry),
                State::Gate(gate) => {
                    if let Some(table) = &mut running.outputs
                        && table.sweep(now, expiry.max(gate.patience()), window)
                    {
                        gate.sweep(|series| table.get(series).is_some_and(|e| e.seen != 0));
                    }
                }
                State::Rewrite(rewriter) => rewriter.sweep(now, expiry, &mut self.guises),
                State::None | State::Aggregate(_) => {}
            }
        }
    }

    /// At most how many points its open windows will write.
    pub fn to_write(&self) -> usize {
        let of = |running: &crate::stage::Running| match &running.state {
            State::None | State::Gate(_) | State::Rewrite(_) => 0,
            State::Every(every) => every.to_write(),
            State::Aggregate(aggregation) => aggregation.to_write(),
            State::Fold(fold) => fold.to_write(),
        };
        self.stages.iter().map(of).sum()
    }

    /// An estimate of the bytes of its state.
    pub fn bytes(&self) -> usize {
        let of = |running: &crate::stage::Running| {
            let outputs = running.outputs.as_ref().map_or(0, |table| table.bytes());
            outputs
                + running.beside.bytes()
                + match &running.state {
                    State::None => 0,
                    State::Gate(gate) => gate.bytes(),
                    State::Every(every) => every.bytes(),
                    State::Rewrite(rewriter) => rewriter.bytes(),
                    State::Aggregate(aggregation) => aggregation.size().2,
                    State::Fold(fold) => fold.bytes(),
                }
        };
        let watch = self.watch.as_ref().map_or(0, |watch| watch.bytes());
        let went_out = self.went_out.as_ref().map_or(0, HashSet::capacity);
        self.stages.iter().map(of).sum::<usize>()
            + self.guises.bytes()
            + watch
            + went_out * (size_of::<u128>() + 1)
    }
}

/// Whether a falling value of the series is a reset.
pub fn is_monotonic(metric: &crate::view::MetricView<'_>) -> bool {
    metric.kind != crate::view::MetricType::Sum || metric.monotonic
}
