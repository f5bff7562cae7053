//! Where an arm meets transforms: what a series is called at a stage, and how it leaves.

use super::weight::weight_at;
use super::{Arm, Around, Event};
use crate::compile::{Action, Filter, Method, Stage};
use crate::route::{End, Path, Route};
use crate::splice::assemble::{Shared, Surroundings};
use crate::stage::transform::guise::{Guise, Guises, Origin};
use crate::stage::transform::{Draft, TRANSFORMED};
use crate::view::{PointView, SeriesView};
use std::sync::Arc;

/// What a series is called while its route is resolved.
#[derive(Debug)]
pub struct Disguise {
    draft: Draft,
    /// Made of the draft as it is; at first what the series is called already.
    guise: Option<Arc<Guise>>,
}

impl Disguise {
    /// Nothing is changed yet.
    pub fn new(event: &Event<'_>) -> Disguise {
        Disguise {
            draft: Draft::default(),
            guise: event.guise.cloned(),
        }
    }

    /// Does what the stage does if it is a transform; whether it is.
    pub fn transform(
        &mut self,
        stage: &Stage,
        number: u16,
        series: &SeriesView<'_>,
        notes: &mut Vec<(u16, &'static str)>,
    ) -> bool {
        let Action::Transform(transform) = &stage.action else {
            return false;
        };
        if transform.matcher.matches(&self.view(series)) {
            self.guise = None;
            self.draft.apply(transform, series, |reason| {
                if !notes.contains(&(number, reason)) {
                    notes.push((number, reason));
                }
            });
        }
        true
    }

    /// The series as it is called now.
    pub fn view<'a>(&'a self, series: &SeriesView<'a>) -> SeriesView<'a> {
        self.draft.view(series)
    }

    /// The guise that it has now; `None` for what it came as.
    pub fn guise(
        &mut self,
        guises: &mut Guises,
        event: &Event<'_>,
        series: &SeriesView<'_>,
        around: &mut Around<'_>,
    ) -> Option<Arc<Guise>> {
        if self.guise.is_none() {
            self.guise = if self.draft.is_changed() {
                let tools = (&mut *around.canonical, &mut *around.names);
                let view = self.draft.view(series);
                let seed = around.settings.fleet_seed;
                let made = guises.make(&self.draft, &event.origin_of_guise(), &view, tools, seed);
                made.map(Arc::new)
            } else {
                event.guise.cloned()
            };
        }
        self.guise.clone()
    }
}

/// Whether a stage keeps points, or the series by the identity that they have there.
pub fn keeps_points(stage: &Stage) -> bool {
    match &stage.action {
        Action::Filter(Filter::Rules(rules)) => rules.has_values(),
        Action::Filter(Filter::Entities(_)) => true,
        Action::Rewrite(_) | Action::Fold(_) => true,
        Action::Aggregate(_) | Action::Transform(_) => false,
        Action::Sample(sample) => match sample.method {
            Method::Fraction { .. } => false,
            Method::Quiet { .. } | Method::Every { .. } => true,
        },
    }
}

impl<'a> Event<'a> {
    /// The event at a stage where its points have this guise; as it is without one. `entry` and
    /// `weight` stay those that it came with: whoever walks the stages again starts from the event
    /// that came, or what it is called and its weight would be told twice.
    #[inline]
    pub fn called<'b>(&self, guise: Option<&'b Arc<Guise>>) -> Event<'b>
    where
        'a: 'b,
    {
        Event {
            guise: guise.or(self.guise),
            ..*self
        }
    }

    /// Identity and metric name under which the point is written.
    pub fn written(&self) -> (u128, u32) {
        self.guise.map_or((self.identity, self.metric), |guise| {
            (guise.identity, guise.metric)
        })
    }

    /// A key of what surrounds the point where it is written.
    pub fn surroundings_key(&self) -> u128 {
        match self.guise {
            Some(guise) => guise.around.key(),
            None => {
                let of = self.index.metrics.get(self.point.metric as usize);
                of.map_or(0, |metric| metric.key)
            }
        }
    }

    /// What surrounds the point where it is written.
    pub fn surroundings(&self, shared: &mut Shared) -> Option<Surroundings> {
        match self.guise {
            Some(guise) => Some((*guise.around).clone()),
            None => Surroundings::of(self.index, self.point, self.data, shared),
        }
    }

