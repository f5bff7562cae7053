//! One arm of a plan: its stages' state, its routes' paths, its figures.
//!
//! A point that came in, or that one of the arm's own stages wrote, is a [`Event`]. `ensure` resolves
//! its series' route where the plan is new to it; `take` follows the route.

pub mod attributes;
pub mod beside;
pub mod close;
pub mod decide;
pub mod disguise;
pub mod divide;
mod figures;
mod folded;
pub mod gated;
mod inside;
pub mod resolve;
mod rewrite;
pub mod swap;
mod weight;

use crate::Nanos;
use crate::aggregate::Added;
use crate::compile::{Action, Pipeline};
use crate::document::Matcher;
use crate::engine::Settings;
use crate::engine::meter::Cost;
use crate::identity::Canonical;
use crate::input::{Input, Observation, Scratch};
use crate::prometheus::samples;
use crate::query::watch::Watch;
use crate::route::{End, Paths, Place, Route};
use crate::sketch::Sketch;
use crate::splice::runs::Runs;
use crate::splice::{Kept, Lengths};
use crate::stage::every::{Arrival, Took};
use crate::stage::transform::guise::{Guise, Guises};
use crate::stage::{Running, State};
use crate::view::{MetricType, PointView, SeriesView};
use crate::wire::index::{Index, MetricEntry, PointEntry};
use attributes::Attributes;
use divide::Entities;
pub use divide::Split;
pub use figures::Carried;
pub use inside::Inside;
use hashbrown::HashSet;
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
    fn rewritten(self) -> Origin {
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

/// What an arm needs of the engine around it.
#[derive(Debug)]
pub struct Around<'a> {
    /// The node's settings.
    pub settings: &'a Settings,
    /// Buffer of canonical encoding.
    pub canonical: &'a mut Canonical,
    /// Metric names.
    pub names: &'a mut crate::series::names::Names,
    /// The protected set that is measured in both arms.
    pub measured: &'a [Matcher],
    /// How a split divides, if there is one.
    pub split: Option<&'a mut Split>,
    /// What the comparison is about, where that is not everything.
    pub scope: &'a [Matcher],
    /// Silent state is freed after this.
    pub expiry: Nanos,
}

/// Counts of one metric name since the last cut.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricCount {
    points_in: u64,
    points_out: u64,
    series_in: u64,
    series_out: u64,
}

/// Distinct series since the last cut.
#[derive(Debug, Clone, Default)]
pub struct Distinct {
    count: u64,
    /// A series without a place in the table came: the count is no longer exact.
    inexact: bool,
    sketch: Sketch,
}

impl Distinct {
    fn add(&mut self, event: &Event<'_>) {
        self.count += 1;
        self.inexact |= !event.tracked;
        self.sketch.insert(event.identity);
    }
}

/// One arm.
#[derive(Debug)]
pub struct Arm {
    /// What it runs.
    pub pipeline: Arc<Pipeline>,
    /// The experiment it belongs to; empty for the baseline.
    pub experiment: String,
    /// 0 baseline, 1 candidate: which of a series' routes is its own.
    pub side: usize,
    /// Generation of the plan.
    pub generation: u32,
    /// A panic ended it.
    pub dead: bool,
    /// Tests make the arm panic at this point time.
    #[cfg(test)]
    pub panics_at: Option<Nanos>,
    /// What stays of the request at hand.
    pub kept: Kept,
    /// Bytes fed to it since the last cut.
    pub bytes_in: u64,
    /// Bytes written since the last cut.
    pub bytes_out: u64,
    /// Prometheus samples that came in and that went out since the last cut; `None` where nothing is compared.
    pub samples: Option<(u64, u64)>,
    /// Points rejected since the last cut.
    pub rejected: u64,
    /// Outputs that met a passing series of the same identity.
    pub conflicts: u64,
    stages: Vec<Running>,
    paths: Paths,
    metrics: Vec<MetricCount>,
    series_in: Distinct,
    series_out: Distinct,
    /// Identities that went out since the last cut, where a stage folds: of one series it lets some points
    /// pass and writes others anew, which come by another way and bear another stamp.
    went_out: Option<HashSet<u128>>,
    /// Entities that came in; `None` without a split by entity.
    pub entities: Option<Entities>,
    /// Some of what comes may be outside the comparison.
    pub weighs_outside: bool,
    /// Series that came in and that went out, of those inside the comparison; `None` where all are.
    pub compared: Option<Box<(Distinct, Distinct)>>,
    /// Bytes of those inside the comparison; `None` where all of what comes is compared.
    pub inside: Option<Box<Inside>>,
    /// Attribute keys of what it wrote, where they are counted.
    pub attributes: Option<Attributes>,
    /// What it cost.
    pub cost: Cost,
    /// Whether that is measured.
    pub measured: bool,
    carried: Carried,
    /// Outputs that began in this call; kept where other workers must know.
    begun: Vec<u128>,
    /// What transforms call series whose points are written anew.
    guises: Guises,
    /// Points that leave under another identity.
    leaving: Runs,
    /// A point's body under another identity.
    body: Vec<u8>,
    lengths: Lengths,
    scratch: Scratch,
    /// Of what a stage wrote.
    inner: Index,
    /// Evaluates queries on what the arm writes; `None` without queries.
    pub watch: Option<Box<Watch>>,
}

