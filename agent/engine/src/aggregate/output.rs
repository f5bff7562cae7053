//! The writer side: outputs with their own start time and total.

use super::Counts;
use super::encode::{Row, Value, put_point, put_request};
use super::explicit::Explicit;
use super::head::Head;
use super::number::Total;
use super::partial::{Closed, Partial, Partials};
use super::rules::Kind;
use super::weight::Weighted;
use super::window::Content;
use crate::Nanos;
use crate::slab::Slab;
use crate::view::Number;
use hashbrown::{HashMap, HashSet, HashTable};
use std::sync::Arc;

/// What an aggregation writes: reused by the caller, which empties it.
#[derive(Debug, Default)]
pub struct Written {
    /// A valid request: the outputs of the windows, in window order.
    pub request: Vec<u8>,
    /// Where a piece of it ends that is a valid request by itself; none where it is one piece.
    pub ends: Vec<usize>,
    /// Points in it.
    pub points: u64,
    /// Points that were held and are so no more.
    pub absorbed: u64,
    /// Identity of each point's series, in the order of the request.
    pub identities: Vec<u128>,
    /// Time of the last window written.
    pub time: Nanos,
}

impl Written {
    /// Empties it, keeping the memory.
    pub fn clear(&mut self) {
        self.request.clear();
        self.ends.clear();
        self.identities.clear();
        (self.points, self.absorbed, self.time) = (0, 0, 0);
    }

    /// The request in pieces, each valid by itself: what later stages need for a point on its way
    /// is then needed for a piece's points alone.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let from = std::iter::once(0).chain(self.ends.iter().copied());
        let to = self.ends.iter().copied().chain([self.request.len()]);
        from.zip(to)
            .filter_map(|(from, to)| self.request.get(from..to))
            .filter(|piece| !piece.is_empty())
    }
}

/// Most outputs of a piece: what their points take on their way stays small beside what is written.
const PIECE: usize = 1024;

/// An output that gains something in the window in which it ends tells that first, and so long behind it that
/// it has ended: Prometheus knows milliseconds.
const END_GAP: Nanos = 1_000_000;

/// One output series.
#[derive(Debug)]
struct Output {
    head: Arc<Head>,
    kind: Kind,
    /// Of its epoch.
    start: Nanos,
    /// End of the last window that it told; 0 before the first.
    written: Nanos,
    /// Now when an input last spoke.
    seen: Nanos,
    /// A double was written in this epoch.
    double: bool,
    url_agrees: bool,
    total: Content,
    /// What inputs of other weights than 1 added since its first window.
    weighted: Option<Box<Weighted>>,
    /// Bounds that all delta histograms so far have in common, where several workers have them; a
    /// worker alone knows them by its group.
    bounds: Option<Vec<f64>>,
    /// Ranks of resource, scope and metric.
    place: [u32; 3],
    /// Its part of the window that is being merged; boxed, because it is rarely there.
    part: Option<Box<Partial>>,
}

/// All outputs of a stage.
#[derive(Debug, Default)]
pub struct Outputs {
    outputs: Slab<Option<Output>>,
    free: Vec<u32>,
    /// Numbers by identity, which stands in the head.
    by_identity: HashTable<u32>,
    ranks: Ranks,
    /// Time of the newest point written.
    pub last_written: Nanos,
    /// Several workers have inputs of the outputs.
    shared: bool,
    /// How long behind its last value an output ends.
    pub gap: Nanos,
    /// When silent outputs were last looked for.
    swept: Nanos,
    bodies: Vec<u8>,
}

/// Equal places get equal numbers, in order of appearance.
#[derive(Debug, Default)]
struct Ranks {
    known: HashMap<Vec<u8>, u32>,
    next: u32,
}

impl Outputs {
    /// No outputs yet, of windows of this length. `shared`: several workers have inputs of them.
    pub fn new(shared: bool, interval: Nanos) -> Outputs {
        Outputs {
            shared,
            gap: END_GAP.min(interval / 2),
            ..Outputs::default()
        }
    }

    /// Merges the workers' partials and writes the outputs' points. `expiry`: silence after which
    /// an output's epoch is over.
    pub fn merge(
        &mut self,
        partials: &mut Partials,
        expiry: Nanos,
        counts: &mut Counts,
        written: &mut Written,
    ) {
        let bounds = std::mem::take(&mut partials.bounds);
        for part in partials.windows.iter_mut().flat_map(|w| &mut w.parts) {
            // Those that have none in common are added at their count and sum.
            let common = bounds.get(&part.head.identity).filter(|b| !b.is_empty());
            if let Some(common) = common {
                part.cell.reduce_to(common);
            }
        }
        let mut flagged = partials.windows.iter().flat_map(|w| &w.parts);
        let ends = flagged.any(|part| part.cell.flagged && !part.alive);
        let alive = partials.alive.drain(..).filter(|_| ends).collect();
        for closed in partials.windows.drain(..) {
            written.absorbed += closed.absorbed;
            written.time = closed.stamp;
            self.write_window(closed, &alive, expiry, counts, written);
        }
    }

