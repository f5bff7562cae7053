//! The state of one `aggregate` stage of one arm: inputs by member, outputs by group, open windows.
//!
//! Worker side: groups, members and the accumulators of open windows; it yields [`Partials`].
//! Writer side: outputs with their own start time and total; it merges partials of any number of
//! workers and writes OTLP. An engine alone, and worker 0, use both sides of one [`Aggregation`].
//!
//! How the engine calls it:
//! - `Aggregation::new(&stage, &settings, created)`: `created` is the time of the swap that created
//!   the stage, 0 for the first plan of an engine;
//! - when a series meets the stage for the first time under a plan (its route is resolved):
//!   [`Aggregation::join`] gives a [`Seat`] for its route, or the reason why it passes as its own
//!   series (count that reason for every point that passes by it);
//! - per point: [`Aggregation::add`] with the seat, and with the point's `Observation` where the
//!   series is cumulative (else `None`). `Added::Stale`: the seat has expired: `join` anew, then
//!   `add` again. `Added::Passes`: this one point goes on as it is;
//! - `tick(now)` and, before anything else, `feed(_, now)`: [`Aggregation::close`] with the same
//!   now, stage after stage in document order; what it writes is a valid request (`Written`): walk
//!   it at the same now through the later stages only, or append it to the output. A window counts
//!   as closed only after that call, so a later stage takes these points into the same window. They
//!   are added with the later of now and their own time, so that at a drain none is from the future;
//! - `finish`: [`Aggregation::close_all`]; a swap that removes or changes the stage:
//!   [`Aggregation::close_for_swap`], whose result is the `created` of the successor. A stage that
//!   stays is kept as it is (its seats stay valid);
//! - ledger: every `Added::Absorbed` point is held until [`Written::absorbed`] counts it; then
//!   `merged += absorbed - points`.

mod book;
pub mod encode;
pub mod explicit;
pub mod exponential;
mod gauge;
mod group;
mod head;
mod intake;
mod member;
pub mod number;
mod output;
mod partial;
pub mod read;
mod rules;
mod weight;
pub(crate) mod window;

use crate::Nanos;
use crate::compile::{Aggregate, Functions};
use crate::engine::Settings;
use crate::input::{Notes, Observation, notes};
use crate::stage::Closing;
use crate::view::{MetricType, MetricView, PointView, SeriesView};
use book::{Book, Join};
pub use group::Place;
use intake::{Fault, Intake};
pub use output::Written;
pub use partial::Partials;
use partial::Standing;
use rules::{Kind, Part, Rules};
pub use rules::{overflow_attribute, string_attribute};
use window::{Speaker, Window, Windows, grid_end};

/// One `aggregate` stage of one arm.
#[derive(Debug)]
pub struct Aggregation {
    rules: Rules,
    book: Book,
    windows: Windows,
    outputs: output::Outputs,
    counts: Counts,
    scratch: intake::Scratch,
    partials: Partials,
    /// Now of the last [`Aggregation::close`]: what has expired is judged by it, so that windows that
    /// close late (a replay's now leaps) find their inputs in the next stage as they left them.
    clock: Nanos,
    /// When silent members and groups were last looked for.
    swept: Nanos,
    /// Outputs that begin from here on start at this time or later.
    floor: Nanos,
}

/// A series' place in an aggregation, kept in its route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    member: u32,
    generation: u32,
}

/// Answer to [`Aggregation::join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// Its points are taken in.
    Seat(Seat),
    /// The stage does not apply: the series passes as it is. The reason is one of the stage's counts.
    Passes(&'static str),
}

