//! Points of a stage that rewrites: what the rewritten series becomes in the later stages is decided
//! once, when the series is first seen under a plan.

use super::close::{Moment, Out, is_monotonic};
use super::resolve::{is_cumulative, outputs};
use super::{Arm, Around, Event, Origin};
use crate::aggregate::TABLE_FULL;
use crate::engine::Limits;
use crate::input::{Input, Observation};
use crate::route::{End, Place, Route, Way};
use crate::series::{Entry, Found, Table};
use crate::splice::assemble::Surroundings;
use crate::splice::runs::Runs;
use crate::stage::State;
use crate::stage::rewrite::{Rewriter, Ticket, Took};
use crate::view::SeriesView;
use crate::wire::index::{Index, UNKNOWN};
use crate::wire::walk::walk;
use std::sync::Arc;

impl Arm {
    /// The place of a series in a stage that rewrites; `None`: it passes as it is.
    pub(super) fn turn(
        &mut self,
        number: u16,
        series: &SeriesView<'_>,
        (event, input): (&Event<'_>, Option<&Input>),
        around: &mut Around<'_>,
        way: &mut Way,
    ) -> Option<Place> {
        let rewriter = self.rewriter(number)?;
        if let Err(reason) = rewriter.treats(series) {
            way.notes.push((number, reason));
            return None;
        }
        let mut ticket = None;
        if rewriter.needs_slot() {
            let limit = around.settings.limits.series;
            ticket = Some(event)
                .filter(|event| event.tracked)
                .and_then(|event| rewriter.slots.ticket(event.identity, limit, event.now));
            if ticket.is_none() {
                way.notes.push((number, TABLE_FULL));
                return None;
            }
        }
        let seed = input.and_then(|input| rewriter.seed(input));
        let anew = rewriter.surroundings(event);
        let then = match anew {
            None => self.goes_on(number, event, seed, around),
            Some(anew) => self.goes_on_as(number, event, (ticket, anew), seed, around),
        };
        way.end = End::Rewrite;
        way.then = then;
        Some(ticket.map_or(Place::None, Place::Turned))
    }

    fn rewriter(&mut self, number: u16) -> Option<&mut Rewriter> {
        match &mut self.stages.get_mut(usize::from(number))?.state {
            State::Rewrite(rewriter) => Some(rewriter),
            _ => None,
        }
    }

    /// The further way of a series that keeps its identity: the number of its path where no later
    /// stage keeps anything of its points, else `None`, and the stage's table knows the series.
    fn goes_on(
        &mut self,
        number: u16,
        event: &Event<'_>,
        seed: Option<Input>,
        around: &mut Around<'_>,
    ) -> Option<u32> {
        let event = Event {
            entry: number + 1,
            origin: event.origin.rewritten(),
            series: UNKNOWN,
            ..*event
        };
        let mut further = Route::VOID;
        self.resolve(&mut further, &event, seed.as_ref(), around);
        let end = self.paths.get(further.path).map(|path| path.way.end);
        let plain = further.guise == 0;
        if plain && matches!(end, Some(End::Emit | End::Filtered | End::SampledOut)) {
            return Some(further.path);
        }
        let running = self.stages.get_mut(usize::from(number))?;
        let table = outputs(running, around);
        know(table, &event, further, seed);
        running.weigh(event.written().0, event.weight);
        None
    }

    /// The same of a series that becomes another: what it will look like is written down once.
    fn goes_on_as(
        &mut self,
        number: u16,
        event: &Event<'_>,
        (ticket, anew): (Option<Ticket>, Surroundings),
        seed: Option<Input>,
        around: &mut Around<'_>,
    ) -> Option<u32> {
        let mut bytes = Vec::new();
        let mut runs = Runs::default();
        let rewriter = self.rewriter(number)?;
        runs.add_under(&anew, |out| rewriter.preview(event, out));
        runs.write(&mut bytes);
        let running = self.stages.get_mut(usize::from(number))?;
        let mut index = Index::default();
        let memo = &mut outputs(running, around).memo;
        walk(&bytes, &Limits::none(), memo, &mut index).ok()?;
        let point = index.points.first()?;
        let kind = index.metrics.get(point.metric as usize)?.kind?;
        let looks = Event {
            data: &bytes,
            index: &index,
            point,
            kind,
            guise: None,
            ..*event
        };
        let series = looks.series_view()?;
        let seed_of = around.settings.fleet_seed;
        let looks = Event {
            identity: around.canonical.identity(&series, seed_of),
            metric: around.names.number(series.metric.name),
            ..looks
        };
        let source = event.index.metrics.get(event.point.metric as usize)?.key;
        if let Some(slot) = ticket.and_then(|t| self.rewriter(number)?.slots.get_mut(t, event.now))
        {
            (slot.identity, slot.metric) = (looks.identity, looks.metric);
            (slot.around, slot.source) = (Some(Arc::new(anew)), source);
        }
        self.goes_on(number, &looks, seed, around)
    }

    /// A point of a series that a stage rewrites.
    pub(super) fn rewrite(
        &mut self,
        route: &mut Route,
        (stage, then): (u16, Option<u32>),
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        around: &mut Around<'_>,
    ) -> bool {
        let end = then
            .and_then(|path| self.paths.get(path))
            .map(|p| p.way.end);
        if matches!(end, Some(End::Filtered | End::SampledOut)) {
            self.left(stage);
            self.counted(route, then, event, 0);
            return false;
        }
        let guise = self.guise_of(route, event, around);
        let came = event;
        let event = &came.called(guise.as_ref());
        // A slot can expire while the series lives: it is given anew, once.
        for again in [false, true] {
            if again {
                self.seat_again(route, stage, came, around);
            }
            let ticket = match route.place {
                Place::Turned(ticket) => Some(ticket),
                _ => None,
            };
            let Some(rewriter) = self.rewriter(stage) else {
                return false;
            };
            match rewriter.take(ticket, event, seen, end == Some(End::Emit)) {
                Took::Written {
                    direct,
                    bytes,
                    note,
                } => {
                    let becomes = ticket.and_then(|t| rewriter.slots.becomes(t));
                    if direct {
                        let (identity, metric) = becomes.unwrap_or(event.written());
                        let event = Event {
                            identity,
                            metric,
                            ..*event
                        };
                        self.left(stage);
                        self.counted(route, then, &event, bytes);
                    }
                    if let Some(reason) = note {
                        self.note(stage, reason);
                    }
                    return false;
                }
                Took::Stale => {}
            }
        }
        if let Some(running) = self.stages.get_mut(usize::from(stage)) {
            running.tally.passed += 1;
        }
        self.pass_on(route, stage, came, seen, around)
    }

    fn note(&mut self, stage: u16, reason: &'static str) {
        if let Some(running) = self.stages.get_mut(usize::from(stage)) {
            *running.tally.counts.entry(reason).or_default() += 1;
        }
    }

    /// A point has left the stage: written, or not even written because a later stage drops it.
    fn left(&mut self, stage: u16) {
        if let Some(running) = self.stages.get_mut(usize::from(stage)) {
            running.tally.closed += 1;
            running.tally.emitted += 1;
        }
    }

    /// Counts a point on its further path.
    fn counted(&mut self, route: &mut Route, then: Option<u32>, event: &Event<'_>, bytes: usize) {
        let Some(path) = then.and_then(|number| self.paths.get_mut(number)) else {
            return;
        };
        path.points += 1;
        path.series += u64::from(route.out_stamp != event.window);
        path.bytes += if path.way.unassigned { bytes as u64 } else { 0 };
        if path.way.end == End::Emit {
            self.goes_out(route, event);
        } else {
            route.out_stamp = event.window;
        }
    }

    /// Takes what a stage has written anew through the later stages, or straight to the output.
    pub(super) fn release_rewritten(
        &mut self,
        number: usize,
        at: Moment,
        node: &Table,
        around: &mut Around<'_>,
        out: &mut Out,
    ) {
        for (merged, origin) in [(true, Origin::Merged), (false, Origin::Released)] {
            let Some(running) = self.stages.get_mut(number) else {
                return;
            };
            let State::Rewrite(rewriter) = &mut running.state else {
                return;
            };
            if !rewriter.has_written() {
                return;
            }
            out.points += rewriter.direct.points;
            rewriter.direct.write(&mut out.bytes);
            let mut request = std::mem::take(&mut rewriter.request);
            request.clear();
            let points = rewriter.release(merged, &mut request);
            running.tally.closed += points;
            running.tally.emitted += points;
            if points > 0 {
                self.take_in(number, &request, origin, at, number + 1, node, around, out);
            }
            if let Some(rewriter) = self.rewriter(number as u16) {
                rewriter.request = request;
            }
        }
    }
}

/// Makes the series behind the stage known, with what is known of it.
fn know(table: &mut Table, event: &Event<'_>, further: Route, seed: Option<Input>) {
    let Some(series) = event.series_view() else {
        return;
    };
    let cumulative = is_cumulative(&series.metric);
    let monotonic = is_monotonic(&series.metric);
    let (identity, metric) = event.written();
    let found = table.find_or_add(identity, |returning| {
        let input = cumulative.then(|| Input::new(monotonic, returning));
        Entry::new(identity, metric, input)
    });
    let (Found::Known(series) | Found::New { series, .. }) = found else {
        return;
    };
    if let Some(entry) = table.get_mut(series) {
        let [old, _] = entry.routes;
        entry.routes[0] = Route {
            in_stamp: old.in_stamp,
            out_stamp: old.out_stamp,
            ..further
        };
        // What came may know more: points that went past this stage under another plan.
        let newer = |known: &Option<Input>, seed: &Input| {
            known.as_ref().is_none_or(|known| {
                known.seen() == 0 || known.time() < seed.time() || seed.is_returning()
            })
        };
        if let Some(seed) = seed.filter(|seed| cumulative && newer(&entry.input, seed)) {
            entry.input = Some(seed);
        }
        entry.seen = event.now.max(1);
    }
}
