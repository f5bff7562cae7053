//! The five functions: `feed`, `tick`, `swap`, `merge` (and `compile`, in its own file).

/// What an arm needs of the engine around it, borrowed field by field.
macro_rules! around {
    ($engine:expr) => {
        crate::arm::Around {
            settings: &$engine.settings,
            canonical: &mut $engine.canonical,
            names: &mut $engine.names,
            measured: &$engine.measured,
            split: $engine.split.as_mut(),
            scope: &$engine.scope,
            expiry: $engine.expiry,
        }
    };
}

mod arms;
mod feed;
mod look;
pub mod meter;
mod plan;
mod settings;
mod share;

use crate::Nanos;
use crate::arm::close::{Moment, Out};
use crate::arm::{Arm, Around, Split};
use crate::compile::Plan;
use crate::document::Matcher;
pub use crate::explain::Explanation;
use crate::explain::Heard;
use crate::identity::Canonical;
use crate::input::Scratch;
use crate::report::{ArmFigures, Report};
use crate::series::names::Names;
use crate::series::{Entry, Table};
use crate::stage::Closing;
use crate::wire::index::Index;
use arms::Pass;
use bytes::Bytes;
pub(crate) use feed::Incoming;
pub use look::{count_points, earliest_time, for_each_point, latest_time};
use meter::Meter;
pub use settings::{Fault, Limits, Place, Refusal, Settings};
use share::Hands;
pub use share::{Decisions, Share};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What leaves the engine in one call: a valid `ExportMetricsServiceRequest` an arm.
#[derive(Debug, Clone, Default)]
pub struct Emitted {
    /// To the next hop. In a split both arms' output, one after the other.
    pub out: Bytes,
    /// Points in `out`.
    pub points: u64,
    /// In a split, how much of `out` the candidate wrote: its last bytes, and the points in them.
    pub candidate: (usize, u64),
    /// A shadow candidate's output; never to the next hop.
    pub shadow: Bytes,
    /// Points in `shadow`.
    pub shadow_points: u64,
}

/// An accepted request.
#[derive(Debug, Clone, Default)]
pub struct Fed {
    /// Points in the request, rejected ones included.
    pub received: u64,
    /// Points rejected one by one.
    pub rejected: u64,
    /// Why the first of them was.
    pub reason: Option<String>,
    /// What leaves at once.
    pub emitted: Emitted,
}

/// One worker's engine.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    plan: Arc<Plan>,
    /// Never goes back.
    now: Nanos,
    /// Of the plan: routes of another are void.
    generation: u32,
    /// Window of figures: stamps of another are old.
    window: u32,
    /// Every series of this node, whatever the plan.
    table: Table,
    index: Index,
    names: Names,
    canonical: Canonical,
    scratch: Scratch,
    baseline: Arm,
    candidate: Option<Arm>,
    /// Figures of candidates that a swap ended since the last cut.
    ended: Vec<ArmFigures>,
    measured: Vec<Matcher>,
    split: Option<Split>,
    /// What the comparison is about, where that is not everything.
    scope: Vec<Matcher>,
    /// Stands in for a series that found no place in the table.
    transient: Entry,
    /// Of the running plan: silent state is freed after this.
    patience: Nanos,
    /// What last spoke before this has expired under an earlier plan.
    forgotten: Nanos,
    /// What has been silent for longer has expired, at the engine's now.
    expiry: Nanos,
    heard: Heard,
    meter: Meter,
    pass: Pass,
    /// Which of a shadow's arms takes the next request first.
    turn: bool,
    /// Whether the last request held points of baseline and candidate.
    reached: [bool; 2],
    /// Cuts under this plan: that of the swap, that of the window it began in, ...
    cuts: u32,
    /// Of requests, since the last cut.
    bytes_in: u64,
}

/// The window after so many cuts is the first whole one, and is compared with nothing: attributes are
/// counted in it.
const WARM_UP: u32 = 2;

/// Silent state is freed after this, where no aggregation says otherwise.
const EXPIRY: Nanos = 300 * 1_000_000_000;