/// Answer to [`Aggregation::add`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// Held until its window closes.
    Absorbed,
    /// Lost, for this reason (`nan`, `late`).
    Dropped(&'static str),
    /// This point goes on as it is, for this reason; already counted.
    Passes(&'static str),
    /// The seat has expired: join anew. Nothing was counted.
    Stale,
}

/// Points by note, since the last [`Aggregation::take_counts`].
#[derive(Debug, Clone, Default)]
pub struct Counts {
    notes: [u64; notes::NAMES.len()],
    /// Exemplars that found no room.
    pub exemplars_dropped: u64,
    /// Points that passed though the stage matches.
    pub not_aggregated: u64,
    /// Outputs that began a new epoch because a number did not fit.
    pub saturated: u64,
    /// Outputs whose histogram bounds changed, in a new epoch.
    pub bounds_changed: u64,
}

impl Counts {
    fn note(&mut self, notes: Notes) {
        if !notes.is_empty() {
            notes.indices().for_each(|i| self.notes[i] += 1);
        }
    }

    /// Names and counts, those that are not 0.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let named = notes::NAMES.into_iter().zip(self.notes);
        let others = [
            ("exemplars_dropped", self.exemplars_dropped),
            ("not_aggregated", self.not_aggregated),
            ("saturated", self.saturated),
            ("bounds_changed", self.bounds_changed),
        ];
        named.chain(others).filter(|(_, n)| *n > 0)
    }
}

/// Whether an aggregation with these functions can add up series of this metric.
pub fn adds_up(metric: &MetricView<'_>, functions: &Functions, extracts: bool) -> bool {
    Kind::by(metric, functions, extracts).is_some()
}

/// Reason of a series or point that passes an aggregate that matches it.
pub const NOT_AGGREGATED: &str = "not_aggregated";
/// Reason of a series that passes because there is no room for its state.
pub const TABLE_FULL: &str = "table_full";

impl Aggregation {
    /// An aggregation without state. `created`: time of the swap that created it, 0 at the start of
    /// an engine; windows that end at or before it are closed.
    pub fn new(stage: &Aggregate, settings: &Settings, created: Nanos) -> Aggregation {
        let rules = Rules::of(stage, settings);
        Aggregation {
            outputs: output::Outputs::new(settings.is_shared(), rules.interval),
            rules,
            book: Book::default(),
            windows: Windows::new(created),
            counts: Counts::default(),
            scratch: intake::Scratch::default(),
            partials: Partials::default(),
            clock: 0,
            swept: 0,
            floor: 0,
        }
    }

    /// No output that begins from here on starts before `time`: until then another arm wrote it.
    pub fn begin_at(&mut self, time: Nanos) {
        self.floor = self.floor.max(time);
    }

    /// A seat for a series, made of its output's identity; the same series gets the same seat.
    /// `identity`: the series' own 128-bit identity. `weight`: for how many series its increments
    /// stand, itself included.
    pub fn join(
        &mut self,
        series: &SeriesView<'_>,
        identity: u128,
        weight: f64,
        now: Nanos,
    ) -> Joined {
        let Some(kind) = Kind::of(&series.metric, &self.rules) else {
            return Joined::Passes(NOT_AGGREGATED);
        };
        let (join, book) = self.joining(kind, weight, now);
        if series.metric.kind == MetricType::Summary {
            return book.join_summary(series, identity, join);
        }
        book.join(series, identity, &join)
    }

    /// What a series of this kind joins in, and where.
    fn joining(&mut self, kind: Kind, weight: f64, now: Nanos) -> (Join<'_>, &mut Book) {
        let weighted = self.rules.weighted && kind.is_weighted();
        let join = Join {
            kind,
            part: Part::Whole,
            rules: &self.rules,
            windows: &self.windows,
            start: self.windows.closed_to.max(self.rules.began).max(self.floor),
            // What its increments count for here.
            weight: if weighted { weight } else { 1.0 },
            now,
            clock: self.clock,
        };
        (join, &mut self.book)
    }

    /// Marks every output with an attribute (a `KeyValue` body), and gives gauges another name.
    pub fn marked(mut self, mark: Vec<u8>, gauges: Option<crate::compile::Rename>) -> Aggregation {
        self.rules.mark = Some(mark);
        self.rules.gauge_rename = gauges;
        self
    }