    fn write_window(
        &mut self,
        closed: Closed,
        alive: &HashSet<u128>,
        expiry: Nanos,
        counts: &mut Counts,
        written: &mut Written,
    ) {
        let mut touched = Vec::with_capacity(closed.parts.len());
        // A live value of an output that nobody spoke for is not written.
        for part in closed.parts.into_iter().filter(|part| part.cell.touched) {
            let number = self.number_of(&part, expiry);
            if let Some(Some(output)) = self.outputs.get_mut(number as usize) {
                output.part = Some(Box::new(part));
                touched.push((output.place, number));
            }
        }
        for (place, number) in &mut touched {
            let Some(Some(output)) = self.outputs.get_mut(*number as usize) else {
                continue;
            };
            let agrees = output.part.as_ref().is_none_or(|part| part.url_agrees);
            if output.url_agrees && !agrees {
                output.url_agrees = false;
                output.place = self.ranks.place(&output.head, false);
            }
            *place = output.place;
        }
        touched.sort_unstable();
        for (number, piece) in touched.chunks(PIECE).enumerate() {
            if number > 0 {
                written.ends.push(written.request.len());
                // Every piece takes about as much as the first: no doubling, no copying.
                let rest = touched.len() / PIECE + 1 - number;
                let first = written.ends.first().copied().unwrap_or(0);
                if number == 1 {
                    written.request.reserve_exact(first * rest / 16 * 17);
                }
            }
            let span = (closed.start, closed.stamp);
            self.write_piece(piece, alive, (span, closed.cut), counts, written);
        }
    }

    /// Writes the points of some outputs, which lie in order of their places.
    fn write_piece(
        &mut self,
        piece: &[([u32; 3], u32)],
        alive: &HashSet<u128>,
        (span, cut): ((Nanos, Nanos), bool),
        counts: &mut Counts,
        written: &mut Written,
    ) {
        let mut bodies = std::mem::take(&mut self.bodies);
        bodies.clear();
        let mut ends = Vec::with_capacity(piece.len());
        for (place, number) in piece {
            let Some(Some(output)) = self.outputs.get_mut(*number as usize) else {
                continue;
            };
            let Some(part) = output.part.take() else {
                continue;
            };
            counts.exemplars_dropped += part.cell.exemplars_dropped;
            let from = bodies.len();
            let ended = part.ended(alive);
            let mut part = *part;
            let gains = part.cell.gains() && output.kind != Kind::Level;
            if self.shared && output.kind.is_delta() {
                output.narrow(&mut part.cell.content);
            }
            let told = output.put(&mut bodies, (part, ended && !gains), span, counts);
            if told {
                self.last_written = self.last_written.max(span.1);
                ends.push((*place, *number, from, bodies.len()));
            }
            // Behind a swap the same output may go on.
            if ended && gains && !(cut && told) {
                let gap = if told { self.gap } else { 0 };
                let (from, at) = (bodies.len(), span.1.saturating_add(gap));
                output.put_end(&mut bodies, (span.1, at));
                self.last_written = self.last_written.max(at);
                ends.push((*place, *number, from, bodies.len()));
            }
        }
        let row = |(place, number, from, to): &([u32; 3], u32, usize, usize)| {
            let output = self.outputs.get(*number as usize)?.as_ref()?;
            Some(Row {
                place: *place,
                head: &output.head,
                url: if output.url_agrees {
                    &output.head.resource_url
                } else {
                    &[]
                },
                body: bodies.get(*from..*to)?,
            })
        };
        let rows: Vec<Row<'_>> = ends.iter().filter_map(row).collect();
        put_request(&mut written.request, &rows);
        written.points += rows.len() as u64;
        written
            .identities
            .extend(rows.iter().map(|row| row.head.identity));
        drop(rows);
        self.bodies = bodies;
    }

