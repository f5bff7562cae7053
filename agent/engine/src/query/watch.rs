//! Evaluates innermost aggregations on what one arm writes, step by step.
//!
//! It reads the written requests themselves, after the arm: what is compared is what a backend would be
//! given. A series is matched once; a point of a series that nobody reads costs the walk alone.

use super::groups::Groups;
use super::partial::{Partials, Volume};
use super::select::Compiled;
use super::series::{Course, Says, Scratch, Seat, Series};
use super::{Function, LOOKBACK_MS, SEATS};
use crate::Nanos;
use crate::engine::{Limits, Settings};
use crate::identity::Canonical;
use crate::prometheus::{Kind, family, samples};
use crate::series::memo::Memo;
use crate::view::{PointView, SeriesView};
use crate::wire::index::{Index, PointEntry, Reject, UNKNOWN};
use crate::wire::normalise::normalise;
use crate::wire::walk::walk;
use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const MILLI: Nanos = 1_000_000;
/// A series that was silent for longer is forgotten: the longest look back, and as much again.
const SILENT: Nanos = 2 * LOOKBACK_MS * MILLI;
/// Most steps that are closed at once; of a node that slept the rest is not known.
const MOST_CLOSED: u64 = 128;

/// When steps count and when they close.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// When the plan began.
    pub began: Nanos,
    /// Steps that began earlier than this after it are warm-up.
    pub reach: Nanos,
    /// A step closes so long after its end.
    pub settle: Nanos,
}

/// The queries of one arm.
#[derive(Debug)]
pub struct Watch {
    asked: Arc<Compiled>,
    pace: Pace,
    /// Length of a step.
    step: Nanos,
    /// Number of the oldest open step; step n holds (n - 1, n] times its length.
    open: u64,
    /// The first step that counts.
    from: u64,
    /// Steps up to here were told.
    told: u64,
    memo: Memo,
    by_identity: HashMap<u128, u32>,
    series: Vec<Series>,
    free: Vec<u32>,
    most_series: usize,
    most_groups: usize,
    seats: usize,
    groups: Vec<Groups>,
    /// Series and samples by step, from the oldest open one.
    volume: VecDeque<(u64, u64)>,
    /// A series found no place: the volume is not whole.
    uncounted: bool,
    found: Partials,
    seed: u64,
    canonical: Canonical,
    scratch: Scratch,
    index: Index,
    swept: Nanos,
}

impl Watch {
    /// Nothing seen yet.
    pub fn new(asked: Arc<Compiled>, pace: Pace, settings: &Settings) -> Watch {
        let step = (asked.queries.step_ms * MILLI).max(1);
        let from = (pace.began + pace.reach).div_ceil(step) + 1;
        let inner = asked.queries.inner.len();
        Watch {
            pace,
            step,
            open: pace.began.div_ceil(step),
            from,
            told: from - 1,
            memo: Memo::new(settings.own_series().saturating_mul(2), settings.memo_seed),
            by_identity: HashMap::new(),
            series: Vec::new(),
            free: Vec::new(),
            most_series: settings.limits.series,
            most_groups: super::groups_each(inner),
            seats: 0,
            groups: (0..inner).map(|_| Groups::default()).collect(),
            volume: VecDeque::new(),
            uncounted: false,
            found: Partials::default(),
            seed: settings.fleet_seed,
            canonical: Canonical::default(),
            scratch: Scratch::default(),
            index: Index::default(),
            swept: 0,
            asked,
        }
    }

    /// Reads a request that the arm wrote.
    pub fn read(&mut self, request: &[u8], now: Nanos) {
        if request.is_empty() {
            return;
        }
        let mut index = std::mem::take(&mut self.index);
        let none = Limits::none();
        if walk(request, &none, &mut self.memo, &mut index).is_ok() {
            if index.rare.is_empty() {
                self.points(request, &index, now);
            } else if let Ok(usual) = normalise(request, &none, &mut self.memo, &mut index) {
                self.points(&usual, &index, now);
            }
        }
        self.index = index;
    }

