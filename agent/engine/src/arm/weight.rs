//! For how many series the increments of one stand: a share of entities was kept, each stands for the
//! others too.

use super::{Arm, Around, Event};
use crate::compile::{Action, Method};
use crate::view::SeriesView;

impl Arm {
    /// The weight of an event's series at stage `number`: the product of what the samples on its way
    /// give to entities that they keep. 1 where it lacks a key of the entity.
    pub(super) fn weight(
        &self,
        number: u16,
        event: &Event<'_>,
        series: &SeriesView<'_>,
        around: &mut Around<'_>,
    ) -> f64 {
        let passed = usize::from(event.entry)..usize::from(number);
        let stages = self.pipeline.stages.get(passed).unwrap_or_default();
        let mut product = event.weight;
        for stage in stages {
            if let Action::Sample(sample) = &stage.action
                && let Method::Fraction {
                    entity,
                    seed,
                    weight,
                    ..
                } = &sample.method
                && *weight != 1.0
                && sample.matcher.matches(series)
                && around
                    .canonical
                    .entity_hash(series, entity, *seed)
                    .is_some()
            {
                product *= weight;
            }
        }
        product
    }

    /// The weight of an event's series behind stage `stage`, which has taken a copy of its point.
    pub(super) fn weight_beside(
        &self,
        stage: u16,
        event: &Event<'_>,
        around: &mut Around<'_>,
    ) -> f64 {
        match event.series_view().filter(|_| self.weighs()) {
            Some(series) => self.weight(stage + 1, event, &series, around),
            None => event.weight,
        }
    }

    /// The weight of a series behind a stage that has let its points go.
    pub(super) fn weight_behind(&self, stage: u16, identity: u128) -> f64 {
        let running = self.stages.get(usize::from(stage));
        running.map_or(1.0, |running| running.weight(identity))
    }

    /// Whether any series can have another weight than 1.
    pub(super) fn weighs(&self) -> bool {
        self.pipeline
            .stages
            .iter()
            .any(|stage| match &stage.action {
                Action::Sample(sample) => {
                    matches!(&sample.method, Method::Fraction { weight, .. } if *weight != 1.0)
                }
                _ => false,
            })
    }
}
