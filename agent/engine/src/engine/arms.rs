//! `feed` while an experiment runs: first what both arms need of the request, then each arm takes it as a
//! whole. So an arm's time is told by a few looks at the clock, and neither waits in the other's caches.
//!
//! A counter's increment is looked at once, before either arm takes its points, and kept for both. Where the
//! candidate panics in a split, its points that it had not taken go to the baseline as if nobody had seen
//! them; in a shadow the baseline has them already.

use super::Engine;
use super::Outs;
use super::feed::{Incoming, Whole, event, leave, meet, series_of};
use crate::arm::{Arm, Around, Event};
use crate::input::record::{Records, Seen};
use crate::input::{Input, Scratch};
use crate::route::Route;
use crate::series::{Entry, Table};
use crate::wire::index::Index;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Of a step: nothing was kept.
const NOTHING: u32 = u32::MAX;

/// One point of a request that both arms are to take.
#[derive(Debug, Clone, Copy)]
struct Step {
    number: u32,
    series: u32,
    /// Of a series without a place in the table: its place among the loose ones.
    loose: u32,
    /// What it says, among the records.
    seen: u32,
    /// A split gave it to the candidate: its input as it was before, among the earlier ones.
    earlier: u32,
}

/// A request on its way through both arms. Reused.
#[derive(Debug, Default)]
pub(super) struct Pass {
    steps: Vec<Step>,
    loose: Vec<Entry>,
    records: Records,
    earlier: Vec<Option<Input>>,
}

impl Pass {
    fn clear(&mut self) {
        self.steps.clear();
        self.loose.clear();
        self.records.clear();
        self.earlier.clear();
    }
}

/// The entry of a step's series.
fn entry_of<'e>(
    step: &Step,
    table: &'e mut Table,
    loose: &'e mut [Entry],
) -> Option<&'e mut Entry> {
    match step.loose {
        NOTHING => table.get_mut(step.series),
        place => loose.get_mut(place as usize),
    }
}

/// The step's point, as an event of a series that is known.
fn event_of<'a>(step: &Step, of: &Source<'a>, entry: &Entry) -> Option<Event<'a>> {
    let event = event(of.index, of.data, step.number as usize, of.now, of.window)?;
    Some(Event {
        series: step.series,
        tracked: step.loose == NOTHING,
        identity: entry.identity,
        metric: entry.metric,
        ..event
    })
}

/// What events are made of.
struct Source<'a> {
    index: &'a Index,
    data: &'a [u8],
    now: crate::Nanos,
    window: u32,
}

/// Looks at counters for both arms.
struct Look<'e> {
    /// Baseline and candidate; whether a split divides between them.
    arms: (&'e Arm, Option<&'e Arm>, bool),
    /// When this node began to observe.
    began: crate::Nanos,
    scratch: &'e mut Scratch,
    records: &'e mut Records,
    earlier: &'e mut Vec<Option<Input>>,
}

impl Look<'_> {
    /// Whether every arm has a route for the series.
    #[inline]
    fn knows(&self, entry: &Entry) -> bool {
        let (baseline, candidate, _) = self.arms;
        let [ours, theirs] = [0, 1].map(|side| entry.routes.of(side));
        baseline.knows(ours) && candidate.is_none_or(|arm| arm.knows(theirs))
    }

    /// What a step's point says, for the arm that asks.
    #[inline]
    fn observe(&mut self, step: &mut Step, entry: &mut Entry, event: &Event<'_>) {
        let (baseline, candidate, split) = self.arms;
        let [ours, theirs] = [0, 1].map(|side| entry.routes.of(side));
        if split && candidate.is_some_and(|arm| !arm.is_foreign(theirs)) {
            step.earlier = self.earlier.len() as u32;
            self.earlier.push(entry.input.clone());
        }
        let observes = baseline.observes(ours) || candidate.is_some_and(|arm| arm.observes(theirs));
        let Some(input) = &mut entry.input else {
            return;
        };
        let view = event.view();
        if observes {
            let seen = input.observe(&view, self.began, event.now, self.scratch);
            step.seen = self.records.keep(Seen::from(seen), self.scratch);
        } else {
            input.follow(&view, event.now);
        }
    }
}

macro_rules! source {
    ($engine:expr, $from:expr) => {
        Source {
            index: &$engine.index,
            data: $from.data,
            now: $engine.now,
            window: $engine.window,
        }
    };
}