    fn points(&mut self, data: &[u8], index: &Index, now: Nanos) {
        for point in &index.points {
            let of = index.metrics.get(point.metric as usize);
            let Some(kind) = of
                .and_then(|m| m.kind)
                .filter(|_| point.reject == Reject::No)
            else {
                continue;
            };
            let number = match point.series {
                UNKNOWN => match index.series(point, data) {
                    Some(view) => self.identify(point, &view, now),
                    None => continue,
                },
                known => known,
            };
            let Some(series) = self.series.get_mut(number as usize) else {
                continue;
            };
            series.seen = now;
            let read = !series.seats.is_empty();
            if self.asked.queries.volume && series.fits {
                self.count(number, &point.view(kind, data), now);
            }
            if read {
                let around = || index.series(point, data);
                self.point(number, &point.view(kind, data), around, now);
            }
        }
    }

    /// A point as samples. A backend takes those of a series in the order of time, each time once.
    fn count(&mut self, number: u32, point: &PointView<'_>, now: Nanos) {
        let step = self.step_of(point.time, now);
        let ahead = (step - self.open) as usize;
        let Some(series) = self.series.get_mut(number as usize) else {
            return;
        };
        if point.time <= series.counted {
            return;
        }
        series.counted = point.time;
        if point.no_recorded_value() {
            return;
        }
        if self.volume.len() <= ahead {
            self.volume.resize(ahead + 1, (0, 0));
        }
        let samples = samples(point);
        if let Some((of_series, all)) = self.volume.get_mut(ahead) {
            *all += samples;
            if series.spoke < step {
                series.spoke = step;
                *of_series += samples;
            }
        }
    }

    /// The step of a point, one that is open. What lies ahead of now is not from there.
    fn step_of(&self, time: Nanos, now: Nanos) -> u64 {
        let newest = now.div_ceil(self.step) + 1;
        time.div_ceil(self.step)
            .min(newest.max(self.open))
            .max(self.open)
    }