impl Arm {
    /// An arm without history. `created`: the swap that began it, 0 at the start of an engine.
    pub fn new(
        pipeline: Arc<Pipeline>,
        experiment: &str,
        side: usize,
        generation: u32,
        settings: &Settings,
        created: Nanos,
    ) -> Arm {
        let stages = pipeline
            .stages
            .iter()
            .map(|stage| Running::new(stage, settings, created))
            .collect();
        let mut stages_of = pipeline.stages.iter();
        let folds = stages_of.any(|s| matches!(s.action, Action::Fold(_)));
        Arm {
            pipeline,
            experiment: experiment.into(),
            side,
            generation,
            dead: false,
            #[cfg(test)]
            panics_at: None,
            kept: Kept::default(),
            bytes_in: 0,
            bytes_out: 0,
            samples: None,
            rejected: 0,
            conflicts: 0,
            stages,
            paths: Paths::default(),
            metrics: Vec::new(),
            series_in: Distinct::default(),
            series_out: Distinct::default(),
            went_out: folds.then(HashSet::new),
            entities: None,
            weighs_outside: false,
            compared: None,
            inside: None,
            attributes: None,
            cost: Cost::default(),
            measured: false,
            carried: Carried::default(),
            begun: Vec::new(),
            guises: Guises::default(),
            leaving: Runs::default(),
            body: Vec::new(),
            lengths: Lengths::default(),
            scratch: Scratch::default(),
            inner: Index::default(),
            watch: None,
        }
    }

    /// Resolves the route where it is of another plan. `input`: what is known of the series before
    /// this point.
    #[inline]
    pub fn ensure(
        &mut self,
        route: &mut Route,
        event: &Event<'_>,
        input: Option<&Input>,
        around: &mut Around<'_>,
    ) {
        if route.generation != self.generation {
            self.resolve(route, event, input, around);
        }
    }

    /// Whether the point's increment is asked for.
    #[inline]
    pub fn observes(&self, route: &Route) -> bool {
        let Some(way) = self.paths.get(route.path).map(|path| &path.way) else {
            return false;
        };
        match way.end {
            End::Hold | End::Absorb | End::Fold => true,
            End::Gate | End::Rewrite => self.asks(way.stage, route.place),
            End::Emit | End::Filtered | End::SampledOut | End::Other => false,
        }
    }

    /// Whether a stage that not always looks at increments does.
    fn asks(&self, stage: u16, place: Place) -> bool {
        let running = self.stages.get(usize::from(stage));
        match (running.map(|s| &s.state), place) {
            (Some(State::Gate(gate)), Place::Slot(slot)) => gate.observes(slot),
            (Some(State::Rewrite(_)), place) => matches!(place, Place::Turned(_)),
            _ => false,
        }
    }

