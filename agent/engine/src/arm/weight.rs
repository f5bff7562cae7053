//! For how many series the increments of one stand: a share of entities was kept, each stands for the
//! others too.

use super::{Arm, Around};
use crate::compile::{Action, Method, Stage};
use crate::series::Table;
use crate::view::SeriesView;

/// The weight that a stage gives to a series that it lets pass, as the series is called there: that of
/// a sample of whole entities that it matches. 1 where it lacks a key of the entity.
pub(super) fn weight_at(stage: &Stage, series: &SeriesView<'_>, around: &mut Around<'_>) -> f64 {
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
        *weight
    } else {
        1.0
    }
}

/// The weight of a series has changed: the stages behind one that lets its points go later are told
/// when they are asked again.
pub(super) fn ask_again(outputs: &mut Option<Box<Table>>, identity: u128) {
    if let Some(table) = outputs
        && let Some(entry) = table.find(identity).and_then(|n| table.get_mut(n))
    {
        entry.routes.baseline.generation = 0;
    }
}

impl Arm {
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