    /// A seat that a delta series without a place of its own shares with others of its output.
    /// `weight`: for how many series its increments stand; others of that weight share it.
    pub fn join_shared(
        &mut self,
        series: &SeriesView<'_>,
        weight: f64,
        now: Nanos,
    ) -> Option<Seat> {
        let kind = Kind::of(&series.metric, &self.rules).filter(|kind| kind.is_delta())?;
        let (join, book) = self.joining(kind, weight, now);
        match book.join_shared(series, &join) {
            Joined::Seat(seat) => Some(seat),
            Joined::Passes(_) => None,
        }
    }

    /// Ends inputs that go on elsewhere: what they added stays, their latest values do not.
    pub fn leave(&mut self, seats: &[Seat]) {
        let live = |seat: &&Seat| self.book.members.slot(**seat).is_some();
        let members: Vec<u32> = seats.iter().filter(live).map(|seat| seat.member).collect();
        if !members.is_empty() {
            self.windows.forget(&members);
            self.book.leave(&members, &self.windows);
        }
    }

    /// Takes one point of the series that has the seat.
    pub fn add(
        &mut self,
        seat: Seat,
        point: &PointView<'_>,
        observation: Option<&Observation<'_>>,
        now: Nanos,
    ) -> Added {
        let Some(member) = self.book.members.get(seat, self.clock, self.rules.expiry) else {
            return Added::Stale;
        };
        let (slot, overflow, class) = (member.slot, member.overflow, member.class);
        let Some(group) = self.book.groups.get(slot) else {
            return Added::Stale;
        };
        let intake = if point.no_recorded_value() {
            Intake::Nothing
        } else {
            match self.scratch.intake(group, point, observation) {
                Ok(intake) => intake,
                Err(Fault::NotANumber) => return Added::Dropped("nan"),
                Err(Fault::Passes) => {
                    self.counts.not_aggregated += 1;
                    return Added::Passes(NOT_AGGREGATED);
                }
            }
        };
        let mut notes = observation.map_or(Notes::NONE, |o| o.notes);
        let mut end = grid_end(point.time, self.rules.interval);
        if point.time > now.saturating_add(self.rules.lateness) {
            notes.add(Notes::FUTURE);
            end = self.windows.current(now, self.rules.interval);
        } else if end <= self.windows.closed_to {
            if matches!(group.kind, Kind::Gauge(_)) {
                return Added::Dropped("late");
            }
            notes.add(Notes::LATE);
            end = self.windows.current(now, self.rules.interval);
        }
        if overflow {
            notes.add(Notes::OVERFLOW);
        }
        self.counts.note(notes);
        let valued = !point.no_recorded_value();
        self.book.speaks(seat, valued, now);
        let speaker = Speaker {
            member: seat.member,
            slot,
            now,
            clock: self.clock,
            gap: observation.map_or(0, |o| o.gap),
            weight: self.book.weight(class),
        };
        let (own, count) = intake.halves();
        let window = self.windows.at(end);
        if let Some(group) = self.book.groups.get_mut(slot) {
            window.take(group, speaker, point, own);
        }
        if point.kind == MetricType::Summary
            && let Some((slot, group)) = self.book.twin(seat)
        {
            window.add(group, Speaker { slot, ..speaker }, point, count);
        }
        Added::Absorbed
    }

    /// Closes the windows with end + lateness <= now and writes their outputs, in window order.
    pub fn close(&mut self, now: Nanos, written: &mut Written) {
        self.close_with(Closing::Due, now, Vec::new(), written);
    }

    /// Closes every window, each stamped with its own end: the end of a capture.
    pub fn close_all(&mut self, now: Nanos, written: &mut Written) {
        self.close_with(Closing::All, now, Vec::new(), written);
    }