    /// The path of a route that this plan resolved.
    pub fn path(&self, route: &Route) -> Option<&crate::route::Path> {
        self.paths
            .get(route.path)
            .filter(|_| route.generation == self.generation)
    }

    /// The path with this number.
    pub fn path_of(&self, number: u32) -> Option<&crate::route::Path> {
        self.paths.get(number)
    }

    /// The output that a route's points go to.
    pub fn output_of(&self, route: &Route) -> Option<crate::aggregate::Place<'_>> {
        let Place::Seat(seat) = route.place else {
            return None;
        };
        let stage = self.path(route)?.way.stage;
        match &self.stages.get(usize::from(stage))?.state {
            State::Aggregate(aggregation) => aggregation.output_of(seat),
            _ => None,
        }
    }

    /// Whether a split gave the series to the other arm.
    #[inline]
    pub fn is_foreign(&self, route: &Route) -> bool {
        self.paths
            .get(route.path)
            .is_some_and(|path| path.way.end == End::Other)
    }

    /// Follows the route with one point. True if the point goes to the output as it is; one that goes
    /// there under another identity waits among the arm's leaving points.
    #[inline]
    pub fn take(
        &mut self,
        route: &mut Route,
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        around: &mut Around<'_>,
    ) -> bool {
        let samples = self.samples_of(event);
        let Some(path) = self.paths.get_mut(route.path) else {
            return false;
        };
        #[cfg(test)]
        assert_ne!(
            self.panics_at,
            Some(event.point.time),
            "asked for by a test"
        );
        let (end, stage, then) = (path.way.end, path.way.stage, path.way.then);
        let outside = path.way.unassigned;
        if end == End::Other {
            return false;
        }
        path.points += 1;
        let first = route.in_stamp != event.window;
        if first {
            route.in_stamp = event.window;
            path.series += 1;
        }
        if outside {
            path.samples += samples;
        }
        if event.origin == Origin::Received {
            self.came_in(event, first, samples, outside);
            if first && self.entities.is_some() {
                self.entity(event, around);
            }
        }
        match end {
            End::Emit if route.guise != 0 || event.guise.is_some() => {
                self.leaves(route, event, outside, around)
            }
            End::Emit => {
                self.goes_out(route, event, samples, outside);
                true
            }
            End::Hold | End::Absorb => self.stateful(route, stage, event, seen, around),
            End::Gate => self.gated(route, stage, event, seen, around),
            End::Rewrite => self.rewrite(route, (stage, then), event, seen, around),
            End::Fold => self.folded(route, stage, event, seen, around),
            End::Filtered | End::SampledOut | End::Other => false,
        }
    }

    /// How many samples a point is, where they are counted.
    #[inline]
    fn samples_of(&self, event: &Event<'_>) -> u64 {
        match self.samples {
            Some(_) => event.samples(),
            None => 0,
        }
    }

    #[inline]
    fn came_in(&mut self, event: &Event<'_>, first: bool, samples: u64, outside: bool) {
        if let Some((came, _)) = &mut self.samples {
            *came += samples;
        }
        let metric = self.metric(event.metric);
        metric.points_in += 1;
        if first {
            metric.series_in += 1;
            self.series_in.add(event);
            if let Some(compared) = self.compared.as_mut().filter(|_| !outside) {
                compared.0.add(event);
            }
        }
    }

    fn entity(&mut self, event: &Event<'_>, around: &Around<'_>) {
        let hash = around
            .split
            .as_deref()
            .and_then(|split| split.hash(event.series));
        if let (Some(hash), Some(entities)) = (hash, &mut self.entities) {
            entities.add(hash, around.settings.limits.series);
        }
    }

    /// A point is written, and `samples` are.
    #[inline]
    fn goes_out(&mut self, route: &mut Route, event: &Event<'_>, samples: u64, outside: bool) {
        if let Some((_, left)) = &mut self.samples {
            *left += samples;
        }
        let mut first = route.out_stamp != event.window;
        route.out_stamp = event.window;
        if first && let Some(went_out) = &mut self.went_out {
            first = went_out.insert(event.written().0);
        }
        let metric = self.metric(event.metric);
        metric.points_out += 1;
        if first {
            metric.series_out += 1;
            self.series_out.add(event);
            if let Some(compared) = self.compared.as_mut().filter(|_| !outside) {
                compared.1.add(event);
            }
            if let Some(attributes) = &mut self.attributes
                && let Some(series) = event.series_view()
            {
                attributes.add(&series, event.identity);
            }
        }
    }

    #[inline]
    fn metric(&mut self, number: u32) -> &mut MetricCount {
        let number = number as usize;
        if number >= self.metrics.len() {
            self.metrics.resize(number + 1, MetricCount::default());
        }
        // Just made long enough.
        &mut self.metrics[number]
    }

    /// A point whose path ends in a stage's state.
    fn stateful(
        &mut self,
        route: &mut Route,
        stage: u16,
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        around: &mut Around<'_>,
    ) -> bool {
        let guise = self.guise_of(route, event, around);
        let came = event;
        let event = &came.called(guise.as_ref());
        // A place can expire while the series lives: it is given anew, once.
        for again in [false, true] {
            if again {
                self.seat_again(route, stage, came, around);
            }
            let Some(running) = self.stages.get_mut(usize::from(stage)) else {
                return false;
            };
            match (&mut running.state, route.place) {
                (State::Aggregate(aggregation), Place::Seat(seat)) => {
                    let keeps = aggregation.keeps_original();
                    match aggregation.add(seat, &event.view(), seen, event.now) {
                        Added::Stale => continue,
                        added if keeps => {
                            running.tally.copied(added);
                            return self.go_beside(route, (stage, seat), came, seen, around);
                        }
                        Added::Absorbed => return false,
                        Added::Dropped(reason) => {
                            *running.tally.dropped.entry(reason).or_default() += 1;
                            return false;
                        }
                        Added::Passes(_) => break,
                    }
                }
                (State::Every(every), Place::Held(ticket)) => {
                    let of = event.index.metrics.get(event.point.metric as usize);
                    let key = event.surroundings_key();
                    every.surround(ticket, key, |shared| event.surroundings(shared));
                    let arrival = Arrival {
                        point: event.written_view(&mut self.body),
                        delta: of.is_some_and(MetricEntry::is_delta),
                        new_epoch: seen.is_some_and(|seen| seen.new_epoch),
                    };
                    match every.take(ticket, &arrival, event.now, &mut running.tally) {
                        Took::Held => return false,
                        Took::SampledOut => {
                            running.tally.sampled_out += 1;
                            return false;
                        }
                        Took::Passes => break,
                        Took::Stale => {}
                    }
                }
                _ => break,
            }
        }
        if let Some(running) = self.stages.get_mut(usize::from(stage)) {
            running.tally.passed += 1;
        }
        self.pass_on(route, stage, came, seen, around)
    }

    /// One point goes on from a stage whose state its series usually ends in. Rare: its further way
    /// is found each time.
    fn pass_on(
        &mut self,
        route: &mut Route,
        stage: u16,
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        around: &mut Around<'_>,
    ) -> bool {
        let (guise, weight) = self.disguised(event, stage, around);
        let event = Event {
            entry: stage + 1,
            guise: guise.as_ref(),
            weight,
            ..*event
        };
        let mut further = Route {
            // Whether it is the series' first in this window, the stages behind know by its output.
            in_stamp: route.out_stamp,
            out_stamp: route.out_stamp,
            ..Route::VOID
        };
        let input = self.released(stage, event.written().0);
        self.resolve(&mut further, &event, input.as_ref(), around);
        let inner = Event {
            origin: Origin::Released,
            ..event
        };
        let kept = self.take(&mut further, &inner, seen, around);
        self.guises.free(further.guise);
        route.out_stamp = further.out_stamp;
        kept
    }

    /// What is known of a series behind the `sample every` of this stage.
    fn released(&self, stage: u16, identity: u128) -> Option<Input> {
        let running = self.stages.get(usize::from(stage))?;
        let State::Every(_) = &running.state else {
            return None;
        };
        let table = running.outputs.as_ref()?;
        table.get(table.find(identity)?)?.input.clone()
    }
}
