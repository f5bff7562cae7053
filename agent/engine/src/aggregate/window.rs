//! Open windows: one cell a group that spoke, one held value a member whose value is kept.

use super::explicit::Explicit;
use super::exponential::Exponential;
use super::gauge::Gauges;
use super::group::Group;
use super::intake::Intake;
use super::member::Held;
use super::number::Total;
use super::rules::Kind;
use super::weight::Weighted;
use crate::Nanos;
use crate::slab::Slab;
use crate::view::PointView;
use crate::wire::attributes::raw_attributes;
use crate::wire::otlp::{exponential_point, histogram_point, number_point};

/// Most exemplars of an output point: the last ones.
const EXEMPLARS: usize = 4;

/// Most emptied windows whose memory is kept; more than two are seldom open.
const POOL: usize = 4;

/// End of the window of length `interval` that holds `time`: windows are (start, end].
pub fn grid_end(time: Nanos, interval: Nanos) -> Nanos {
    time.div_ceil(interval).saturating_mul(interval)
}

/// The accumulated content of a group in a window.
#[derive(Debug, Default, Clone, PartialEq)]
pub enum Content {
    /// Nothing was added.
    #[default]
    Empty,
    /// Sums.
    Total(Total),
    /// Gauges.
    Gauges(Box<Gauges>),
    /// Explicit histograms.
    Explicit(Box<Explicit>),
    /// Exponential histograms.
    Exponential(Box<Exponential>),
}

/// One group in one window.
#[derive(Debug, Default)]
pub struct Cell {
    /// An input spoke.
    pub touched: bool,
    /// A point with the no-recorded-value flag was among them.
    pub flagged: bool,
    /// The clock of expiry when an input spoke first.
    pub first_seen: Nanos,
    /// Now when an input spoke last.
    pub last_seen: Nanos,
    /// What was added with weight 1.
    pub content: Content,
    /// What was added with other weights.
    pub weighted: Option<Box<Weighted>>,
    /// `Exemplar` bodies, oldest first.
    pub exemplars: Vec<Vec<u8>>,
    /// Exemplars that found no room.
    pub exemplars_dropped: u64,
}

/// One open window.
#[derive(Debug, Default)]
pub struct Window {
    /// Its end.
    pub end: Nanos,
    /// Points taken in.
    pub absorbed: u64,
    /// By slot.
    pub cells: Slab<Cell>,
    /// Slots of cells that were touched.
    pub touched: Vec<u32>,
    /// Last values, by member number.
    pub values: Slab<Held>,
    /// Numbers of members with a value.
    pub spoke: Vec<u32>,
}

/// The open windows of a stage, by end.
#[derive(Debug)]
pub struct Windows {
    /// Windows that end here or before are closed.
    pub closed_to: Nanos,
    created: Nanos,
    open: Vec<Window>,
    /// Emptied windows, for their memory.
    pool: Vec<Window>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy)]
pub struct Speaker {
    /// Its number.
    pub member: u32,
    /// Its group's slot.
    pub slot: u32,
    /// The engine's now.
    pub now: Nanos,
    /// What has expired is judged by this.
    pub clock: Nanos,
    /// Time between its last two points, if known.
    pub gap: Nanos,
    /// What its increments count.
    pub weight: f64,
}

impl Windows {
    /// No windows; those that end at or before `created` count as closed.
    pub fn new(created: Nanos) -> Windows {
        Windows {
            closed_to: created,
            created,
            open: Vec::new(),
            pool: Vec::new(),
        }
    }

    /// End of the window that is open at `now`.
    pub fn current(&self, now: Nanos, interval: Nanos) -> Nanos {
        grid_end(now.max(self.closed_to.saturating_add(1)), interval)
    }

    /// The open window with this end.
    pub fn at(&mut self, end: Nanos) -> &mut Window {
        let at = self.open.partition_point(|w| w.end < end);
        if self.open.get(at).is_none_or(|w| w.end != end) {
            let mut window = self.pool.pop().unwrap_or_default();
            window.end = end;
            self.open.insert(at, window);
        }
        &mut self.open[at]
    }

