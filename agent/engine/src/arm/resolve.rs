//! How a route is found: the one walk through the stages that a series' points are spared.

use super::disguise::{Disguise, keeps_points};
use super::gated::known;
use super::weight::{ask_again, weight_at};
use super::{Arm, Around, Event, Origin};
use crate::aggregate::{Joined, TABLE_FULL};
use crate::compile::{Action, Decision, Filter, Method};
use crate::document::Matcher;
use crate::identity::share;
use crate::input::Input;
use crate::route::{End, Place, Route, Rule, Way};
use crate::series::{Entry, Found, Table};
use crate::splice::assemble::Shared;
use crate::stage::filter::entities::Stake;
use crate::stage::gate::{Kind, Memory};
use crate::stage::quiet::{Recall, applies};
use crate::stage::{Running, State};
use crate::view::{MetricType, MetricView, SeriesView, Temporality};

impl Arm {
    /// Decides what becomes of the series. Its stamps stay.
    #[cold]
    pub(super) fn resolve(
        &mut self,
        route: &mut Route,
        event: &Event<'_>,
        input: Option<&Input>,
        around: &mut Around<'_>,
    ) {
        let Some(series) = event.series_view() else {
            return;
        };
        // Protection and arms go by what a series is called where it comes in.
        let came = match event.guise {
            Some(_) => event.index.series(event.point, event.data),
            None => None,
        };
        let came = came.unwrap_or(series);
        let mut disguise = Disguise::new(event);
        let stages = self.stages.len() as u16;
        let mut way = Way {
            entry: event.entry,
            stage: stages,
            end: End::Emit,
            rule: Rule::None,
            protected: any(&self.pipeline.protect, &came),
            measured: event.origin != Origin::Merged && any(around.measured, &came),
            unassigned: false,
            then: None,
            notes: Vec::new(),
        };
        let mut place = Place::None;
        if self.is_others(&came, event, around, &mut way) {
            way = Way {
                end: End::Other,
                protected: false,
                measured: false,
                ..way
            };
        } else if !way.protected {
            let pipeline = self.pipeline.clone();
            let mut weight = event.weight;
            for (number, stage) in (0u16..).zip(&pipeline.stages) {
                if number < event.entry
                    || disguise.transform(stage, number, &series, &mut way.notes)
                {
                    continue;
                }
                // Where points are kept they are kept under the identity that they have there.
                let guise = keeps_points(stage)
                    .then(|| disguise.guise(&mut self.guises, event, &series, around))
                    .flatten();
                let event = &Event {
                    entry: number,
                    guise: guise.as_ref(),
                    weight,
                    ..*event
                };
                let view = disguise.view(&series);
                if let Some(at) = self.meet(number, &view, (event, input), around, &mut way) {
                    (way.stage, place) = (number, at);
                    break;
                }
                weight *= weight_at(stage, &view, around);
            }
        }
        let old = std::mem::take(&mut route.guise);
        if route.generation == self.generation {
            self.guises.free(old);
        }
        let writes = !matches!(
            way.end,
            End::Absorb | End::Filtered | End::SampledOut | End::Other
        );
        if writes {
            let guise = disguise.guise(&mut self.guises, event, &series, around);
            let leaves = way.end == End::Emit;
            route.guise = guise.map_or(0, |guise| self.guises.keep(guise, leaves, event.now));
        }
        route.generation = self.generation;
        let stage = way.stage;
        route.path = self.paths.number(way);
        route.place = place;
        self.resolve_beside(route, stage, event, input, around);
    }

    /// Whether the series is the other arm's: by scope, or by a split. What the arm wrote itself is its
    /// own.
    fn is_others(
        &self,
        series: &SeriesView<'_>,
        event: &Event<'_>,
        around: &mut Around<'_>,
        way: &mut Way,
    ) -> bool {
        if !around.scope.is_empty() && !any(around.scope, series) {
            (way.unassigned, way.measured) = (true, false);
            if let Some(split) = around.split.as_deref_mut() {
                split.leave_out(event.series);
            }
            return event.origin == Origin::Received && self.side == 1;
        }
        let Some(split) = around.split.as_deref_mut() else {
            return false;
        };
        let hash = split.divide(series, event.series, around.canonical);
        way.unassigned = hash.is_none();
        event.origin == Origin::Received
            && hash.is_some_and(|hash| share(hash) < split.share) != (self.side == 1)
    }