    /// The point as it is written; `buffer` is where its body is made.
    pub fn written_view<'b>(&self, buffer: &'b mut Vec<u8>) -> PointView<'b>
    where
        'a: 'b,
    {
        let view = self.view();
        let Some(guise) = self.guise else {
            return view;
        };
        buffer.clear();
        guise.put_body(self.point, self.data, buffer);
        PointView {
            body: buffer,
            ..view
        }
    }

    fn origin_of_guise(&self) -> Origin<'a> {
        Origin {
            data: self.data,
            index: self.index,
            point: self.point,
            identity: self.identity,
            guise: self.guise.map(|guise| &**guise),
        }
    }
}

impl Arm {
    /// The guise of a route's points, made anew where what surrounds them has changed.
    pub(super) fn guise_of(
        &mut self,
        route: &mut Route,
        event: &Event<'_>,
        around: &mut Around<'_>,
    ) -> Option<Arc<Guise>> {
        if route.guise == 0 {
            // Found for a point that was written under this name already: nothing behind changes it.
            return event.guise.cloned();
        }
        let origin = event.origin_of_guise();
        if let Some(guise) = self.guises.get(route.guise, &origin, event.now) {
            return Some(guise.clone());
        }
        let path = self.paths.get(route.path)?;
        let (stage, leaves) = (path.way.stage, path.way.end == End::Emit);
        let made = self.disguised(event, stage, around).0?;
        self.guises.free(route.guise);
        route.guise = self.guises.keep(made.clone(), leaves, event.now);
        Some(made)
    }

    /// What the series of an event is called at a stage, and its weight there, by the stages from its
    /// entry to there. `None`: as it came.
    pub(super) fn disguised(
        &mut self,
        event: &Event<'_>,
        stage: u16,
        around: &mut Around<'_>,
    ) -> (Option<Arc<Guise>>, f64) {
        let pipeline = self.pipeline.clone();
        let before = pipeline
            .stages
            .get(usize::from(event.entry)..usize::from(stage));
        let before = before.unwrap_or_default();
        let mut weight = event.weight;
        let Some(series) = event.series_view() else {
            return (None, weight);
        };
        let mut disguise = Disguise::new(event);
        let mut notes = Vec::new();
        for (number, stage) in (event.entry..).zip(before) {
            if !disguise.transform(stage, number, &series, &mut notes) {
                weight *= weight_at(stage, &disguise.view(&series), around);
            }
        }
        let guise = disguise.guise(&mut self.guises, event, &series, around);
        (guise, weight)
    }

    /// A point goes to the output under another identity: not as it is.
    pub(super) fn leaves(
        &mut self,
        route: &mut Route,
        event: &Event<'_>,
        outside: bool,
        around: &mut Around<'_>,
    ) -> bool {
        let Some(guise) = self.guise_of(route, event, around) else {
            // Never: the point is of this index. It is not lost for that.
            let samples = self.samples_of(event);
            self.goes_out(route, event, samples, outside);
            return true;
        };
        let written = Event {
            identity: guise.identity,
            metric: guise.metric,
            guise: Some(&guise),
            ..*event
        };
        let samples = self.samples_of(&written);
        self.goes_out(route, &written, samples, outside);
        let came = (event.index, event.point);
        self.leaving.add_under(&guise.around, came, |out| {
            guise.put_body(event.point, event.data, out);
        });
        if outside {
            self.leaving.leave_out();
        }
        if !event.tracked {
            // Nothing keeps such a route.
            self.guises.free(std::mem::take(&mut route.guise));
            route.generation = 0;
        }
        false
    }

    /// Ids of the transforms that change what goes over a path.
    pub fn transforms<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a str> {
        let changing = path
            .way
            .notes
            .iter()
            .filter(|(_, note)| *note == TRANSFORMED);
        changing.filter_map(|(stage, _)| {
            let stage = self.pipeline.stages.get(usize::from(*stage))?;
            Some(stage.id.as_str())
        })
    }

    /// The metric name under which a route's points are written, where that is another.
    pub fn written_name(&self, route: &Route) -> Option<&str> {
        self.guises.peek(route.guise).map(Guise::name)
    }

    /// Appends the points that leave under another identity; how many they are.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> u64 {
        let points = self.leaving.points;
        if points > 0 {
            if let Some(inside) = &mut self.inside {
                inside.add_runs(&self.leaving);
            }
            self.leaving.write(out);
        }
        points
    }
}