    /// Closes every window for a swap that ends this stage: windows that have ended are stamped
    /// with their end, all others become one last point stamped now. Gives the time from which a
    /// successor counts: now, or later where an output had already written at now.
    pub fn close_for_swap(&mut self, now: Nanos, written: &mut Written) -> Nanos {
        self.close_with(Closing::Swap, now, Vec::new(), written)
    }

    /// Closes windows and writes their outputs, together with what the same stage of other workers
    /// closed at the same edge.
    pub fn close_with(
        &mut self,
        how: Closing,
        now: Nanos,
        others: Vec<Partials>,
        written: &mut Written,
    ) -> Nanos {
        let mut partials = std::mem::take(&mut self.partials);
        let time = self.close_partials(how, now, &mut partials);
        for other in others {
            partials.unite(other);
        }
        self.merge(&mut partials, now, written);
        self.partials = partials;
        time
    }

    /// The worker side: closes windows into partials. Gives the time from which a successor counts.
    pub fn close_partials(&mut self, how: Closing, now: Nanos, partials: &mut Partials) -> Nanos {
        let due = now.saturating_sub(self.rules.lateness);
        let due = due - due % self.rules.interval;
        let last = match how {
            Closing::Due => due,
            Closing::All => Nanos::MAX,
            Closing::Swap => now.saturating_sub(1),
        };
        let standing = (self.rules.shared && last > self.windows.closed_to)
            .then(|| Standing::of_all(&self.book, (self.clock, self.rules.expiry)));
        if standing.is_some() {
            self.tell_bounds(partials);
        }
        self.close_to(last, standing.as_ref(), partials);
        let mut time = now;
        match how {
            Closing::Due => {
                self.windows.closed_to = self.windows.closed_to.max(due);
                self.clock = self.clock.max(now);
                self.sweep(now);
            }
            Closing::All => {}
            Closing::Swap => time = self.close_rest(now, standing.as_ref(), partials),
        }
        if let Some(standing) = standing {
            standing.tell(&self.book, &mut partials.alive);
        }
        time
    }

    /// Windows are written at the bounds that all inputs have in common by then, whichever worker they
    /// are dealt to.
    fn tell_bounds(&self, partials: &mut Partials) {
        for slot in self.windows.spoken() {
            let group = self.book.groups.get(slot);
            if let Some((group, bounds)) = group.and_then(|g| Some((g, g.bounds.as_ref()?))) {
                let output = group.head.identity;
                partials
                    .bounds
                    .entry(output)
                    .or_insert_with(|| bounds.clone());
            }
        }
    }

    /// The writer side: merges partials of any number of workers and writes the outputs.
    fn merge(&mut self, partials: &mut Partials, now: Nanos, written: &mut Written) {
        let expiry = self.rules.expiry;
        self.outputs
            .merge(partials, expiry, &mut self.counts, written);
        // Not before the merge: a total whose last window has just closed is still to be written.
        // Nor before every window that could go on with it has closed.
        let open = self
            .rules
            .interval
            .saturating_add(self.rules.lateness.saturating_mul(2));
        self.outputs.sweep(now, expiry.saturating_add(open));
    }

    /// Often enough that memory is freed soon, seldom enough to cost nothing.
    fn sweep(&mut self, now: Nanos) {
        if now.saturating_sub(self.swept) >= self.rules.expiry / 4 {
            self.swept = now;
            self.book.sweep(now, self.rules.expiry, &self.windows);
        }
    }

    /// Closes the windows that end at or before `last`, each stamped with its own end.
    fn close_to(&mut self, last: Nanos, standing: Option<&Standing>, partials: &mut Partials) {
        let mut done = self.windows.closed_to;
        while let Some(end) = self.next_end(done).filter(|end| *end <= last) {
            let window = self.windows.take(end);
            self.drain(window, end, standing, partials);
            done = end;
        }
        self.windows.closed_to = self.windows.closed_to.max(done);
    }

