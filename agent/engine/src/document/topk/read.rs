//! Reading a `topk`.

use super::{Bands, By, Load, Merged, Other, Over, Rank, Step, Topk};
use crate::document::fields::{Fields, Reader};
use crate::document::filter::unmeasured;
use crate::document::{Condition, Function, Match, Patterns};
use crate::yaml::Node;
use std::collections::BTreeMap;

const GAUGES: [(&str, Function); 5] = [
    ("sum", Function::Sum),
    ("mean", Function::Mean),
    ("min", Function::Min),
    ("max", Function::Max),
    ("last", Function::Last),
];
const BY: [(&str, By); 2] = [("value", By::Value), ("rate", By::Rate)];
const OVER: [(&str, Over); 3] = [("max", Over::Max), ("mean", Over::Mean), ("sum", Over::Sum)];

impl Reader {
    /// A `topk` stage.
    pub(in crate::document) fn topk(&mut self, node: &Node, path: &str) -> Option<Topk> {
        let known = [
            "match",
            "entity",
            "rank",
            "k",
            "bands",
            "hysteresis",
            "other",
            "interval",
            "lateness",
            "expiry",
        ];
        let instead = [
            ("by", "rank"),
            ("count", "k"),
            ("top", "k"),
            ("n", "k"),
            ("window", "interval"),
            ("every", "interval"),
            ("rest", "other"),
        ];
        let fields = self.fields(node, path, &known, &instead)?;
        let before = self.problems.len();
        let matches = self.any_or_matched(&fields);
        // Of a match that is wrong nobody knows what it was to hold.
        let whole = self.problems.len() == before;
        let (interval, lateness, expiry) = self.times(&fields);
        let advice = "write the attribute keys that make one, such as [process.pid]";
        let entity = match self.required(&fields, "entity", advice) {
            Some(node) => self.keys(node, &fields.path("entity")),
            None => Vec::new(),
        };
        if fields.get("entity") == Some(&Node::List(Vec::new())) {
            self.problem(
                fields.path("entity"),
                format!("the list names no attribute key: {advice}"),
            );
        }
        let advice =
            "write what entities are ranked by, such as { metric: process.cpu.time, by: rate }";
        let rank = match self.required(&fields, "rank", advice) {
            Some(node) => self.ranks(node, &fields.path("rank"), whole.then_some(&matches)),
            None => Vec::new(),
        };
        let (k, bands) = self.how_many(&fields, path);
        let hysteresis = fields
            .get("hysteresis")
            .and_then(|node| self.count_of(node, &fields.path("hysteresis"), 0))
            .unwrap_or(0);
        let other = fields
            .get("other")
            .map(|node| self.other(node, &fields.path("other")));
        Some(Topk {
            matches,
            entity,
            rank,
            k,
            bands,
            hysteresis,
            other: other.unwrap_or_default(),
            interval,
            lateness,
            expiry,
        })
    }

    fn ranks(&mut self, node: &Node, path: &str, matches: Option<&Match>) -> Vec<Rank> {
        let read = |reader: &mut Reader, node: &Node, path: &str| {
            let rank = reader.rank(node, path)?;
            if let Some(matches) = matches {
                reader.measured(&rank, matches, path);
            }
            Some(rank)
        };
        let Node::List(_) = node else {
            return read(self, node, path).into_iter().collect();
        };
        let items = self.items(node, path).unwrap_or_default();
        if items.is_empty() {
            self.problem(path, "the list is empty: write at least one metric");
        }
        if items.len() > crate::stage::entity::MOST_TERMS {
            let most = crate::stage::entity::MOST_TERMS;
            self.problem(path, format!("a mix is of at most {most} metrics"));
        }
        items
            .into_iter()
            .filter_map(|(path, node)| read(self, node, &path))
            .collect()
    }

    fn rank(&mut self, node: &Node, path: &str) -> Option<Rank> {
        let known = ["metric", "attributes", "by", "weight"];
        let instead = [("name", "metric"), ("function", "by"), ("factor", "weight")];
        let fields = self.fields(node, path, &known, &instead)?;
        let (metric, attributes) = self.weighed(&fields);
        let by = self.by(&fields);
        let weight = fields.get("weight").map_or(Some(1.0), |node| {
            let weight = self.number(node, &fields.path("weight"))?;
            if weight.is_finite() && weight > 0.0 {
                return Some(weight);
            }
            self.problem(
                fields.path("weight"),
                format!("{weight} is no part of a mix: write a number above 0"),
            );
            None
        });
        Some(Rank {
            metric: metric?,
            attributes,
            by: by?,
            weight: weight?,
        })
    }

    /// What entities are ranked by must match, and must have what is measured.
    fn measured(&mut self, rank: &Rank, matches: &Match, path: &str) {
        let metric = Match {
            metric: Some(rank.metric.clone()),
            ..Match::default()
        };
        let attributes = Match {
            attributes: rank.attributes.clone(),
            ..Match::default()
        };
        for (this, key, rule) in [
            ("this", "metric", metric),
            ("these", "attributes", attributes),
        ] {
            if !rule.may_meet(matches) {
                self.problem(
                    format!("{path}.{key}"),
                    format!(
                        "`match` holds no series with {this} `{key}`, so that nothing would ever be ranked by it: widen \
                         `match`, or rank by a metric that matches"
                    ),
                );
            }
        }
        if let Some(message) = unmeasured(matches, rank.by == By::Rate) {
            self.problem(format!("{path}.by"), message);
        }
    }

