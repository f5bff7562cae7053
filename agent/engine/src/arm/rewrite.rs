//! Points of a stage that rewrites: what the rewritten series becomes in the later stages is decided
//! once, when the series is first seen under a plan.

use super::close::{Moment, Out, is_monotonic};
use super::resolve::{any, is_cumulative, outputs};
use super::{Arm, Around, Event, Origin};
use crate::Nanos;
use crate::aggregate::TABLE_FULL;
use crate::compile::{Action, Decision, Filter, Method};
use crate::engine::Limits;
use crate::input::notes::NAMES;
use crate::input::{Input, Observation};
use crate::route::{End, Place, Route, Way};
use crate::series::{Entry, Found, Table};
use crate::splice::assemble::Surroundings;
use crate::splice::runs::Runs;
use crate::stage::quiet::applies;
use crate::stage::rewrite::{Rewriter, Said, Sink, Ticket, Took};
use crate::stage::{State, Tally};
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
            way.notes.extend(reason.map(|reason| (number, reason)));
            return None;
        }
        let mut ticket = None;
        if rewriter.needs_slot(event.kind) {
            let limit = around.settings.limits.series;
            let times = (event.clock, around.expiry);
            ticket = Some(event)
                .filter(|event| event.tracked)
                .and_then(|event| rewriter.slots.ticket(event.written().0, limit, times));
            if ticket.is_none() {
                way.notes.push((number, TABLE_FULL));
                return None;
            }
        }
        let slot = ticket.and_then(|t| rewriter.slots.peek_mut(t));
        let seated = way.end == End::Rewrite && slot.is_some_and(|slot| slot.around.is_some());
        let input = rewriter.seed(ticket, event, input);
        let seed = Seed { input, seated };
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
        seed: Seed,
        around: &mut Around<'_>,
    ) -> Option<u32> {
        let event = Event {
            entry: number + 1,
            origin: event.origin.rewritten(),
            series: UNKNOWN,
            ..*event
        };
        let mut further = Route::VOID;
        // What may be kept there is not before a point comes: others of the request can come first.
        if !self.keeps_behind(number, &event) {
            self.resolve(&mut further, &event, seed.input.as_ref(), around);
            let end = self.paths.get(further.path).map(|path| path.way.end);
            let plain = further.guise == 0;
            if plain && matches!(end, Some(End::Emit | End::Filtered | End::SampledOut)) {
                return Some(further.path);
            }
        }
        let running = self.stages.get_mut(usize::from(number))?;
        let table = outputs(running, around);
        know(table, &event, further, seed, around.expiry);
        running.weigh(event.written().0, event.weight);
        None
    }

    /// The same of a series that becomes another: what it will look like is written down once.
    fn goes_on_as(
        &mut self,
        number: u16,
        event: &Event<'_>,
        (ticket, anew): (Option<Ticket>, Arc<Surroundings>),
        seed: Seed,
        around: &mut Around<'_>,
    ) -> Option<u32> {
        let mut bytes = Vec::new();
        let mut runs = Runs::default();
        let rewriter = self.rewriter(number)?;
        runs.add_under(&anew, (event.index, event.point), |out| {
            rewriter.preview(event, out)
        });
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
        let source = event.surroundings_key();
        if let Some(slot) = ticket.and_then(|t| self.rewriter(number)?.slots.peek_mut(t)) {
            (slot.identity, slot.metric) = (looks.identity, looks.metric);
            slot.came = event.identity;
            (slot.around, slot.source) = (Some(anew), source);
        }
        let then = self.goes_on(number, &looks, seed, around);
        let leaves = then.and_then(|path| self.paths.get(path));
        if leaves.is_some_and(|path| path.way.end == End::Emit) {
            self.guises.claim(looks.identity, event.identity);
        }
        then
    }

    /// Whether a stage behind this one may keep something of the series.
    fn keeps_behind(&self, number: u16, event: &Event<'_>) -> bool {
        let Some(series) = event.series_view() else {
            return true;
        };
        let came = event.index.series(event.point, event.data);
        if came.is_some_and(|came| any(&self.pipeline.protect, &came)) {
            return false;
        }
        let all = self.pipeline.stages.iter().zip(&self.stages);
        for (stage, running) in all.skip(usize::from(number) + 1) {
            let keeps = match &stage.action {
                Action::Filter(Filter::Rules(filter)) => match filter.decide(&series) {
                    Decision::Pass => false,
                    Decision::Drop(_) => return false,
                    Decision::Points(_) => true,
                },
                Action::Filter(Filter::Entities(_)) => true,
                Action::Fold(fold) => fold.concerns(&series),
                Action::Sample(sample) => {
                    let keeps = match sample.method {
                        Method::Fraction { .. } => false,
                        Method::Quiet { band, .. } => applies(band, &series.metric),
                        Method::Every { .. } => true,
                    };
                    keeps && sample.matcher.matches(&series)
                }
                Action::Rewrite(rewrite) => {
                    let treats = match &running.state {
                        State::Rewrite(rewriter) => rewriter.treats(&series).is_ok(),
                        _ => true,
                    };
                    treats && rewrite.matcher.matches(&series)
                }
                Action::Transform(transform) => transform.matcher.matches(&series),
                Action::Aggregate(aggregate) => aggregate.matcher.matches(&series),
            };
            if keeps {
                return true;
            }
        }
        false
    }

    /// The way behind stage `number` of a series that it writes.
    pub(super) fn further(&self, number: u16, identity: u128) -> Option<Route> {
        let table = self.stages.get(usize::from(number))?.outputs.as_ref()?;
        Some(table.get(table.find(identity)?)?.routes.baseline)
    }

    /// Identity of what a series becomes at the stage where its route ends, where that is another.
    pub(super) fn becomes(&self, route: &Route) -> Option<u128> {
        let Place::Turned(ticket) = route.place else {
            return None;
        };
        let stage = self.path(route)?.way.stage;
        match &self.stages.get(usize::from(stage))?.state {
            State::Rewrite(rewriter) => rewriter.slots.becomes(ticket).map(|(as_, _)| as_),
            _ => None,
        }
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
        let way = then.and_then(|path| Some(&self.paths.get(path)?.way));
        let (end, outside) = (
            way.map(|way| way.end),
            way.is_some_and(|way| way.unassigned),
        );
        // The stage is told of every point, whatever becomes of it behind.
        let sink = match end {
            Some(End::Emit) => Sink::Output,
            Some(End::Filtered | End::SampledOut) => Sink::Nowhere,
            _ => Sink::Later,
        };
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
            match rewriter.take(ticket, event, seen, (sink, around.expiry)) {
                Took::Written { samples, said } => {
                    if outside && sink == Sink::Output {
                        rewriter.direct.leave_out();
                    }
                    let becomes = ticket.and_then(|t| rewriter.slots.becomes(t));
                    self.say(stage, said);
                    if sink != Sink::Later {
                        let (identity, metric) = becomes.unwrap_or(event.written());
                        let event = Event {
                            identity,
                            metric,
                            ..*event
                        };
                        self.left(stage);
                        self.counted(route, then, &event, samples);
                    }
                    return false;
                }
                Took::Withheld(said) => {
                    self.lives_behind(route, event, around);
                    self.say(stage, said);
                    self.tally(stage, |tally| tally.suppressed += 1);
                    return false;
                }
                Took::Dropped(reason) => {
                    self.lives_behind(route, event, around);
                    self.tally(stage, |tally| {
                        *tally.dropped.entry(reason).or_default() += 1;
                    });
                    return false;
                }
                Took::Passes(reason) => {
                    self.note(stage, reason);
                    break;
                }
                Took::Stale => {}
            }
        }
        self.tally(stage, |tally| tally.passed += 1);
        self.pass_on(route, stage, came, seen, around)
    }

    /// A point was held back: what the series becomes has not vanished for the later stages.
    fn lives_behind(&mut self, route: &Route, event: &Event<'_>, around: &Around<'_>) {
        let stage = self.path(route).map(|path| usize::from(path.way.stage));
        let Some((identity, stage)) = self.becomes(route).zip(stage) else {
            return;
        };
        let running = self.stages.get_mut(stage);
        let table = running.and_then(|running| running.outputs.as_mut());
        let entry = table.and_then(|table| {
            let series = table.find(identity)?;
            table.get_mut(series)
        });
        if let Some(entry) = entry
            && let Some(input) = &mut entry.input
            && !input.expired(event.clock, around.expiry)
        {
            input.lives(event.clock);
            entry.seen = event.clock.max(1);
        }
    }

    fn tally(&mut self, stage: u16, count: impl FnOnce(&mut Tally)) {
        if let Some(running) = self.stages.get_mut(usize::from(stage)) {
            count(&mut running.tally);
        }
    }

    fn say(&mut self, stage: u16, said: Said) {
        for note in said.notes.indices().filter_map(|at| NAMES.get(at)) {
            self.note(stage, note);
        }
        if let Some(reason) = said.reason {
            self.note(stage, reason);
        }
    }

    fn note(&mut self, stage: u16, reason: &'static str) {
        self.tally(stage, |tally| {
            *tally.counts.entry(reason).or_default() += 1;
        });
    }

    /// A point has left the stage: written, or not even written because a later stage drops it.
    fn left(&mut self, stage: u16) {
        self.tally(stage, |tally| {
            tally.closed += 1;
            tally.emitted += 1;
        });
    }

    /// Counts a point on its further path.
    fn counted(&mut self, route: &mut Route, then: Option<u32>, event: &Event<'_>, samples: u64) {
        let Some(path) = then.and_then(|number| self.paths.get_mut(number)) else {
            return;
        };
        path.points += 1;
        path.series += u64::from(route.out_stamp != event.window);
        let outside = path.way.unassigned;
        if outside {
            path.samples += samples;
        }
        if path.way.end == End::Emit {
            self.goes_out(route, event, samples, outside);
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
            if let Some(inside) = &mut self.inside {
                inside.add_runs(&rewriter.direct);
                inside.all_written();
            }
            rewriter.direct.write(&mut out.bytes);
            let mut request = std::mem::take(&mut rewriter.request);
            request.clear();
            let points = rewriter.release(merged, &mut request);
            running.tally.closed += points;
            running.tally.emitted += points;
            if points > 0 {
                let pieces = [request.as_slice()];
                self.take_in(number, pieces, origin, at, node, around, out);
            }
            if let Some(rewriter) = self.rewriter(number as u16) {
                rewriter.request = request;
            }
        }
    }
}

/// What is known of a series behind a stage that rewrites.
struct Seed {
    input: Option<Input>,
    /// It has its place there already, under this plan: what the stage wrote and was not let go yet is in `input`,
    /// and later stages will hear of it.
    seated: bool,
}

/// Makes the series behind the stage known, with what is known of it.
fn know(table: &mut Table, event: &Event<'_>, further: Route, seed: Seed, expiry: Nanos) {
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
        let old = entry.routes.baseline;
        entry.routes.baseline = Route {
            in_stamp: old.in_stamp,
            out_stamp: old.out_stamp,
            ..further
        };
        // What came may know more: points that went past this stage under another plan.
        let newer = |known: &Option<Input>, input: &Input| {
            known.as_ref().is_none_or(|known| {
                let behind = known.seen() == 0 || known.time() < input.time();
                known.expired(event.clock, expiry)
                    || !seed.seated && (behind || input.is_returning())
            })
        };
        if let Some(seed) = seed
            .input
            .as_ref()
            .filter(|seed| cumulative && newer(&entry.input, seed))
        {
            entry.input = Some(seed.clone());
        }
        entry.seen = event.now.max(1);
    }
}