impl Engine {
    /// An engine that runs `plan`. `now` is only a lower bound for windows.
    pub fn new(settings: Settings, plan: Arc<Plan>, now: Nanos) -> Engine {
        let baseline = Arm::new(plan.baseline.clone(), "", 0, 1, &settings, 0);
        let candidate = plan
            .candidate
            .as_ref()
            .map(|c| Arm::new(c.pipeline.clone(), &c.experiment, 1, 1, &settings, 0));
        let mut engine = Engine {
            table: Table::new(settings.own_series(), settings.memo_seed),
            meter: Meter::new(settings.clock),
            settings,
            now,
            generation: 1,
            window: 1,
            index: Index::default(),
            names: Names::default(),
            canonical: Canonical::default(),
            scratch: Scratch::default(),
            baseline,
            candidate,
            ended: Vec::new(),
            measured: Vec::new(),
            split: None,
            scope: Vec::new(),
            transient: Entry::new(0, 0, None),
            patience: EXPIRY,
            forgotten: 0,
            expiry: EXPIRY,
            heard: Heard::default(),
            pass: Pass::default(),
            turn: false,
            reached: [false; 2],
            cuts: 0,
            bytes_in: 0,
            plan,
        };
        engine.shape();
        engine
    }

    /// Closes every window with end + lateness <= now and writes its points.
    pub fn tick(&mut self, now: Nanos) -> Emitted {
        self.advance(now);
        self.meter.start();
        let outs = self.close(Closing::Due, self.now, &mut Hands::default());
        self.sweep();
        self.meter.share();
        self.emitted(outs)
    }

    /// Closes every window, whatever its end: the end of a capture.
    pub fn finish(&mut self, now: Nanos) -> Emitted {
        self.advance(now);
        let outs = self.close(Closing::All, self.now, &mut Hands::default());
        self.emitted(outs)
    }

    /// Figures since the last cut; begins anew.
    pub fn cut(&mut self) -> Report {
        let mut report = self.figures();
        let now = self.now;
        report.baseline.queries = self.baseline.watch.as_mut().map(|watch| watch.cut(now));
        if let (Some(arm), Some(figures)) = (&mut self.candidate, &mut report.candidate) {
            figures.queries = arm.watch.as_mut().map(|watch| watch.cut(now));
        }
        self.ended.clear();
        self.baseline.reset();
        if let Some(candidate) = &mut self.candidate {
            candidate.reset();
        }
        self.meter.reset();
        self.bytes_in = 0;
        self.window += 1;
        self.cuts = self.cuts.saturating_add(1);
        if self.cuts == WARM_UP && self.plan.candidate.is_some() {
            self.baseline.attributes = Some(Default::default());
            if let Some(candidate) = &mut self.candidate {
                candidate.attributes = Some(Default::default());
            }
        }
        report
    }

    /// Figures since the last cut, without a cut.
    pub fn figures(&self) -> Report {
        let shared = self.settings.is_shared();
        Report {
            baseline: self.baseline.figures(&self.names, shared),
            candidate: self
                .candidate
                .as_ref()
                .map(|arm| arm.figures(&self.names, self.settings.is_shared())),
            ended: self.ended.clone(),
            bytes_in: self.bytes_in,
            shared_cpu: self.meter.shared(),
            shared_bytes: (self.table.bytes() + self.heard.bytes()) as u64,
        }
    }

    /// Somebody is about to ask what happens to series: from now on, and until nobody has asked for ten
    /// minutes, the newest requests are kept.
    pub fn listen(&mut self) {
        self.heard.listen(self.now);
    }

    /// For how long the engine has listened, nanoseconds.
    pub fn listened(&self) -> Nanos {
        self.heard.since(self.now)
    }

    /// What happens to the series that match, from their routes; at most `limit`. Only series that
    /// spoke lately, after a `listen`, are known by their attributes.
    pub fn explain(
        &self,
        metric: Option<&str>,
        attributes: &[(String, String)],
        limit: usize,
    ) -> Vec<Explanation> {
        let arms: Vec<&Arm> = std::iter::once(&self.baseline)
            .chain(&self.candidate)
            .collect();
        let question = crate::explain::Question {
            metric,
            attributes,
            limit,
        };
        self.heard
            .explain(&question, &self.table, &arms, self.settings.fleet_seed)
    }

    /// At most how many points the windows that are open will write.
    pub fn to_write(&self) -> usize {
        self.baseline.to_write() + self.candidate.as_ref().map_or(0, Arm::to_write)
    }

    /// Series whose state is kept, and an estimate of its bytes.
    pub fn state_size(&self) -> (usize, usize) {
        let arms = self.baseline.bytes() + self.candidate.as_ref().map_or(0, Arm::bytes);
        (
            self.table.len(),
            self.table.bytes() + arms + self.heard.bytes(),
        )
    }

