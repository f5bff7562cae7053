//! Reading a `filter`.

use super::{Entities, Filter, How, Rule, When};
use crate::document::fields::{CONDITIONS, Reader};
use crate::document::{Comparison, Match, MetricType, Span, Temporality};
use crate::yaml::Node;

impl Reader {
    pub(in crate::document) fn filter(&mut self, node: &Node, path: &str) -> Option<Filter> {
        if let Node::Map(entries) = node
            && entries.iter().any(|(key, _)| key == "drop_when")
        {
            let rules = entries
                .iter()
                .any(|(key, _)| key == "drop" || key == "keep");
            if rules {
                self.problem(
                    path,
                    "a filter has `drop`, `keep` or `drop_when`, one of them: make it two stages",
                );
                return None;
            }
            return self.entities(node, path).map(Filter::Entities);
        }
        let fields = self.fields_or(node, path, &["drop", "keep"], |key| match key {
            "match" | "rules" => Some("write `drop`".into()),
            "for" | "interval" | "entity" => {
                Some("it belongs to `drop_when`: make it two stages".into())
            }
            _ => CONDITIONS
                .contains(&key)
                .then(|| format!("it is a condition: write `drop: [ {{ {key}: ... }} ]`")),
        })?;
        match (fields.get("drop"), fields.get("keep")) {
            (Some(node), None) => self.rules(node, &fields.path("drop")).map(Filter::Drop),
            (None, Some(node)) => self.rules(node, &fields.path("keep")).map(Filter::Keep),
            (Some(_), Some(_)) => {
                self.problem(
                    path,
                    "a filter has `drop` or `keep`, not both: make it two stages",
                );
                None
            }
            (None, None) => {
                self.problem(
                    path,
                    "write `drop: [...]` or `keep: [...]` with at least one rule, or `drop_when: [...]` with an `entity`",
                );
                None
            }
        }
    }

    fn rules(&mut self, node: &Node, path: &str) -> Option<Vec<Rule>> {
        if *node == Node::List(Vec::new()) {
            self.problem(
                path,
                "the list is empty: write at least one rule, or leave the stage out",
            );
            return None;
        }
        let items = self.items(node, path).unwrap_or_default();
        let rules = items
            .into_iter()
            .map(|(path, node)| self.rule(node, &path))
            .collect();
        Some(rules)
    }

    fn rule(&mut self, node: &Node, path: &str) -> Rule {
        let Some((series, fields)) = self.conditions(node, path, &["value"]) else {
            return Rule {
                series: Match::default(),
                value: None,
            };
        };
        let at = fields.path("value");
        let value = fields
            .get("value")
            .and_then(|node| self.comparison(node, &at, &[]));
        let rule = Rule { series, value };
        if rule.series.never().is_none() && rule.is_never() {
            self.problem(
                at,
                "no point can match: only gauges, delta sums and non-monotonic sums have a value that is compared \
                 (how long a counter has run says nothing). Change `type`, `temporality` or `monotonic`, or leave \
                 `value` out",
            );
        }
        rule
    }

    fn entities(&mut self, node: &Node, path: &str) -> Option<Entities> {
        let known = ["match", "entity", "drop_when", "for", "interval"];
        let instead = [
            ("window", "interval"),
            ("every", "interval"),
            ("during", "for"),
            ("when", "drop_when"),
        ];
        let fields = self.fields(node, path, &known, &instead)?;
        let matches = self.matched(&fields);
        let advice =
            "write the attribute keys that make an entity, such as [host.name, process.pid]";
        let entity = self
            .required(&fields, "entity", advice)
            .map(|node| self.keys(node, &fields.path("entity")));
        if entity.as_ref().is_some_and(Vec::is_empty) {
            self.problem(
                fields.path("entity"),
                format!("the list is empty: {advice}"),
            );
        }
        let drop_when = fields.get("drop_when").map(|node| {
            let path = fields.path("drop_when");
            let items = self.items(node, &path).unwrap_or_default();
            if !(1..=16).contains(&items.len()) {
                self.problem(path, "write at least one condition, at most 16");
            }
            let read = items.into_iter().map(|(path, node)| self.when(node, &path));
            read.collect::<Vec<_>>()
        });
        let span = |key, default, reader: &mut Reader| match fields.get(key) {
            Some(node) => reader
                .span(
                    node,
                    &fields.path(key),
                    Span::seconds(1),
                    Span::seconds(86_400),
                )
                .unwrap_or(default),
            None => default,
        };
        let interval = span("interval", Entities::interval(), self);
        let lasting = span("for", Entities::lasting(), self);
        if lasting.0 % interval.0.max(1) != 0 {
            self.problem(
                fields.path("for"),
                format!("{lasting} is not a whole number of windows of {interval}: change `for` or `interval`"),
            );
        }
        Some(Entities {
            matches: matches?,
            entity: entity?,
            drop_when: drop_when?.into_iter().collect::<Option<_>>()?,
            lasting,
            interval,
        })
    }

    fn when(&mut self, node: &Node, path: &str) -> Option<When> {
        let (series, fields) = self.conditions(node, path, &["by", "below", "above"])?;
        let words = [("value", How::Value), ("rate", How::Rate)];
        let by = fields
            .get("by")
            .and_then(|node| self.choice(node, &fields.path("by"), &words))
            .unwrap_or_default();
        let mut bound = |key: &str| {
            let node = fields.present(key)?;
            let number = self.number(node, &fields.path(key))?;
            if !number.is_finite() {
                self.problem(
                    fields.path(key),
                    format!("{number} is no bound: write a finite number"),
                );
            }
            Some(number + 0.0)
        };
        let (below, above) = (bound("below"), bound("above"));
        if series.metric.is_none() {
            self.problem(
                fields.path("metric"),
                "`metric` is missing: say what is measured; values of different metrics are not added",
            );
        }
        if fields.present("below").is_none() && fields.present("above").is_none() {
            self.problem(
                path,
                "write `below: 0.01` (or `above`): the bound under which an entity is idle",
            );
        }
        if below
            .zip(above)
            .is_some_and(|(below, above)| below <= above)
        {
            self.problem(
                path,
                "no number is above the one and below the other: swap them",
            );
        }
        let when = When {
            series,
            by,
            below,
            above,
        };
        self.never_measured(&when, path);
        Some(when)
    }

    /// A condition that cannot hold would keep every entity.
    fn never_measured(&mut self, when: &When, path: &str) {
        if let Some(message) = unmeasured(&when.series, when.by == How::Rate) {
            self.problem(format!("{path}.by"), message);
        }
    }
}

/// Why none of these series has what is measured: a rate, or a value.
pub(in crate::document) fn unmeasured(series: &Match, rate: bool) -> Option<&'static str> {
    let value = Rule {
        series: series.clone(),
        value: Some(Comparison::default()),
    };
    let only = |types: &[MetricType]| {
        !series.types.is_empty() && series.types.iter().all(|t| types.contains(t))
    };
    let falls =
        series.monotonic == Some(false) && series.temporality == Some(Temporality::Cumulative);
    match rate {
        false if value.is_never() => {
            Some("the value of a counter, a histogram or a summary says nothing: write `by: rate`")
        }
        true if only(&[MetricType::Gauge]) => Some("a gauge has no rate: write `by: value`"),
        true if only(&[MetricType::Summary]) => {
            Some("a summary has no rate: measure another metric")
        }
        true if only(&[MetricType::Gauge, MetricType::Summary])
            || (falls && only(&[MetricType::Sum])) =>
        {
            Some("what may fall has no rate: write `by: value`")
        }
        _ => None,
    }
}