    /// The output of a part, begun anew where it is unknown or its epoch is over.
    fn number_of(&mut self, part: &Partial, expiry: Nanos) -> u32 {
        let identity = part.head.identity;
        let same = |number: &u32| {
            let output = self.outputs.get(*number as usize).and_then(Option::as_ref);
            output.is_some_and(|o| o.head.identity == identity)
        };
        let known = self.by_identity.find(identity as u64, same).copied();
        let mut fresh = Output {
            head: part.head.clone(),
            kind: part.kind,
            start: part.start,
            written: 0,
            seen: part.cell.last_seen,
            double: false,
            url_agrees: part.url_agrees,
            total: Content::Empty,
            weighted: None,
            bounds: None,
            place: [0; 3],
            part: None,
        };
        if let Some(number) = known
            && let Some(Some(output)) = self.outputs.get_mut(number as usize)
        {
            let silent = part.cell.first_seen.saturating_sub(output.seen);
            output.seen = output.seen.max(part.cell.last_seen);
            if part.fresh && silent > expiry {
                // Its group was freed meanwhile: its next epoch begins with this input.
                fresh.start = part.start.max(output.written);
                fresh.written = output.written;
                fresh.place = self.ranks.place(&fresh.head, fresh.url_agrees);
                *output = fresh;
            }
            return number;
        }
        fresh.place = self.ranks.place(&fresh.head, fresh.url_agrees);
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.outputs.push(None);
                u32::try_from(self.outputs.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(slot) = self.outputs.get_mut(number as usize) {
            *slot = Some(fresh);
        }
        let outputs = &self.outputs;
        let hash = |number: &u32| {
            let output = outputs.get(*number as usize).and_then(Option::as_ref);
            output.map_or(0, |o| o.head.identity as u64)
        };
        self.by_identity
            .insert_unique(identity as u64, number, hash);
        number
    }

    /// Frees outputs that have been silent for longer than the expiry, once every quarter of it.
    pub fn sweep(&mut self, now: Nanos, expiry: Nanos) {
        if now.saturating_sub(self.swept) < expiry / 4 {
            return;
        }
        self.swept = now;
        for (number, slot) in (0u32..).zip(self.outputs.iter_mut()) {
            // A group that lives shares the head.
            if let Some(output) = slot
                && now.saturating_sub(output.seen) > expiry
                && Arc::strong_count(&output.head) == 1
            {
                let hash = output.head.identity as u64;
                if let Ok(found) = self.by_identity.find_entry(hash, |known| *known == number) {
                    found.remove();
                }
                *slot = None;
                self.free.push(number);
            }
        }
        // Ranks of outputs that are gone would pile up; a new numbering changes only the order.
        if self.ranks.known.len() > 3 * self.by_identity.len() + 1024 {
            self.ranks = Ranks::default();
            for output in self.outputs.iter_mut().flatten() {
                output.place = self.ranks.place(&output.head, output.url_agrees);
            }
        }
    }

    /// Estimate of the bytes.
    pub fn bytes(&self) -> usize {
        let heap = |content: &Content| match content {
            Content::Explicit(h) => size_of::<Explicit>() + h.bounds.capacity() * 16,
            Content::Exponential(h) => {
                200 + (h.positive.counts.capacity() + h.negative.counts.capacity()) * 8
            }
            _ => 0,
        };
        let totals: usize = self.outputs.iter().flatten().map(|o| heap(&o.total)).sum();
        let weighted = self
            .outputs
            .iter()
            .flatten()
            .filter_map(|o| o.weighted.as_ref());
        totals
            + weighted.map(|w| w.bytes()).sum::<usize>()
            + self.outputs.capacity() * size_of::<Option<Output>>()
            + self.by_identity.capacity() * 5
            + self
                .ranks
                .known
                .keys()
                .map(|key| key.len() + 40)
                .sum::<usize>()
    }
}

impl Ranks {
    fn place(&mut self, head: &Head, url_agrees: bool) -> [u32; 3] {
        let url: &[u8] = if url_agrees { &head.resource_url } else { &[] };
        let metric = [
            head.kind as u8,
            head.temporality as u8,
            u8::from(head.monotonic),
        ];
        [
            self.rank(0, &[&head.resource, url]),
            self.rank(1, &[&head.scope]),
            self.rank(2, &[&head.metric, &head.metadata, &metric]),
        ]
    }

    fn rank(&mut self, level: u8, parts: &[&[u8]]) -> u32 {
        let mut key = vec![level];
        for part in parts {
            key.extend_from_slice(&(part.len() as u64).to_le_bytes());
            key.extend_from_slice(part);
        }
        *self.known.entry(key).or_insert_with(|| {
            self.next += 1;
            self.next
        })
    }
}

impl Output {
    /// Cuts a delta histogram to the bounds that all of them had in common.
    fn narrow(&mut self, content: &mut Content) {
        if let Content::Explicit(h) = content {
            super::window::narrow(&mut self.bounds, h);
            if let Some(bounds) = &self.bounds
                && *bounds != h.bounds
            {
                h.reduce_to(bounds);
            }
        }
    }