impl Engine {
    /// Both arms take the request; what they need not write themselves is true.
    ///
    /// It goes in runs: a series whose route is to be found ends one, so that in each arm routes are found
    /// and points are taken in the order of the points.
    pub(super) fn feed_both(&mut self, from: Incoming<'_>, outs: &mut Outs) -> Whole {
        self.receive(from.data, 0);
        self.receive(from.data, 1);
        self.reached = [false; 2];
        let mut pass = std::mem::take(&mut self.pass);
        pass.clear();
        // Who comes second finds the way trodden: a shadow's arms take turns.
        self.turn = !self.turn && self.split.is_none();
        let (mut next, mut at) = (0, 0);
        loop {
            let until = self.meet_run(from, &mut pass, &mut next, at);
            self.meter.share();
            self.run_both(from, &mut pass, at..until);
            at = until;
            if at == pass.steps.len() {
                break;
            }
            self.ensure_step(from, &mut pass, at);
        }
        let mut whole = [false; 2];
        if !self.turn {
            whole[0] = self.leave_baseline(from, outs);
            self.meter.charge(&mut self.baseline.cost);
        }
        whole[1] = self.leave_candidate(from, outs);
        if self.turn {
            whole[0] = self.leave_baseline(from, outs);
            self.meter.charge(&mut self.baseline.cost);
        }
        self.request_done();
        self.pass = pass;
        whole
    }

    fn request_done(&mut self) {
        let [ours, theirs] = self.reached;
        self.baseline.cost.request_done(ours);
        if let Some(arm) = &mut self.candidate {
            arm.cost.request_done(theirs);
        }
    }

    /// Finds the series of the points from `next` on, and looks at each counter once, for whoever asks for its
    /// increment: up to a series without a route, whose step is the last then. The number of steps that both
    /// arms can take. `at`: the first step that no arm has taken; it may have waited for its route.
    fn meet_run(
        &mut self,
        from: Incoming<'_>,
        pass: &mut Pass,
        next: &mut usize,
        at: usize,
    ) -> usize {
        let (source, split) = (source!(self, from), self.split.is_some());
        let mut around = around!(self);
        let candidate = self.candidate.as_ref().filter(|arm| !arm.dead);
        let mut look = Look {
            arms: (&self.baseline, candidate, split),
            began: around.settings.began,
            scratch: &mut self.scratch,
            records: &mut pass.records,
            earlier: &mut pass.earlier,
        };
        if let Some(step) = pass.steps.get_mut(at) {
            let entry = entry_of(step, &mut self.table, &mut pass.loose);
            let event = entry.as_ref().and_then(|e| event_of(step, &source, e));
            if let (Some(entry), Some(event)) = (entry, event) {
                // Its routes are what can be found: the arms take it as they are.
                look.observe(step, entry, &event);
            }
        }
        for number in *next..source.index.points.len() {
            *next = number + 1;
            let now = (self.now, self.window);
            let Some(mut event) = event(source.index, source.data, number, now.0, now.1) else {
                continue;
            };
            let series = series_of(&event, &mut self.table, &mut self.transient, &mut around);
            let mut step = Step {
                number: number as u32,
                series,
                loose: NOTHING,
                seen: NOTHING,
                earlier: NOTHING,
            };
            let entry = match self.table.get_mut(series) {
                Some(entry) => entry,
                None => {
                    step.loose = pass.loose.len() as u32;
                    let transient = std::mem::replace(&mut self.transient, Entry::new(0, 0, None));
                    pass.loose.push(transient);
                    &mut pass.loose[step.loose as usize]
                }
            };
            meet(entry, &mut event, around.expiry);
            let known = look.knows(entry);
            if known {
                look.observe(&mut step, entry, &event);
            }
            pass.steps.push(step);
            if !known {
                return pass.steps.len() - 1;
            }
        }
        pass.steps.len()
    }

    /// The routes of a series that the plan is new to.
    fn ensure_step(&mut self, from: Incoming<'_>, pass: &mut Pass, place: usize) {
        let Some(step) = pass.steps.get(place).copied() else {
            return;
        };
        let source = source!(self, from);
        let mut around = around!(self);
        let series = (&mut self.table, &mut pass.loose);
        ensure(&mut self.baseline, &step, &source, series, &mut around);
        self.meter.charge(&mut self.baseline.cost);
        let Some(arm) = self.candidate.as_mut().filter(|arm| !arm.dead) else {
            return;
        };
        let series = (&mut self.table, &mut pass.loose);
        let done = catch_unwind(AssertUnwindSafe(|| {
            ensure(arm, &step, &source, series, &mut around);
        }));
        self.meter.charge(&mut arm.cost);
        if done.is_err() {
            // It has not taken this point, nor those after it: the baseline has them.
            self.end_candidate();
        }
    }

    /// Both arms take a run.
    fn run_both(&mut self, from: Incoming<'_>, pass: &mut Pass, run: Range<usize>) {
        if run.is_empty() {
            return;
        }
        if self.turn {
            self.run_baseline(from, pass, run.clone());
        }
        let panicked = self.run_candidate(from, pass, run.clone());
        if !self.turn {
            self.run_baseline(from, pass, run.clone());
        }
        if let Some(next) = panicked {
            self.take_over(from, pass, next..run.end);
        }
    }