    /// What one stage does with the series: a place where the path ends, or `None`: it goes on.
    fn meet(
        &mut self,
        number: u16,
        series: &SeriesView<'_>,
        (event, input): (&Event<'_>, Option<&Input>),
        around: &mut Around<'_>,
        way: &mut Way,
    ) -> Option<Place> {
        let pipeline = self.pipeline.clone();
        let stage = pipeline.stages.get(usize::from(number))?;
        match &stage.action {
            Action::Filter(Filter::Entities(filter)) => {
                let hash = around
                    .canonical
                    .entity_hash(series, &filter.entity, filter.seed)?;
                let stake = Stake::of(filter, series)?;
                let now = event.clock;
                self.slot(number, (event, input), around, way, |kind| match kind {
                    Kind::Entities(idle) => Some(Memory::Entities(idle.join(hash, stake, now))),
                    Kind::Values(_) | Kind::Quiet(_) => None,
                })
            }
            Action::Filter(Filter::Rules(filter)) => match filter.decide(series) {
                Decision::Pass => None,
                Decision::Drop(rule) => {
                    (way.end, way.rule) = (End::Filtered, rule);
                    Some(Place::None)
                }
                Decision::Points(rules) => {
                    self.slot(number, (event, input), around, way, |kind| match kind {
                        Kind::Values(values) => Some(Memory::Values(values.list(rules))),
                        Kind::Entities(_) | Kind::Quiet(_) => None,
                    })
                }
            },
            Action::Sample(sample) if !sample.matcher.matches(series) => None,
            Action::Sample(sample) => match &sample.method {
                Method::Fraction {
                    fraction,
                    entity,
                    seed,
                    ..
                } => {
                    let hash = around.canonical.entity_hash(series, entity, *seed)?;
                    if share(hash) < *fraction {
                        return None;
                    }
                    way.end = End::SampledOut;
                    Some(Place::None)
                }
                Method::Quiet { band, .. } if !applies(*band, &series.metric) => None,
                Method::Quiet { .. } => {
                    let recall = Recall::of(&series.metric);
                    self.slot(number, (event, input), around, way, |_| {
                        Some(Memory::Quiet(recall))
                    })
                }
                Method::Every { .. } => self.ticket(number, event, input, around, way),
            },
            Action::Rewrite(rewrite) if !rewrite.matcher.matches(series) => None,
            Action::Rewrite(_) => self.turn(number, series, (event, input), around, way),
            // Done before.
            Action::Transform(_) => None,
            Action::Aggregate(aggregate) if !aggregate.matcher.matches(series) => None,
            Action::Aggregate(_) => self.seat(number, series, event, way),
            Action::Fold(_) => self.fold(number, series, (event, input), around, way),
        }
    }

    fn ticket(
        &mut self,
        number: u16,
        event: &Event<'_>,
        input: Option<&Input>,
        around: &mut Around<'_>,
        way: &mut Way,
    ) -> Option<Place> {
        let weight = event.weight;
        let running = self.stages.get_mut(usize::from(number))?;
        let State::Every(every) = &mut running.state else {
            return None;
        };
        let key = event.surroundings_key();
        let around_it = |shared: &mut Shared| event.surroundings(shared);
        let limit = around.settings.stage_series();
        let (identity, metric) = event.written();
        let ticket = if event.tracked {
            let times = (event.clock, around.expiry);
            every.ticket(identity, key, around_it, limit, times)
        } else {
            None
        };
        match ticket {
            Some((ticket, new)) => {
                if every.weigh(ticket, weight) {
                    ask_again(&mut running.outputs, identity);
                }
                // What it lets go is the same series: later stages do not start blind either.
                if let Some(input) = known(input, new) {
                    let outputs = outputs(running, around);
                    let found = outputs.find_or_add(identity, |_| {
                        Entry::new(identity, metric, Some(input.clone()))
                    });
                    let series = match found {
                        Found::New { series, .. } => Some(series),
                        Found::Known(series) if new => Some(series),
                        _ => None,
                    };
                    if let Some(entry) = series.and_then(|series| outputs.get_mut(series)) {
                        entry.seen = event.clock.max(1);
                        entry.input = Some(input.clone());
                    }
                }
                way.end = End::Hold;
                Some(Place::Held(ticket))
            }
            None => {
                way.notes.push((number, TABLE_FULL));
                None
            }
        }
    }

    fn seat(
        &mut self,
        number: u16,
        series: &SeriesView<'_>,
        event: &Event<'_>,
        way: &mut Way,
    ) -> Option<Place> {
        let running = self.stages.get_mut(usize::from(number))?;
        let State::Aggregate(aggregation) = &mut running.state else {
            return None;
        };
        let joined = if !event.tracked && is_cumulative(&series.metric) {
            Joined::Passes(TABLE_FULL)
        } else {
            aggregation.join(series, event.identity, event.weight, event.now)
        };
        match joined {
            Joined::Seat(seat) => {
                way.end = End::Absorb;
                Some(Place::Seat(seat))
            }
            Joined::Passes(reason) => {
                way.notes.push((number, reason));
                None
            }
        }
    }

    /// A place that has expired is given anew.
    pub(super) fn seat_again(
        &mut self,
        route: &mut Route,
        stage: u16,
        event: &Event<'_>,
        around: &mut Around<'_>,
    ) {
        let (guise, weight) = self.disguised(event, stage, around);
        let event = &Event {
            entry: stage,
            guise: guise.as_ref(),
            weight,
            ..*event
        };
        let Some(series) = event.series_view() else {
            return;
        };
        let Some(mut way) = self.paths.get(route.path).map(|path| path.way.clone()) else {
            return;
        };
        let place = self.meet(stage, &series, (event, None), around, &mut way);
        route.place = place.unwrap_or(Place::None);
    }
}

/// The series that a stage writes.
pub fn outputs<'a>(running: &'a mut Running, around: &Around<'_>) -> &'a mut Table {
    running.outputs.get_or_insert_with(|| {
        let settings = around.settings;
        Box::new(Table::new(settings.stage_series(), settings.memo_seed))
    })
}

/// Whether one of these matches the series.
pub fn any(matchers: &[Matcher], series: &SeriesView<'_>) -> bool {
    matchers.iter().any(|matcher| matcher.matches(series))
}

/// Whether a series' points only mean something against the one before.
pub fn is_cumulative(metric: &MetricView<'_>) -> bool {
    metric.kind == MetricType::Summary
        || (metric.temporality == Temporality::Cumulative && metric.kind != MetricType::Gauge)
}
