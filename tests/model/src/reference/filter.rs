//! The filter: rules on series and on the values of their points.

use super::Counts;
use super::arm::Clock;
use super::document::{self, Match};
use super::identity::{Identity, Kind, Temporality};
use super::idle::Idle;
use super::matcher;
use super::point::{Data, Point};
use super::tracker::{Before, Tracker};
use std::collections::BTreeMap;

/// One filter with what it counted.
#[derive(Debug, Clone)]
pub struct Filter {
    spec: document::Filter,
    /// Of whole entities.
    idle: Option<Idle>,
    /// What it let pass of series whose points it decides about.
    pub passed: Tracker,
    pub counts: Counts,
}

impl Filter {
    /// Its windows wait no shorter than `patience`.
    pub fn new(
        spec: &document::Filter,
        created: u64,
        began: u64,
        patience: u64,
        source: &Tracker,
    ) -> Filter {
        let idle = || Idle::new(spec, created, began, patience);
        Filter {
            idle: spec.drop_when.is_some().then(idle),
            spec: spec.clone(),
            passed: source.clone(),
            counts: Counts::new(),
        }
    }

    /// Windows that are due close.
    pub fn close(&mut self, now: u64) {
        if let Some(idle) = &mut self.idle {
            idle.close(now);
        }
    }

    fn rules(&self) -> &[Match] {
        let rules = self.spec.drop.as_ref().or(self.spec.keep.as_ref());
        rules.expect("rules")
    }

    /// Whether it looks at points of the series one by one.
    pub fn decides(&self, id: &Identity) -> bool {
        if let Some(idle) = &self.idle {
            return idle.decides(id);
        }
        let asks = |rule: &Match| rule.value.is_some() && matcher::matches(rule, id);
        has_value(id) && self.rules().iter().any(asks)
    }

    /// Whether the point is dropped; it is counted then.
    pub fn drops(&mut self, point: &Point, before: &Before, at: Clock) -> bool {
        if let Some(idle) = &mut self.idle {
            let dropped = idle.drops(point, before, (at.now, at.expiry));
            *self.counts.entry("drop_when").or_insert(0) += u64::from(dropped);
            return dropped;
        }
        let met = self.rules().iter().position(|rule| meets(rule, point));
        let rule = if self.spec.drop.is_some() {
            met.map(|rule| RULES[rule])
        } else {
            // The end of a series is told, where its points could have passed.
            let end = point.ended() && self.decides(&point.identity);
            (met.is_none() && !end).then_some("keep")
        };
        if let Some(rule) = rule {
            *self.counts.entry(rule).or_insert(0) += 1;
        }
        rule.is_some()
    }
}

const RULES: [&str; 4] = ["drop[0]", "drop[1]", "drop[2]", "drop[3]"];

fn meets(rule: &Match, point: &Point) -> bool {
    matcher::matches(rule, &point.identity)
        && rule.value.as_ref().is_none_or(|bounds| {
            has_value(&point.identity) && !point.ended() && keeps(bounds, &point.data)
        })
}

/// A gauge, a delta sum, or a sum that is not monotonic.
pub fn has_value(id: &Identity) -> bool {
    match id.kind {
        Kind::Gauge => true,
        Kind::Sum => id.temporality == Temporality::Delta || !id.monotonic,
        _ => false,
    }
}

fn keeps(bounds: &BTreeMap<String, f64>, data: &Data) -> bool {
    let Data::Number(number) = data else {
        return false;
    };
    within(bounds, number.as_f64())
}

/// Whether a number keeps all bounds.
pub fn within(bounds: &BTreeMap<String, f64>, value: f64) -> bool {
    bounds.iter().all(|(how, bound)| match how.as_str() {
        "gt" => value > *bound,
        "gte" => value >= *bound,
        "lt" => value < *bound,
        "lte" => value <= *bound,
        "eq" => value == *bound,
        other => panic!("bound {other:?}"),
    })
}
