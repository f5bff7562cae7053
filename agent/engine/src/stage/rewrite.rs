//! Stages that write points anew, one by one: each point goes into a buffer that is taken through the
//! later stages when the request at hand is through, or straight into the output where no later stage
//! keeps anything of it.
//!
//! A stage that gives a series another identity, or that remembers something of it, has a slot for
//! it; `quantise` needs none. A point may also end here: what it becomes is decided before anything of it
//! is written.

pub mod explicit;
pub mod fate;
pub mod histogram;
pub mod quantise;
pub mod running;
mod slots;
pub mod temporality;

use crate::Nanos;
use crate::arm::{Event, Origin};
use crate::compile::Op;
use crate::engine::Settings;
use crate::input::{Input, Observation};
use crate::prometheus::samples_of;
use crate::splice::assemble::{Shared, Surroundings};
use crate::splice::runs::Runs;
use crate::stage::transform::guise::Guises;
use crate::view::{MetricType, PointView, SeriesView, Temporality};
use crate::wire::otlp::{data, metric};
use crate::wire::write;
pub use fate::{Fate, Said, Scratch, Sink, Took, Verdict};
use hashbrown::HashMap;
pub use slots::{Anew, Slots, Ticket};
use std::sync::Arc;

/// Reason of a series that a `quantise` matches and that is no gauge.
pub const NOT_A_GAUGE: &str = "not_a_gauge";

/// Reason of a series that a stage matches and that is of another type than it treats.
pub const OTHER_TYPE: &str = "other_type";

/// State of one stage that rewrites.
#[derive(Debug)]
pub struct Rewriter {
    op: Op,
    /// A total of which nobody says where it began does not begin before this.
    floor: Nanos,
    /// Series with another identity or a state.
    pub slots: Slots,
    /// Resources and scopes of the slots.
    shared: Shared,
    /// What surrounds the points of series with another identity, by what surrounded them before.
    around: HashMap<u128, Arc<Surroundings>>,
    /// Points that no later stage keeps anything of.
    pub direct: Runs,
    /// Points for the later stages: of series that came in, and of those that a stage merged.
    again: [Runs; 2],
    scratch: Scratch,
    /// Memory of the request that the later stages walk.
    pub request: Vec<u8>,
    /// A point's body under the identity that a transform gave it.
    body: Vec<u8>,
}