    fn run_baseline(&mut self, from: Incoming<'_>, pass: &mut Pass, run: Range<usize>) {
        let source = source!(self, from);
        let mut around = around!(self);
        let arm = &mut self.baseline;
        for step in pass.steps.get(run).unwrap_or_default() {
            let series = (&mut self.table, &mut pass.loose);
            let own = take(arm, step, &source, series, &pass.records, &mut around);
            self.reached[0] |= own;
        }
        self.meter.charge(&mut self.baseline.cost);
    }

    /// The candidate takes a run. A panic ends it; then the first step that it has not met is given.
    fn run_candidate(
        &mut self,
        from: Incoming<'_>,
        pass: &mut Pass,
        run: Range<usize>,
    ) -> Option<usize> {
        let source = source!(self, from);
        let mut around = around!(self);
        let arm = self.candidate.as_mut().filter(|arm| !arm.dead)?;
        let (mut next, mut reached) = (run.start, false);
        let done = catch_unwind(AssertUnwindSafe(|| {
            if let Some(fault) = around.settings.fault {
                arm.fail(fault);
            }
            for step in pass.steps.get(run).unwrap_or_default() {
                next += 1;
                let series = (&mut self.table, &mut pass.loose);
                reached |= take(arm, step, &source, series, &pass.records, &mut around);
            }
        }));
        self.reached[1] |= reached;
        self.meter.charge(&mut arm.cost);
        if done.is_err() {
            arm.end_by_panic();
            return Some(next);
        }
        None
    }

    /// What the candidate wrote anew, and what stays of the request; after a panic only what it had let
    /// pass.
    fn leave_candidate(&mut self, from: Incoming<'_>, outs: &mut Outs) -> bool {
        let (at, alone) = (self.moment(), self.alone());
        let mut around = around!(self);
        let Some(arm) = &mut self.candidate else {
            return false;
        };
        let out = &mut outs.candidate;
        let written = (out.bytes.len(), out.points);
        let done = catch_unwind(AssertUnwindSafe(|| {
            if !arm.dead {
                arm.close_early(at, &self.table, &mut around, out);
            }
        }));
        let panicked = done.is_err();
        if panicked {
            // Nothing half written leaves.
            out.bytes.truncate(written.0);
            out.points = written.1;
            arm.end_by_panic();
        }
        let whole = leave(arm, &self.index, from, alone, out) && !arm.dead;
        self.meter.charge(&mut arm.cost);
        if panicked {
            self.retire_candidate();
        }
        whole
    }

    /// After a panic the baseline takes the steps of the run that a split had given to the candidate, and
    /// that it has not taken: as if nobody had seen them.
    #[cold]
    fn take_over(&mut self, from: Incoming<'_>, pass: &mut Pass, rest: Range<usize>) {
        self.retire_candidate();
        let rest = pass.steps.get(rest).unwrap_or_default();
        let of_candidate = |step: &&Step| step.earlier != NOTHING;
        // The earliest of a series counts: from the last to the first.
        for step in rest.iter().rev().filter(of_candidate) {
            let earlier = pass.earlier.get_mut(step.earlier as usize);
            if let Some(entry) = entry_of(step, &mut self.table, &mut pass.loose) {
                entry.input = earlier.and_then(Option::take);
            }
        }
        for step in rest.iter().filter(of_candidate) {
            self.point(from.data, step.number as usize);
        }
    }
}

/// Finds the way of a step's series.
fn ensure(
    arm: &mut Arm,
    step: &Step,
    source: &Source<'_>,
    (table, loose): (&mut Table, &mut Vec<Entry>),
    around: &mut Around<'_>,
) {
    let side = arm.side;
    let Some(entry) = entry_of(step, table, loose) else {
        return;
    };
    let mut route: Route = *entry.routes.of(side);
    if arm.knows(&route) {
        return;
    }
    let Some(event) = event_of(step, source, entry) else {
        return;
    };
    arm.ensure(&mut route, &event, entry.input.as_ref(), around);
    *entry.routes.of_mut(side) = route;
    if step.loose == NOTHING {
        arm.check_conflict(event.identity, &route, table);
    }
}

/// One point follows its route; whether it was the arm's.
#[inline]
fn take(
    arm: &mut Arm,
    step: &Step,
    source: &Source<'_>,
    (table, loose): (&mut Table, &mut Vec<Entry>),
    records: &Records,
    around: &mut Around<'_>,
) -> bool {
    let side = arm.side;
    let Some(entry) = entry_of(step, table, loose) else {
        return false;
    };
    let Some(event) = event_of(step, source, entry) else {
        return false;
    };
    let route = entry.routes.of_mut(side);
    // Where nothing is divided, all is both arms'.
    let own = arm.inside.is_none() || !arm.is_foreign(route);
    let seen = match step.seen {
        NOTHING => None,
        number => records.get(number),
    };
    if arm.take(route, &event, seen.as_ref(), around) {
        arm.kept.keep(step.number as usize);
    }
    if own {
        arm.own(step.number as usize, route);
    }
    own
}