    /// Takes the first window out if it ends at or before `due`.
    pub fn pop_until(&mut self, due: Nanos) -> Option<Window> {
        let first = self.open.first()?;
        (first.end <= due).then(|| self.open.remove(0))
    }

    /// End of the first window that is open.
    pub fn first_end(&self) -> Option<Nanos> {
        self.open.first().map(|window| window.end)
    }

    /// Takes the window with this end out; an empty one where nobody spoke in it.
    pub fn take(&mut self, end: Nanos) -> Window {
        match self.open.iter().position(|window| window.end == end) {
            Some(at) => self.open.remove(at),
            None => {
                let mut window = self.pool.pop().unwrap_or_default();
                window.end = end;
                window
            }
        }
    }

    /// Takes all windows out, folded into one.
    pub fn pop_folded(&mut self) -> Option<Window> {
        let mut folded = self.pop_until(Nanos::MAX)?;
        while let Some(mut next) = self.pop_until(Nanos::MAX) {
            folded.fold(&mut next);
            self.recycle(next);
        }
        Some(folded)
    }

    /// Start of what a window with outputs of this time covers.
    pub fn start_of(&self, stamp: Nanos, interval: Nanos) -> Nanos {
        let before = stamp.saturating_sub(1);
        (before - before % interval).max(self.created)
    }

    /// Keeps an emptied window's memory.
    pub fn recycle(&mut self, mut window: Window) {
        for slot in window.touched.drain(..) {
            if let Some(cell) = window.cells.get_mut(slot as usize) {
                *cell = Cell::default();
            }
        }
        for member in window.spoke.drain(..) {
            if let Some(held) = window.values.get_mut(member as usize) {
                *held = Held::default();
            }
        }
        window.absorbed = 0;
        if self.pool.len() < POOL {
            self.pool.push(window);
        }
    }

    /// Forgets the values of members that go on elsewhere.
    pub fn forget(&mut self, members: &[u32]) {
        for window in &mut self.open {
            for member in members {
                if let Some(held) = window.values.get_mut(*member as usize) {
                    *held = Held::default();
                }
            }
            let values = &window.values;
            let holds = |m: &u32| values.get(*m as usize).is_some_and(|h| h.value.is_some());
            window.spoke.retain(holds);
        }
    }

    /// Whether an open window holds a value of this member.
    pub fn holds(&self, member: u32) -> bool {
        let held = |w: &Window| {
            w.values
                .get(member as usize)
                .is_some_and(|h| h.value.is_some())
        };
        self.open.iter().any(held)
    }

    /// Whether a group spoke in an open window.
    pub fn touches(&self, slot: u32) -> bool {
        let touched = |w: &Window| w.cells.get(slot as usize).is_some_and(|c| c.touched);
        self.open.iter().any(touched)
    }

    /// Slots of groups that spoke in an open window; of several windows several times.
    pub fn spoken(&self) -> impl Iterator<Item = u32> {
        self.open.iter().flat_map(|w| &w.touched).copied()
    }

    /// Points in open windows.
    pub fn held(&self) -> u64 {
        self.open.iter().map(|w| w.absorbed).sum()
    }

    /// Estimate of the bytes.
    pub fn bytes(&self) -> usize {
        let of = |w: &Window| {
            w.cells.capacity() * size_of::<Cell>() + w.values.capacity() * size_of::<Held>()
        };
        self.open.iter().chain(&self.pool).map(of).sum()
    }
}

impl Window {
    /// Takes one point.
    pub fn take(
        &mut self,
        group: &mut Group,
        speaker: Speaker,
        point: &PointView<'_>,
        intake: Intake<'_>,
    ) {
        self.absorbed += 1;
        self.add(group, speaker, point, intake);
    }

