//! What is counted of points that come in and go out.

use super::{Arm, Around, Event};
use crate::route::Route;
use crate::sketch::Sketch;

/// Counts of one metric name since the last cut.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricCount {
    pub(super) points_in: u64,
    pub(super) points_out: u64,
    pub(super) series_in: u64,
    pub(super) series_out: u64,
}

/// Distinct series since the last cut.
#[derive(Debug, Clone, Default)]
pub struct Distinct {
    pub(super) count: u64,
    /// A series without a place in the table came: the count is no longer exact.
    pub(super) inexact: bool,
    pub(super) sketch: Sketch,
}

impl Distinct {
    fn add(&mut self, event: &Event<'_>) {
        self.count += 1;
        self.inexact |= !event.tracked;
        self.sketch.insert(event.identity);
    }
}

impl Arm {
    /// How many samples a point is, where they are counted.
    #[inline]
    pub(super) fn samples_of(&self, event: &Event<'_>) -> u64 {
        match self.samples {
            Some(_) => event.samples(),
            None => 0,
        }
    }

    #[inline]
    pub(super) fn came_in(&mut self, event: &Event<'_>, first: bool, samples: u64, outside: bool) {
        if let Some((came, _)) = &mut self.samples {
            *came += samples;
        }
        let metric = self.metric(event.metric);
        metric.points_in += 1;
        if first {
            metric.series_in += 1;
            self.series_in.add(event);
            if let Some(compared) = self.compared.as_mut().filter(|_| !outside) {
                compared.0.add(event);
            }
        }
    }

    pub(super) fn entity(&mut self, event: &Event<'_>, around: &Around<'_>) {
        let hash = around
            .split
            .as_deref()
            .and_then(|split| split.hash(event.series));
        if let (Some(hash), Some(entities)) = (hash, &mut self.entities) {
            entities.add(hash, around.settings.limits.series);
        }
    }

    /// A point is written, and `samples` are.
    #[inline]
    pub(super) fn goes_out(
        &mut self,
        route: &mut Route,
        event: &Event<'_>,
        samples: u64,
        outside: bool,
    ) {
        if let Some((_, left)) = &mut self.samples {
            *left += samples;
        }
        let mut first = route.out_stamp != event.window;
        route.out_stamp = event.window;
        // What has no place in a table has no limit: it is counted each time, and said to be inexact.
        if first
            && event.tracked
            && let Some(went_out) = &mut self.went_out
        {
            first = went_out.insert(event.written().0);
        }
        let metric = self.metric(event.metric);
        metric.points_out += 1;
        if first {
            metric.series_out += 1;
            self.series_out.add(event);
            if let Some(compared) = self.compared.as_mut().filter(|_| !outside) {
                compared.1.add(event);
            }
            if let Some(attributes) = &mut self.attributes
                && let Some(series) = event.series_view()
            {
                attributes.add(&series, event.identity);
            }
        }
    }

    #[inline]
    fn metric(&mut self, number: u32) -> &mut MetricCount {
        let number = number as usize;
        if number >= self.metrics.len() {
            self.metrics.resize(number + 1, MetricCount::default());
        }
        // Just made long enough.
        &mut self.metrics[number]
    }
}
