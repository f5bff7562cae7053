//! One arm of a plan: its stages' state, its routes' paths, its figures.
//!
//! A point that came in, or that one of the arm's own stages wrote, is a [`Event`]. `ensure` resolves
//! its series' route where the plan is new to it; `take` follows the route.

pub mod attributes;
pub mod beside;
pub mod close;
mod count;
pub mod decide;
pub mod disguise;
pub mod divide;
mod event;
mod figures;
mod folded;
pub mod gated;
mod inside;
pub mod resolve;
mod rewrite;
pub mod swap;
mod take;
mod weight;

use crate::Nanos;
use crate::compile::{Action, Pipeline, Stage};
use crate::document::Matcher;
use crate::engine::Settings;
use crate::engine::meter::Cost;
use crate::identity::Canonical;
use crate::input::{Input, Scratch};
use crate::query::watch::Watch;
use crate::route::{End, Paths, Place, Route};
use crate::splice::runs::Runs;
use crate::splice::{Kept, Lengths};
use crate::stage::transform::guise::Guises;
use crate::stage::{Running, State};
use crate::wire::index::Index;
use attributes::Attributes;
use count::{Distinct, MetricCount};
use divide::Entities;
pub use divide::Split;
pub use event::{Event, Origin};
pub use figures::Carried;
use hashbrown::HashSet;
pub use inside::Inside;
use std::sync::Arc;

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

/// Whether a stage folds.
fn folds(pipeline: &Pipeline) -> bool {
    let folds = |stage: &Stage| matches!(stage.action, Action::Fold(_));
    pipeline.stages.iter().any(folds)
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
    /// Stages end, and what they write is the last of its series.
    ending: bool,
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
        let went_out = folds(&pipeline).then(HashSet::new);
        Arm {
            pipeline,
            experiment: experiment.into(),
            side,
            generation,
            dead: false,
            ending: false,
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
            went_out,
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
        if !self.knows(route) {
            self.resolve(route, event, input, around);
        }
    }

    /// Whether the route is of this plan, and leads to its end.
    #[inline]
    pub fn knows(&self, route: &Route) -> bool {
        // Only a `topk` or `limit` lets in what it has folded before.
        route.generation == self.generation && (self.went_out.is_none() || !self.lacks_way(route))
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
}