    /// End of the next window of which something is to be told. Where other workers have inputs of
    /// the same outputs, a value that is live counts in every window that an input elsewhere spoke in.
    fn next_end(&self, done: Nanos) -> Option<Nanos> {
        let open = self.windows.first_end();
        if !self.rules.shared || !self.book.has_levels {
            return open;
        }
        let next = grid_end(done.saturating_add(1), self.rules.interval);
        let live = (next <= self.book.levels_until()).then_some(next);
        open.into_iter().chain(live).min()
    }

    /// Folds what is open into one window stamped now.
    fn close_rest(
        &mut self,
        now: Nanos,
        standing: Option<&Standing>,
        partials: &mut Partials,
    ) -> Nanos {
        let levels = self.rules.shared && self.book.has_levels;
        let rest = self.windows.pop_folded();
        let Some(rest) = rest.or_else(|| levels.then(Window::default)) else {
            return now.max(self.windows.closed_to);
        };
        // Never at or before a point that was written, nor at the stage's own start.
        let written_to = self.outputs.last_written.max(self.windows.closed_to);
        let stamp = now.max(written_to.saturating_add(1));
        self.drain(rest, stamp, standing, partials);
        if let Some(closed) = partials.windows.last_mut() {
            closed.cut = true;
        }
        self.windows.closed_to = self.windows.closed_to.max(stamp);
        stamp
    }

    /// The first instant, at or after `now`, at which a swap stamps the last points of every worker
    /// alike, whatever each of them holds: after all that was written, and that a window which closes then
    /// may write.
    pub fn swap_instant(&self, now: Nanos) -> Nanos {
        let written_to = self.outputs.last_written.max(self.windows.closed_to);
        let instant = now.max(written_to.saturating_add(1));
        let behind = instant % self.rules.interval;
        let closes = instant - behind > self.windows.closed_to && self.rules.lateness <= behind;
        if closes && behind <= self.outputs.gap {
            return instant - behind + self.outputs.gap + 1;
        }
        instant
    }

    /// Whether what it takes also goes on.
    pub fn keeps_original(&self) -> bool {
        self.rules.keep_original
    }

    /// Points held in open windows.
    pub fn held(&self) -> u64 {
        self.windows.held()
    }

    /// Points by note since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Points by note since the last [`Aggregation::take_counts`].
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Live members and groups, and an estimate of their bytes.
    pub fn size(&self) -> (usize, usize, usize) {
        let bytes = self.book.bytes() + self.windows.bytes() + self.outputs.bytes();
        (self.book.members.len(), self.book.groups.len(), bytes)
    }

    /// At most how many points its open windows will write.
    pub fn to_write(&self) -> usize {
        // A summary becomes two; what ends in the window in which it gained something says so behind it.
        let most = (self.windows.held() as usize).saturating_mul(2);
        self.book.groups.len().saturating_mul(2).min(most)
    }

    /// The output that a seat's points go to, for explanations.
    pub fn output_of(&self, seat: Seat) -> Option<Place<'_>> {
        let slot = self.book.members.slot(seat)?;
        self.book.groups.get(slot).map(group::Group::place)
    }

    fn drain(
        &mut self,
        mut window: Window,
        stamp: Nanos,
        standing: Option<&Standing>,
        partials: &mut Partials,
    ) {
        let span = (self.windows.start_of(stamp, self.rules.interval), stamp);
        let ages = (self.clock, self.rules.expiry);
        let closed = partial::drain(&mut window, &mut self.book, span, ages, standing);
        self.windows.recycle(window);
        partials.windows.push(closed);
    }
}

impl Seat {
    fn new(member: u32, generation: u32) -> Seat {
        Seat { member, generation }
    }

    /// Its number; seats that were given up are given again under another generation.
    pub fn number(self) -> usize {
        self.member as usize
    }
}

#[cfg(test)]
mod tests;