impl Rewriter {
    /// A stage without history. `created`: the swap that made it, 0 at the start.
    pub fn new(op: &Op, settings: &Settings, created: Nanos) -> Rewriter {
        Rewriter {
            op: op.clone(),
            floor: created.max(settings.began),
            slots: Slots::default(),
            shared: Shared::default(),
            around: HashMap::new(),
            direct: Runs::default(),
            again: Default::default(),
            scratch: Scratch::default(),
            request: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Whether the stage rewrites the series; else the reason why it passes as it is, where one is
    /// counted.
    pub fn treats(&self, series: &SeriesView<'_>) -> Result<(), Option<&'static str>> {
        let kind = series.metric.kind;
        match &self.op {
            Op::Quantise { .. } if kind != MetricType::Gauge => Err(Some(NOT_A_GAUGE)),
            Op::Histogram(buckets) if !buckets.treats(kind) => Err(Some(OTHER_TYPE)),
            Op::Quantise { .. } | Op::Histogram(_) => Ok(()),
            Op::Temporality { to } => temporality::treats(&series.metric, *to),
        }
    }

    /// Whether a series of this type needs a slot.
    pub fn needs_slot(&self, kind: MetricType) -> bool {
        match &self.op {
            Op::Quantise { .. } => false,
            Op::Histogram(buckets) => buckets.turns(kind),
            Op::Temporality { .. } => true,
        }
    }

    /// What surrounds the rewritten points of a series; `None`: what surrounds them now.
    pub fn surroundings(&mut self, event: &Event<'_>) -> Option<Arc<Surroundings>> {
        if !self.needs_slot(event.kind) {
            return None;
        }
        let key = event.surroundings_key();
        if let Some(known) = self.around.get(&key) {
            return Some(known.clone());
        }
        let came = event.surroundings(&mut self.shared)?;
        let turned = match &self.op {
            Op::Quantise { .. } => return None,
            Op::Histogram(_) => came.of_kind(metric::HISTOGRAM),
            Op::Temporality { to } => {
                let mut data = Vec::new();
                write::put_uint(&mut data, data::TEMPORALITY, *to as u64);
                came.with_data(data::TEMPORALITY, &data)
            }
        };
        let turned = Arc::new(turned);
        self.around.insert(key, turned.clone());
        Some(turned)
    }

    /// Appends the body of some point with the attributes that rewritten points have.
    pub fn preview(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let turns = matches!(self.op, Op::Histogram(_)) && self.needs_slot(event.kind);
        let point = event.written_view(&mut self.body);
        if turns {
            explicit::put_rest(point.body, out);
        } else {
            out.extend_from_slice(point.body);
        }
    }

    /// What later stages know of the rewritten series, where `input` is known of what came.
    pub fn seed(
        &mut self,
        ticket: Option<Ticket>,
        event: &Event<'_>,
        input: Option<&Input>,
    ) -> Option<Input> {
        let slot = match ticket {
            None => return input.map(|input| self.written_of(event.kind, input)),
            Some(ticket) => self.slots.peek_mut(ticket)?,
        };
        let (kept, spoke) = (&mut slot.kept, slot.seen);
        match &self.op {
            Op::Temporality {
                to: Temporality::Cumulative,
            } => Some(kept.running().seed(event.kind, spoke)),
            Op::Histogram(buckets) => {
                let scratch = &mut self.scratch;
                Some(kept.spread().seed(input?, &buckets.bounds, scratch))
            }
            _ => None,
        }
    }

    /// A series that keeps its identity, its last point as the stage writes it: whether the stage was there when that
    /// came decides nothing.
    fn written_of(&mut self, kind: MetricType, input: &Input) -> Input {
        let (Op::Histogram(buckets), Some((_, content))) = (&self.op, input.content()) else {
            return input.clone();
        };
        let mut written = Vec::with_capacity(content.len());
        let last = PointView::of(kind, content);
        buckets.put(&last, &mut self.scratch, &mut written);
        input.with_content(written)
    }

    /// Where a total begins of which nothing says so: nothing of it came before.
    fn floor(&self, event: &Event<'_>, expiry: Nanos) -> Nanos {
        self.floor.max(event.clock.saturating_sub(expiry))
    }

    /// Writes a point anew, or says why not.
    pub fn take(
        &mut self,
        ticket: Option<Ticket>,
        event: &Event<'_>,
        seen: Option<&Observation<'_>>,
        (sink, expiry): (Sink, Nanos),
    ) -> Took {
        let floor = self.floor(event, expiry);
        let source = event.surroundings_key();
        let slot = match ticket {
            Some(ticket) => match self.slots.get_mut(ticket, event.clock, expiry) {
                None => return Took::Stale,
                // The rest of a series' metric may change: its schema_url, its description.
                Some(slot) if slot.around.is_some() && slot.source != source => return Took::Stale,
                slot => slot,
            },
            None if self.needs_slot(event.kind) => return Took::Stale,
            None => None,
        };
        let (mut kept, around) = match slot {
            Some(slot) => (Some(&mut slot.kept), slot.around.as_deref()),
            None => (None, None),
        };
        let (op, scratch) = (&self.op, &mut self.scratch);
        let point = event.written_view(&mut self.body);
        let mut said = match op.judge(kept.as_deref_mut(), (&point, seen), floor, scratch) {
            Fate::Write(said) => said,
            Fate::Withhold(said) => return Took::Withheld(said),
            Fate::Drop(reason) => return Took::Dropped(reason),
            Fate::Pass(reason) => return Took::Passes(reason),
        };
        let runs = match sink {
            Sink::Output => &mut self.direct,
            Sink::Later => &mut self.again[usize::from(event.origin == Origin::Merged)],
            Sink::Nowhere => {
                // Only for what there is to say of the point.
                self.request.clear();
                let verdict = op.put(kept, (&point, seen), scratch, &mut self.request);
                said.reason = verdict.reason().or(said.reason);
                return Took::Written { samples: 0, said };
            }
        };
        let kind = match op {
            Op::Histogram(buckets) if buckets.turns(event.kind) => MetricType::Histogram,
            _ => event.kind,
        };
        let mut samples = event.samples();
        let mut verdict = Verdict::Written;
        let put = |out: &mut Vec<u8>| {
            let before = out.len();
            verdict = op.put(kept, (&point, seen), scratch, out);
            if !matches!(kind, MetricType::Gauge | MetricType::Sum) {
                samples = samples_of(kind, out.get(before..).unwrap_or_default());
            }
        };
        let came = (event.index, event.point);
        match (around, event.guise) {
            (Some(around), _) => runs.add_under(around, came, put),
            (None, Some(guise)) => runs.add_under(&guise.around, came, put),
            (None, None) => runs.add_as_it_came(event.index, event.point, event.data, put),
        }
        said.reason = verdict.reason().or(said.reason);
        Took::Written { samples, said }
    }

    /// What waits for the later stages: a request and how many points it holds. Forgotten here.
    pub fn release(&mut self, merged: bool, request: &mut Vec<u8>) -> u64 {
        let runs = &mut self.again[usize::from(merged)];
        let points = runs.points;
        runs.write(request);
        points
    }

    /// Whether anything waits.
    pub fn has_written(&self) -> bool {
        !self.direct.is_empty() || self.again.iter().any(|runs| !runs.is_empty())
    }

    /// Frees series that have been silent for longer than `expiry`.
    pub fn sweep(&mut self, now: Nanos, expiry: Nanos, guises: &mut Guises) {
        let disclaim = |anew: &Anew| guises.disclaim(anew.identity, anew.came);
        if self.slots.sweep(now, expiry, disclaim) {
            self.around
                .retain(|_, around| Arc::strong_count(around) > 1);
            self.shared.sweep();
        }
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        let buffers = self.again.iter().chain([&self.direct]).map(Runs::bytes);
        let around: usize = self.around.values().map(|around| around.bytes()).sum();
        self.slots.bytes()
            + self.shared.bytes()
            + around
            + self.request.capacity()
            + buffers.sum::<usize>()
    }
}