    /// Adds what a point brings; a summary brings something to two outputs.
    pub fn add(
        &mut self,
        group: &mut Group,
        speaker: Speaker,
        point: &PointView<'_>,
        intake: Intake<'_>,
    ) {
        let Some(cell) = cell(&mut self.cells, speaker.slot) else {
            return;
        };
        if !cell.touched {
            cell.touched = true;
            cell.first_seen = speaker.clock;
            self.touched.push(speaker.slot);
        }
        cell.last_seen = speaker.now;
        cell.flagged |= point.no_recorded_value();
        if let Intake::Value(value) = intake {
            let held = Held {
                time: point.time,
                gap: speaker.gap,
                value: Some(value),
            };
            hold(&mut self.values, &mut self.spoke, speaker.member, held);
        }
        cell.add(group, intake, speaker.weight);
        cell.keep_exemplars(point);
    }

    /// Takes what another window holds, as if it were later in the same window.
    fn fold(&mut self, next: &mut Window) {
        self.end = next.end;
        self.absorbed += next.absorbed;
        for slot in &next.touched {
            let Some(from) = next.cells.get_mut(*slot as usize) else {
                continue;
            };
            let Some(into) = cell(&mut self.cells, *slot) else {
                continue;
            };
            if into.touched {
                into.merge(from);
            } else {
                self.touched.push(*slot);
                std::mem::swap(into, from);
            }
        }
        for member in &next.spoke {
            if let Some(held) = next.values.get(*member as usize) {
                hold(&mut self.values, &mut self.spoke, *member, *held);
            }
        }
    }
}

/// The cell of a slot, made if need be.
fn cell(cells: &mut Slab<Cell>, slot: u32) -> Option<&mut Cell> {
    let at = slot as usize;
    if at >= cells.len() {
        cells.grow_to(at + 1, Cell::default);
    }
    cells.get_mut(at)
}

/// Keeps the newer value; of equally new ones the one that came later.
fn hold(values: &mut Slab<Held>, spoke: &mut Vec<u32>, member: u32, held: Held) {
    let at = member as usize;
    if at >= values.len() {
        values.grow_to(at + 1, Held::default);
    }
    let Some(slot) = values.get_mut(at) else {
        return;
    };
    if slot.value.is_none() {
        spoke.push(member);
    }
    if slot.value.is_none() || held.time >= slot.time {
        *slot = held;
    }
}

impl Cell {
    /// Whether something was added.
    pub fn gains(&self) -> bool {
        !matches!(self.content, Content::Empty) || self.weighted.is_some()
    }

    fn add(&mut self, group: &mut Group, intake: Intake<'_>, weight: f64) {
        // Halves are taken one by one; of what may fall the last values count.
        let level = group.kind == Kind::Level && matches!(intake, Intake::Value(_));
        if level || matches!(intake, Intake::Nothing | Intake::Pair(..)) {
            return;
        }
        let into = if weight == 1.0 {
            &mut self.content
        } else {
            self.weighted.get_or_insert_default().content(weight)
        };
        match (into, intake) {
            (_, Intake::Nothing | Intake::Pair(..)) => {}
            (Content::Gauges(g), Intake::Value(value)) => g.point(value),
            (content, Intake::Value(value)) => {
                let mut gauges = Box::<Gauges>::default();
                gauges.point(value);
                *content = Content::Gauges(gauges);
            }
            (Content::Total(sum), Intake::Total(total)) => sum.add(total),
            (content, Intake::Total(total)) => *content = Content::Total(total),
            (content, Intake::Explicit(h)) => {
                narrow(&mut group.bounds, h);
                let sum = match content {
                    Content::Explicit(sum) => {
                        sum.add(h);
                        sum
                    }
                    content => {
                        *content = Content::Explicit(Box::new(h.clone()));
                        match content {
                            Content::Explicit(sum) => sum,
                            _ => return,
                        }
                    }
                };
                // Other windows may have narrowed the output's bounds further.
                if let Some(bounds) = &group.bounds
                    && *bounds != sum.bounds
                {
                    sum.reduce_to(bounds);
                }
            }
            (Content::Exponential(sum), Intake::Exponential(h)) => sum.add(h),
            (content, Intake::Exponential(h)) => {
                let mut first = Box::new(h.clone());
                first.bound();
                *content = Content::Exponential(first);
            }
        }
    }