    /// A point of a series that somebody reads.
    fn point<'a>(
        &mut self,
        number: u32,
        view: &PointView<'_>,
        around: impl Fn() -> Option<SeriesView<'a>>,
        now: Nanos,
    ) {
        let valued = !view.no_recorded_value();
        if valued && !self.scratch.read(view) {
            return;
        }
        let known = self
            .series
            .get(number as usize)
            .map(|s| s.bounds.as_slice());
        if valued && known != Some(self.scratch.bounds()) {
            // Other buckets are other series.
            self.unseat(number);
            if let Some(series) = around() {
                self.seat(number, &series);
            }
        }
        let Some(series) = self.series.get_mut(number as usize) else {
            return;
        };
        let says = match valued {
            true => series.take(view, self.pace.began, &mut self.scratch),
            false => series.end(view.time),
        };
        self.tell(number, says, view.time, now);
    }

    /// The series of a point that the memo does not know.
    #[cold]
    fn identify(&mut self, point: &PointEntry, view: &SeriesView<'_>, now: Nanos) -> u32 {
        if let Some(known) = self.memo.peek(point.key) {
            return known;
        }
        let identity = self.canonical.identity(view, self.seed);
        let number = match self.by_identity.get(&identity) {
            Some(number) => *number,
            None => {
                let mut series = Series::new(identity, Course::of(&view.metric), now);
                series.fits = Kind::of(&view.metric).is_ok() && family(&view.metric).is_some();
                let Some(number) = self.place(series) else {
                    self.uncounted = true;
                    self.refuse_all();
                    return UNKNOWN;
                };
                self.by_identity.insert(identity, number);
                // Buckets are known from the point: read below, where it is seen that there are others.
                self.scratch
                    .read(&PointView::of(view.metric.kind, view.point));
                self.seat(number, view);
                number
            }
        };
        self.memo.insert(point.key, number);
        number
    }

    fn place(&mut self, series: Series) -> Option<u32> {
        if let Some(number) = self.free.pop() {
            *self.series.get_mut(number as usize)? = series;
            return Some(number);
        }
        if self.series.len() >= self.most_series {
            return None;
        }
        self.series.push(series);
        Some(self.series.len() as u32 - 1)
    }

    /// Finds who reads a series whose point is in `scratch`.
    fn seat(&mut self, number: u32, view: &SeriesView<'_>) {
        let mut refused = Vec::new();
        let bounds = self.scratch.bounds().to_vec();
        let found = self.asked.find(view, &bounds, &mut refused);
        for inner in refused {
            self.refuse(inner, || {
                "exponential histograms are not evaluated".to_string()
            });
        }
        let mut seats = Vec::with_capacity(found.len());
        for of in found {
            if self.found.unchecked.contains_key(&of.inner) {
                continue;
            }
            let most = self.most_groups;
            let groups = self.groups.get_mut(of.inner as usize);
            let group = groups.and_then(|groups| groups.join(&of.labels, most));
            let Some(group) = group else {
                self.refuse(of.inner, || format!("more than {most} groups on an agent"));
                continue;
            };
            seats.push(Seat {
                inner: of.inner,
                part: of.part,
                group,
                recent: Default::default(),
            });
        }
        self.seats += seats.len();
        if self.seats > SEATS {
            self.refuse_all();
        }
        if let Some(series) = self.series.get_mut(number as usize) {
            series.forget();
            series.seats = seats;
            series.bounds = bounds;
        }
    }

    fn unseat(&mut self, number: u32) {
        let Some(series) = self.series.get_mut(number as usize) else {
            return;
        };
        for seat in series.seats.drain(..) {
            self.seats -= 1;
            if let Some(groups) = self.groups.get_mut(seat.inner as usize) {
                groups.leave(seat.group);
            }
        }
    }

    /// From here on an aggregation is not evaluated: never half of it.
    fn refuse(&mut self, inner: u32, why: impl FnOnce() -> String) {
        self.found.unchecked.entry(inner).or_insert_with(why);
    }

    #[cold]
    fn refuse_all(&mut self) {
        let most = SEATS.min(self.most_series);
        for inner in 0..self.groups.len() as u32 {
            self.refuse(inner, || format!("more than {most} series on an agent"));
        }
    }

    /// What a point said goes to everyone who reads the series.
    fn tell(&mut self, number: u32, says: Says, time: Nanos, now: Nanos) {
        if says == Says::Nothing {
            return;
        }
        self.found.late += u64::from(time.div_ceil(self.step) < self.open);
        let step = self.step_of(time, now);
        let Some(series) = self.series.get_mut(number as usize) else {
            return;
        };
        for seat in &mut series.seats {
            let Some(inner) = self.asked.queries.inner.get(seat.inner as usize) else {
                continue;
            };
            let value = self.scratch.values.get(seat.part).copied();
            let adds = self.scratch.adds.get(seat.part).copied();
            match (inner.function, says, adds) {
                (Function::Last, Says::Ended, _) => seat.set(step, time, None),
                (Function::Last, ..) => seat.set(step, time, value),
                (Function::Increase, Says::Values { adds: true }, Some(adds)) => {
                    if let Some(groups) = self.groups.get_mut(seat.inner as usize) {
                        groups.add((step - self.open) as usize, seat.group, adds);
                    }
                }
                (Function::IncreaseOver(_), Says::Values { adds: true }, Some(adds)) => {
                    seat.add(step, time, adds);
                }
                _ => {}
            }
        }
    }

    /// What was found since the cut before, of all steps that are over.
    pub fn cut(&mut self, now: Nanos) -> Partials {
        let last = now.saturating_sub(self.pace.settle) / self.step;
        if last >= self.open + MOST_CLOSED {
            // Nobody knows what was written meanwhile.
            self.from = self.from.max(last + 1);
            self.told = self.from - 1;
        }
        while self.open <= last {
            if self.from > last + 1 {
                // Nothing of it is told.
                self.groups.iter_mut().for_each(|g| drop(g.close()));
                self.volume.pop_front();
                self.open += 1;
                continue;
            }
            self.close();
        }
        let from = self.told;
        self.told = self.told.max(last);
        self.sweep(now);
        let step_ms = self.asked.queries.step_ms;
        let unchecked: BTreeMap<u32, String> = self.found.unchecked.clone();
        let mut found = std::mem::take(&mut self.found);
        found
            .steps
            .retain(|step| !unchecked.contains_key(&step.inner));
        (found.from_ms, found.until_ms) = (from * step_ms, self.told * step_ms);
        self.found.unchecked = unchecked;
        found
    }

    /// Ends the oldest open step.
    fn close(&mut self) {
        let step = self.open;
        self.open += 1;
        let inner: Vec<Function> = self
            .asked
            .queries
            .inner
            .iter()
            .map(|i| i.function)
            .collect();
        let mut found: Vec<_> = self.groups.iter_mut().map(Groups::close).collect();
        let oldest = (step * self.step).saturating_sub(LOOKBACK_MS * MILLI);
        for seat in self.series.iter_mut().flat_map(|s| &mut s.seats) {
            let value = match inner.get(seat.inner as usize) {
                Some(Function::Last) => seat.last(step, oldest),
                Some(Function::IncreaseOver(over)) => seat.added(step, u64::from(*over)),
                _ => None,
            };
            if let (Some(value), Some(groups)) = (value, found.get_mut(seat.inner as usize)) {
                let one = super::partial::Partial::of(value);
                groups.entry(seat.group).or_default().merge(&one);
            }
        }
        let (of_series, samples) = self.volume.pop_front().unwrap_or_default();
        if step < self.from {
            return;
        }
        let end_ms = step * self.asked.queries.step_ms;
        if self.asked.queries.volume && !self.uncounted {
            self.found.volume.push(Volume {
                end_ms,
                series: of_series,
                samples,
            });
        }
        for ((number, groups), found) in (0u32..).zip(&self.groups).zip(&found) {
            let whole = match inner.get(number as usize) {
                Some(Function::IncreaseOver(over)) => step + 1 >= self.from + u64::from(*over),
                _ => true,
            };
            if whole && !found.is_empty() {
                self.found.steps.push(groups.step(number, end_ms, found));
            }
        }
    }

    /// Forgets what has been silent.
    fn sweep(&mut self, now: Nanos) {
        let silent = SILENT.max(self.longest() * self.step);
        if now.saturating_sub(self.swept) < silent / 4 {
            return;
        }
        self.swept = now;
        let gone: Vec<u32> = (0u32..)
            .zip(&self.series)
            .filter(|(_, s)| s.seen != 0 && now.saturating_sub(s.seen) > silent)
            .map(|(number, _)| number)
            .collect();
        for number in &gone {
            self.unseat(*number);
            if let Some(series) = self.series.get_mut(*number as usize) {
                self.by_identity.remove(&series.identity);
                *series = Series::new(0, Course::Level, 0);
            }
            self.free.push(*number);
        }
        if !gone.is_empty() {
            let series = &self.series;
            self.memo
                .retain(|n| series.get(n as usize).is_some_and(|s| s.seen != 0));
        }
    }

    /// The longest range in steps.
    fn longest(&self) -> u64 {
        let over = |function: &Function| match function {
            Function::IncreaseOver(steps) => u64::from(*steps),
            Function::Last | Function::Increase => 1,
        };
        let inner = self.asked.queries.inner.iter();
        inner.map(|i| over(&i.function)).max().unwrap_or(1)
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        self.memo.bytes()
            + self.by_identity.capacity() * 21
            + self.series.capacity() * size_of::<Series>()
            + self.series.iter().map(Series::heap).sum::<usize>()
            + self.groups.iter().map(Groups::bytes).sum::<usize>()
    }
}
