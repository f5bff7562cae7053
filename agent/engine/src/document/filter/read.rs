//! Reading a `filter`.

use super::{Filter, Rule};
use crate::document::Match;
use crate::document::fields::Reader;
use crate::yaml::Node;

impl Reader {
    pub(in crate::document) fn filter(&mut self, node: &Node, path: &str) -> Option<Filter> {
        let fields = self.fields(
            node,
            path,
            &["drop", "keep"],
            &[("match", "drop"), ("rules", "drop")],
        )?;
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
                    "write `drop: [...]` or `keep: [...]` with at least one rule",
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
        let Some((series, fields)) = self.conditions(node, path, true) else {
            return Rule {
                series: Match::default(),
                value: None,
            };
        };
        let at = fields.path("value");
        let value = fields
            .get("value")
            .and_then(|node| self.comparison(node, &at));
        let rule = Rule { series, value };
        if rule.is_never() {
            self.problem(
                at,
                "no point can match: only gauges, delta sums and non-monotonic sums have a value that is compared \
                 (how long a counter has run says nothing). Change `type`, `temporality` or `monotonic`, or leave \
                 `value` out",
            );
        }
        rule
    }
}