    /// The metric of a rank or a load.
    fn weighed(&mut self, fields: &Fields<'_>) -> (Option<Patterns>, BTreeMap<String, Condition>) {
        let metric = self
            .required(fields, "metric", "write the name of the metric")
            .and_then(|node| self.patterns(node, &fields.path("metric"), true));
        let attributes = fields
            .get("attributes")
            .map(|node| self.attributes(node, &fields.path("attributes")));
        (metric, attributes.unwrap_or_default())
    }

    fn by(&mut self, fields: &Fields<'_>) -> Option<By> {
        let advice = "write `rate` for a counter, `value` for a gauge";
        let node = self.required(fields, "by", advice)?;
        self.choice(node, &fields.path("by"), &BY)
    }

    fn how_many(&mut self, fields: &Fields<'_>, path: &str) -> (Option<u32>, Option<Bands>) {
        let k = fields
            .get("k")
            .map(|node| self.count_of(node, &fields.path("k"), 1));
        let bands = fields
            .get("bands")
            .map(|node| self.bands(node, &fields.path("bands")));
        match (&k, &bands) {
            (Some(_), Some(_)) => self.problem(
                path,
                "write `k` (always so many) or `bands` (by how loaded the node is), not both",
            ),
            (None, None) => self.problem(
                fields.path("k"),
                "`k` is missing: write how many entities are kept, such as 20, or `bands`",
            ),
            _ => {}
        }
        (k.flatten(), bands.flatten())
    }

    fn bands(&mut self, node: &Node, path: &str) -> Option<Bands> {
        let fields = self.fields(node, path, &["load", "steps"], &[("metric", "load")])?;
        let advice = "write what tells how loaded the node is, such as { metric: system.cpu.utilization, by: value }";
        let load = self
            .required(&fields, "load", advice)
            .and_then(|node| self.load(node, &fields.path("load")));
        let advice = "write steps such as [ { above: 0, k: 50 }, { above: 0.7, k: 20 } ]";
        let steps = self.required(&fields, "steps", advice);
        let path = fields.path("steps");
        let mut list: Vec<Step> = Vec::new();
        let items = steps.and_then(|node| self.items(node, &path));
        if items.as_ref().is_some_and(Vec::is_empty) {
            self.problem(&path, format!("the list is empty: {advice}"));
        }
        for (path, node) in items.unwrap_or_default() {
            let Some(step) = self.step(node, &path) else {
                continue;
            };
            if list.last().is_some_and(|last| last.above >= step.above) {
                self.problem(
                    format!("{path}.above"),
                    "steps go up: each `above` is larger than the one before",
                );
            }
            list.push(step);
        }
        Some(Bands {
            load: load?,
            steps: list,
        })
    }

    fn load(&mut self, node: &Node, path: &str) -> Option<Load> {
        let known = ["metric", "attributes", "by", "function"];
        let fields = self.fields(node, path, &known, &[("name", "metric")])?;
        let (metric, attributes) = self.weighed(&fields);
        let by = self.by(&fields);
        let function = fields
            .get("function")
            .and_then(|node| self.choice(node, &fields.path("function"), &OVER))
            .unwrap_or_default();
        Some(Load {
            metric: metric?,
            attributes,
            by: by?,
            function,
        })
    }

    fn step(&mut self, node: &Node, path: &str) -> Option<Step> {
        let fields = self.fields(node, path, &["above", "k"], &[("over", "above")])?;
        let above = self
            .required(&fields, "above", "write the load above which it counts")
            .and_then(|node| self.number(node, &fields.path("above")))
            .filter(|above| {
                if !above.is_finite() {
                    self.problem(
                        fields.path("above"),
                        format!("{above} is no load: write a finite number"),
                    );
                }
                above.is_finite()
            });
        let k = self
            .required(&fields, "k", "write how many entities are kept")
            .and_then(|node| self.count_of(node, &fields.path("k"), 1));
        // -0 and 0 are one number and must have one canonical form.
        Some(Step {
            above: above? + 0.0,
            k: k?,
        })
    }

    fn other(&mut self, node: &Node, path: &str) -> Other {
        let merged = |gauges| {
            Other::Merged(Merged {
                gauges,
                without: Vec::new(),
            })
        };
        match node {
            Node::Bool(false) => Other::Filtered(false),
            Node::Bool(true) => Other::default(),
            Node::Text(_) => merged(self.choice(node, path, &GAUGES).unwrap_or(Function::Sum)),
            Node::Map(_) => {
                let known = ["gauges", "without"];
                let fields = self.fields(node, path, &known, &[("function", "gauges")]);
                let Some(fields) = fields else {
                    return Other::default();
                };
                let gauges = fields
                    .get("gauges")
                    .and_then(|node| self.choice(node, &fields.path("gauges"), &GAUGES));
                let without = fields
                    .get("without")
                    .map(|node| self.keys(node, &fields.path("without")));
                Other::Merged(Merged {
                    gauges: gauges.unwrap_or(Function::Sum),
                    without: without.unwrap_or_default(),
                })
            }
            _ => {
                self.problem(
                    path,
                    "write true, false, how gauges are merged (`sum`, `mean`, ...), or { gauges: sum, without: [...] }",
                );
                Other::default()
            }
        }
    }
}
