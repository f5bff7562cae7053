//! Stages that write points anew, one by one: each point goes into a buffer that is taken through the
//! later stages when the request at hand is through, or straight into the output where no later stage
//! keeps anything of it.
//!
//! A stage that gives a series another identity, or that remembers something of it, has a slot for
//! it; `quantise` needs none.

pub mod histogram;
pub mod quantise;
mod slots;

use crate::Nanos;
use crate::arm::{Event, Origin};
use crate::compile::Op;
use crate::input::{Input, Observation};
use crate::splice::assemble::{Shared, Surroundings};
use crate::splice::runs::Runs;
use crate::view::{MetricType, SeriesView};
pub use slots::{Slots, Ticket};

/// Reason of a series that a `quantise` matches and that is no gauge.
pub const NOT_A_GAUGE: &str = "not_a_gauge";

/// Reason of a series that a `histogram` matches and that is of another type than it treats.
pub const OTHER_TYPE: &str = "other_type";

/// State of one stage that rewrites.
#[derive(Debug)]
pub struct Rewriter {
    op: Op,
    /// Series with another identity or a state.
    pub slots: Slots,
    /// Resources and scopes of the slots.
    pub shared: Shared,
    /// Points that no later stage keeps anything of.
    pub direct: Runs,
    /// Points for the later stages: of series that came in, and of those that a stage merged.
    again: [Runs; 2],
    histograms: histogram::Scratch,
    /// Memory of the request that the later stages walk.
    pub request: Vec<u8>,
    /// A point's body under the identity that a transform gave it.
    body: Vec<u8>,
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// It waits in a buffer.
    Written {
        /// Straight for the output.
        direct: bool,
        /// Bytes of its message.
        bytes: usize,
        /// Why it was written as it came, where that is to be counted.
        note: Option<&'static str>,
    },
    /// The slot has expired, or what surrounds the series is another than it was.
    Stale,
}

/// What an op does with a point.
enum Verdict {
    /// It wrote it.
    Written,
    /// It wrote it as it came, for this reason.
    Noted(&'static str),
}

impl Rewriter {
    /// A stage without history.
    pub fn new(op: &Op) -> Rewriter {
        Rewriter {
            op: op.clone(),
            slots: Slots::default(),
            shared: Shared::default(),
            direct: Runs::default(),
            again: Default::default(),
            histograms: histogram::Scratch::default(),
            request: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Whether the stage rewrites the series; else the reason why it passes as it is.
    pub fn treats(&self, series: &SeriesView<'_>) -> Result<(), &'static str> {
        let kind = series.metric.kind;
        match &self.op {
            Op::Quantise { .. } if kind != MetricType::Gauge => Err(NOT_A_GAUGE),
            Op::Histogram(buckets) if !buckets.treats(kind) => Err(OTHER_TYPE),
            Op::Quantise { .. } | Op::Histogram(_) => Ok(()),
        }
    }

    /// Whether each series needs a slot.
    pub fn needs_slot(&self) -> bool {
        match self.op {
            Op::Quantise { .. } | Op::Histogram(_) => false,
        }
    }

    /// Whether a cumulative point's increment is asked for.
    pub fn observes(&self) -> bool {
        match self.op {
            Op::Quantise { .. } | Op::Histogram(_) => false,
        }
    }

    /// What surrounds the rewritten points of a series; `None`: what surrounds them now.
    pub fn surroundings(&mut self, _event: &Event<'_>) -> Option<Surroundings> {
        match self.op {
            Op::Quantise { .. } | Op::Histogram(_) => None,
        }
    }

    /// Appends the body of some point with the attributes that rewritten points have.
    pub fn preview(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match self.op {
            Op::Quantise { .. } | Op::Histogram(_) => out.extend_from_slice(event.view().body),
        }
    }

    /// What later stages know of the rewritten series, where `input` is known of what came.
    pub fn seed(&self, input: &Input) -> Option<Input> {
        match self.op {
            Op::Quantise { .. } | Op::Histogram(_) => Some(input.clone()),
        }
    }

    /// Writes a point anew. `direct`: no later stage keeps anything of it.
    pub fn take(
        &mut self,
        ticket: Option<Ticket>,
        event: &Event<'_>,
        _seen: Option<&Observation<'_>>,
        direct: bool,
    ) -> Took {
        let source = event.index.metrics.get(event.point.metric as usize);
        let source = source.map_or(0, |metric| metric.key);
        let slot = match ticket {
            Some(ticket) => match self.slots.get_mut(ticket, event.now) {
                None => return Took::Stale,
                // The rest of a series' metric may change: its schema_url, its description.
                Some(slot) if slot.around.is_some() && slot.source != source => return Took::Stale,
                slot => slot,
            },
            None if self.needs_slot() => return Took::Stale,
            None => None,
        };
        let runs = if direct {
            &mut self.direct
        } else {
            &mut self.again[usize::from(event.origin == Origin::Merged)]
        };
        let point = event.written_view(&mut self.body);
        let mut bytes = 0;
        let mut verdict = Verdict::Written;
        let put = |out: &mut Vec<u8>| {
            let before = out.len();
            verdict = match &self.op {
                Op::Quantise { digits } => quantise::put(&point, *digits, out),
                Op::Histogram(buckets) => buckets.put(&point, &mut self.histograms, out),
            };
            bytes = out.len() - before;
        };
        match slot.and_then(|slot| slot.around.as_deref()) {
            Some(around) => runs.add_under(around, put),
            None if event.guise.is_some() => {
                if let Some(guise) = event.guise {
                    runs.add_under(&guise.around, put);
                }
            }
            None => runs.add_as_it_came(event.index, event.point, event.data, put),
        }
        let note = match verdict {
            Verdict::Written => None,
            Verdict::Noted(reason) => Some(reason),
        };
        Took::Written {
            direct,
            bytes,
            note,
        }
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
    pub fn sweep(&mut self, now: Nanos, expiry: Nanos) {
        self.slots.sweep(now, expiry);
        self.shared.sweep();
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        let buffers = self.again.iter().chain([&self.direct]).map(Runs::bytes);
        self.slots.bytes() + self.shared.bytes() + self.request.capacity() + buffers.sum::<usize>()
    }
}