    /// Keeps the point's exemplars in place of the oldest ones.
    pub fn keep_exemplars(&mut self, point: &PointView<'_>) {
        if !point.exemplars {
            return;
        }
        let field = exemplars_field(point.kind);
        for body in raw_attributes(point.body, field) {
            let mut room = Vec::new();
            if self.exemplars.len() == EXEMPLARS {
                room = self.exemplars.remove(0);
                self.exemplars_dropped += 1;
            }
            room.clear();
            room.extend_from_slice(body);
            self.exemplars.push(room);
        }
    }

    /// Explicit histograms lose the bounds that inputs of the group have not in common: those that
    /// spoke in a later window count as well, so that it says nothing who of two spoke first.
    pub fn reduce_to(&mut self, bounds: &[f64]) {
        let weighted = self.weighted.iter_mut().flat_map(|w| w.contents());
        for content in weighted.chain([&mut self.content]) {
            if let Content::Explicit(h) = content
                && h.bounds.len() > bounds.len()
            {
                h.reduce_to(bounds);
            }
        }
    }

    /// Takes what another cell of the same group holds.
    pub fn merge(&mut self, other: &mut Cell) {
        self.first_seen = match (self.touched, other.touched) {
            (true, true) => self.first_seen.min(other.first_seen),
            (true, false) => self.first_seen,
            (false, _) => other.first_seen,
        };
        self.touched |= other.touched;
        self.flagged |= other.flagged;
        self.last_seen = self.last_seen.max(other.last_seen);
        self.content.merge(std::mem::take(&mut other.content));
        if let Some(weighted) = other.weighted.take() {
            self.weighted.get_or_insert_default().merge(*weighted);
        }
        self.exemplars.append(&mut other.exemplars);
        let over = self.exemplars.len().saturating_sub(EXEMPLARS);
        self.exemplars.drain(..over);
        self.exemplars_dropped += other.exemplars_dropped + over as u64;
    }
}

impl Content {
    /// Takes another content of the same kind.
    pub fn merge(&mut self, other: Content) {
        match (self, other) {
            (_, Content::Empty) => {}
            (Content::Total(a), Content::Total(b)) => a.add(b),
            (Content::Gauges(a), Content::Gauges(b)) => a.merge(&b),
            (Content::Explicit(a), Content::Explicit(b)) => a.add(&b),
            (Content::Exponential(a), Content::Exponential(b)) => a.add(&b),
            (content, other) => *content = other,
        }
    }
}

/// Keeps the bounds that others have, too; both increase.
pub fn keep_common(bounds: &mut Vec<f64>, others: &[f64]) {
    let mut others = others.iter().peekable();
    bounds.retain(|bound| {
        while others.next_if(|other| **other < *bound).is_some() {}
        others.peek().is_some_and(|other| **other == *bound)
    });
}

/// The bounds that all histograms of a group have in common.
pub fn narrow(bounds: &mut Option<Vec<f64>>, h: &Explicit) {
    match bounds {
        None => *bounds = Some(h.bounds.clone()),
        Some(common) => keep_common(common, &h.bounds),
    }
}

/// Field number of the exemplars in points of a type; 0, which no field has, for summaries.
pub fn exemplars_field(kind: crate::view::MetricType) -> u32 {
    use crate::view::MetricType::*;
    match kind {
        Gauge | Sum => number_point::EXEMPLARS,
        Histogram => histogram_point::EXEMPLARS,
        ExponentialHistogram => exponential_point::EXEMPLARS,
        Summary => 0,
    }
}