    /// The plan that runs.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    fn advance(&mut self, now: Nanos) {
        self.now = self.now.max(now);
        let remembered = self.now.saturating_sub(self.forgotten);
        self.expiry = self.patience.min(remembered);
    }

    /// Closes windows of both arms as of `now`.
    fn close(&mut self, how: Closing, now: Nanos, hands: &mut Hands) -> Outs {
        let mut outs = Outs::default();
        let at = Moment {
            now,
            window: self.window,
        };
        self.both(&mut outs, |arm, node, around, out| {
            if let Some(hand) = hands.due.get_mut(arm.side) {
                arm.close(at, how, hand, node, around, out);
            }
        });
        outs
    }

    /// Does something with both arms; a panic ends the candidate.
    fn both(
        &mut self,
        outs: &mut Outs,
        mut what: impl FnMut(&mut Arm, &Table, &mut Around<'_>, &mut Out),
    ) {
        let mut around = around!(self);
        what(
            &mut self.baseline,
            &self.table,
            &mut around,
            &mut outs.baseline,
        );
        self.meter.charge(&mut self.baseline.cost);
        let Some(candidate) = self.candidate.as_mut().filter(|arm| !arm.dead) else {
            return;
        };
        let written = (outs.candidate.bytes.len(), outs.candidate.points);
        let done = catch_unwind(AssertUnwindSafe(|| {
            what(candidate, &self.table, &mut around, &mut outs.candidate);
        }));
        self.meter.charge(&mut candidate.cost);
        if done.is_err() {
            // Nothing half written leaves.
            outs.candidate.bytes.truncate(written.0);
            outs.candidate.points = written.1;
            self.end_candidate();
        }
    }

    /// After a panic: the baseline takes all from here on.
    #[cold]
    fn end_candidate(&mut self) {
        if let Some(candidate) = &mut self.candidate {
            candidate.end_by_panic();
        }
        self.retire_candidate();
    }

    /// What was divided, or left out, is the baseline's.
    fn retire_candidate(&mut self) {
        self.split = None;
        self.scope.clear();
        self.generation += 1;
        self.baseline.generation = self.generation;
    }

    fn sweep(&mut self) {
        self.table.sweep(self.now, self.expiry, self.window);
        let miscounts = self.table.miscounts(self.window);
        for arm in std::iter::once(&mut self.baseline).chain(&mut self.candidate) {
            arm.sweep(self.now, self.expiry, self.window);
            if miscounts {
                arm.miscounts();
            }
        }
    }

    /// What the arms wrote, as it leaves the engine; counts its bytes.
    fn emitted(&mut self, outs: Outs) -> Emitted {
        let Outs {
            baseline,
            candidate,
        } = outs;
        self.baseline.bytes_out += baseline.bytes.len() as u64;
        if let Some(watch) = &mut self.baseline.watch {
            watch.read(&baseline.bytes, self.now);
        }
        if let Some(arm) = &mut self.candidate {
            arm.bytes_out += candidate.bytes.len() as u64;
            if let Some(watch) = &mut arm.watch {
                watch.read(&candidate.bytes, self.now);
            }
        }
        if self.exports_candidate() {
            return together(baseline, &candidate);
        }
        apart(baseline, candidate)
    }

    /// Whether the candidate's output leaves the node (also what it wrote before a panic).
    fn exports_candidate(&self) -> bool {
        plan::splits(&self.plan)
    }
}

/// A split's output: both arms', one after the other.
fn together(mut baseline: Out, candidate: &Out) -> Emitted {
    baseline.bytes.extend_from_slice(&candidate.bytes);
    Emitted {
        out: baseline.bytes.into(),
        points: baseline.points + candidate.points,
        candidate: (candidate.bytes.len(), candidate.points),
        ..Emitted::default()
    }
}

/// A shadow's output, or that of one arm.
fn apart(baseline: Out, candidate: Out) -> Emitted {
    Emitted {
        out: baseline.bytes.into(),
        points: baseline.points,
        candidate: (0, 0),
        shadow: candidate.bytes.into(),
        shadow_points: candidate.points,
    }
}

/// What both arms write in one call.
#[derive(Debug, Default)]
struct Outs {
    baseline: Out,
    candidate: Out,
}

#[cfg(test)]
mod tests;