    /// Adds a window's part and appends the body of its point; false where there is none to write.
    fn put(
        &mut self,
        out: &mut Vec<u8>,
        (part, ended): (Partial, bool),
        (window_start, stamp): (Nanos, Nanos),
        counts: &mut Counts,
    ) -> bool {
        let mut content = part.cell.content;
        if let Some(weighted) = part.cell.weighted {
            let totals = self.weighted.get_or_insert_default();
            content.merge(totals.step(*weighted));
        }
        let exemplars = &part.cell.exemplars;
        let delta = self.kind.is_delta();
        let number = match (self.kind, content) {
            (Kind::Gauge(function), Content::Gauges(g)) => g.value(function).map(Total::from),
            (Kind::Delta | Kind::Level, Content::Total(total)) => Some(total),
            (Kind::Monotonic, content) => self.add_step(content, counts),
            (Kind::Explicit { .. }, Content::Explicit(h)) => {
                self.add_explicit(h, delta, counts);
                None
            }
            (Kind::Exponential { .. }, content @ Content::Exponential(_)) => {
                if delta {
                    self.total = content;
                } else {
                    self.total.merge(content);
                }
                None
            }
            _ => None,
        };
        let number = number.map(|total| self.written_number(total, counts));
        let value = match (&self.total, number) {
            _ if ended => Value::Ended,
            (_, Some(number)) => Value::Number(number),
            (Content::Explicit(h), None) => Value::Explicit(h, delta),
            (Content::Exponential(h), None) => Value::Exponential(h, delta),
            _ => return false,
        };
        // A late point may be of a time before the start. It is told from just before it: with a start at
        // its own time a reader would take it for a baseline.
        self.start = self.start.min(stamp.saturating_sub(1));
        let start = self.start_of(window_start);
        put_point(out, &self.head, (start, stamp), value, exemplars);
        if delta {
            self.total = Content::Empty;
        }
        self.written = stamp;
        true
    }

    /// Appends the body of a point that says that it has ended. `told`: time of its last value.
    fn put_end(&self, out: &mut Vec<u8>, (told, time): (Nanos, Nanos)) {
        let start = self.start_of(told);
        put_point(out, &self.head, (start, time), Value::Ended, &[]);
    }

    /// Start of a point; a delta's covers what came since `before`.
    fn start_of(&self, before: Nanos) -> Nanos {
        match self.kind {
            Kind::Gauge(_) => 0,
            kind if kind.is_delta() => before,
            _ => self.start,
        }
    }

    /// Adds to the total of a monotonic sum. One that does not fit any more ends its epoch: the next
    /// goes on from the last point with what came since.
    fn add_step(&mut self, content: Content, counts: &mut Counts) -> Option<Total> {
        let (before, step) = match (&self.total, content) {
            (Content::Total(before), Content::Total(step)) => (*before, step),
            (_, Content::Total(step)) => (Total::default(), step),
            (Content::Total(before), _) => return Some(*before),
            _ => return None,
        };
        let mut total = before;
        total.add(step);
        let goes_on = matches!(self.total, Content::Total(_));
        if total.overflows() && goes_on {
            counts.saturated += 1;
            self.start = self.start.max(self.written);
            self.double = false;
            total = step;
        }
        self.total = Content::Total(total);
        Some(total)
    }

    /// The number to write of a total, cut to what fits. A cumulative output that was a double
    /// stays one.
    fn written_number(&mut self, total: Total, counts: &mut Counts) -> Number {
        if self.kind == Kind::Level {
            self.double |= matches!(total, Total::Double(_));
        }
        let shown = |total: Total, double: bool| {
            let total = if double {
                Total::Double(total.as_f64())
            } else {
                total
            };
            // A gauge may be infinite; what is added up is not.
            let adds = !matches!(self.kind, Kind::Gauge(_));
            let fits = total.fits().filter(|_| !(adds && total.overflows()));
            fits.ok_or_else(|| total.saturated())
        };
        match shown(total, self.double) {
            Ok(number) => number,
            Err(saturated) => {
                counts.saturated += 1;
                saturated
            }
        }
    }

    /// Adds to the total; where that changes its bounds a new epoch begins with the addition.
    fn add_explicit(&mut self, mut h: Box<Explicit>, delta: bool, counts: &mut Counts) {
        match &mut self.total {
            Content::Explicit(total) if !delta => {
                let before = total.bounds.len();
                h.reduce_to(&total.bounds);
                if h.bounds.len() == before {
                    total.add(&h);
                } else {
                    counts.bounds_changed += 1;
                    self.start = self.written.max(self.start);
                    **total = *h;
                }
            }
            total => *total = Content::Explicit(h),
        }
    }
}
