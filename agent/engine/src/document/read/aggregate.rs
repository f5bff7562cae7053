//! Reading `aggregate`, and its rules that can be checked on the stage alone.

use crate::document::fields::{Fields, Reader};
use crate::document::{Aggregate, Extract, Function, MetricFunction, MetricType};
use crate::yaml::Node;

const KNOWN: [&str; 13] = [
    "match",
    "by",
    "without",
    "interval",
    "function",
    "functions",
    "summary",
    "rename",
    "lateness",
    "expiry",
    "keep_original",
    "merged_later",
    "weighted",
];

const INSTEAD: [(&str, &str); 10] = [
    ("name", "rename"),
    ("window", "interval"),
    ("every", "interval"),
    ("group_by", "by"),
    ("drop", "without"),
    ("mergedLater", "merged_later"),
    ("keepOriginal", "keep_original"),
    ("keep_input", "keep_original"),
    ("summaries", "summary"),
    ("weight", "weighted"),
];

const FUNCTIONS: [(&str, Function); 6] = [
    ("sum", Function::Sum),
    ("min", Function::Min),
    ("max", Function::Max),
    ("last", Function::Last),
    ("mean", Function::Mean),
    ("count", Function::Count),
];

impl Reader {
    pub(in crate::document) fn aggregate(&mut self, node: &Node, path: &str) -> Option<Aggregate> {
        let fields = self.fields(node, path, &KNOWN, &INSTEAD)?;
        let matches = self.matched(&fields);
        let (by, without) = self.kept_keys(&fields, path);
        let (interval, lateness, expiry) = self.times(&fields);
        let function = fields
            .get("function")
            .and_then(|node| self.choice(node, &fields.path("function"), &FUNCTIONS));
        let functions = fields
            .get("functions")
            .map(|node| self.metric_functions(node, &fields.path("functions")))
            .unwrap_or_default();
        let summary = fields.get("summary").and_then(|node| {
            let words = [("sum_count", Extract::SumCount)];
            self.choice(node, &fields.path("summary"), &words)
        });
        let rename = fields
            .get("rename")
            .and_then(|node| self.text(node, &fields.path("rename")))
            .map(String::from);
        let keep_original = self.switch(&fields, "keep_original", false);
        let merged_later = self.switch(&fields, "merged_later", false);
        let weighted = self.switch(&fields, "weighted", true);
        let aggregate = Aggregate {
            matches: matches?,
            by,
            without,
            interval,
            function,
            functions,
            summary,
            rename,
            lateness,
            expiry,
            keep_original,
            merged_later,
            weighted,
        };
        self.output_names(&aggregate, &fields);
        self.gauge_functions(&aggregate, &fields);
        self.originals(&aggregate, &fields);
        self.nothing_to_merge(&aggregate, &fields, path);
        Some(aggregate)
    }

    fn switch(&mut self, fields: &Fields<'_>, key: &str, default: bool) -> bool {
        fields
            .get(key)
            .and_then(|node| self.truth(node, &fields.path(key)))
            .unwrap_or(default)
    }

    fn kept_keys(
        &mut self,
        fields: &Fields<'_>,
        path: &str,
    ) -> (Option<Vec<String>>, Option<Vec<String>>) {
        let mut keys = |name: &str| {
            fields
                .get(name)
                .map(|node| self.keys(node, &fields.path(name)))
        };
        let (by, without) = (keys("by"), keys("without"));
        match (&by, &without) {
            (Some(_), Some(_)) => self.problem(
                path,
                "write `by` (the keys to keep) or `without` (the keys to remove), not both",
            ),
            (None, None) => self.problem(
                path,
                "write `by: [...]` (the keys to keep) or `without: [...]` (the keys to remove)",
            ),
            _ => {}
        }
        (by, without)
    }

    /// The entries of `functions`, in order: the first that matches a metric decides.
    fn metric_functions(&mut self, node: &Node, path: &str) -> Vec<MetricFunction> {
        let mut functions: Vec<MetricFunction> = Vec::new();
        let items = self.items(node, path).unwrap_or_default();
        if *node == Node::List(Vec::new()) {
            self.problem(
                path,
                "the list is empty: write `{ metric: ..., function: ... }`, or leave `functions` out",
            );
        }
        for (path, node) in items {
            let known = ["metric", "function"];
            let Some(fields) = self.fields(node, &path, &known, &[("match", "metric")]) else {
                continue;
            };
            let advice = "write the metric's name, a glob or /regex/";
            let metric = self
                .required(&fields, "metric", advice)
                .and_then(|node| self.patterns(node, &fields.path("metric"), true));
            let advice = "write one of sum, min, max, last, mean, count";
            let function = self
                .required(&fields, "function", advice)
                .and_then(|node| self.choice(node, &fields.path("function"), &FUNCTIONS));
            if let (Some(metric), Some(function)) = (metric, function) {
                let any = |f: &MetricFunction| f.metric.texts().iter().any(|text| text == "*");
                if functions.iter().any(any) {
                    self.problem(
                        path,
                        "it is never reached, as an entry before it matches every metric (`*`): put it first",
                    );
                }
                functions.push(MetricFunction { metric, function });
            }
        }
        functions
    }

    /// Rules of `rename`.
    fn output_names(&mut self, aggregate: &Aggregate, fields: &Fields<'_>) {
        let Some(rename) = &aggregate.rename else {
            return;
        };
        let path = fields.path("rename");
        let bare = rename.replace("{name}", "");
        if rename.is_empty() {
            self.problem(path, "the name is empty: write one, or leave `rename` out");
        } else if bare.contains(['{', '}']) {
            self.problem(
                path,
                format!("`{rename}`: only `{{name}}` can stand in braces"),
            );
        } else if bare == *rename && aggregate.matches.only_metric().is_none() {
            self.problem(
                path,
                format!(
                    "`{rename}` would give one name to several metrics: write `{{name}}` in it, or let `match.metric` be \
                     one exact name"
                ),
            );
        }
    }

    /// Rules of `function` and `functions`.
    fn gauge_functions(&mut self, aggregate: &Aggregate, fields: &Fields<'_>) {
        let types = &aggregate.matches.types;
        let gauges = types.is_empty() || types.contains(&MetricType::Gauge);
        let mut named: Vec<(String, Function)> = Vec::new();
        named.extend(aggregate.function.map(|f| (fields.path("function"), f)));
        for (index, entry) in aggregate.functions.iter().enumerate() {
            let path = format!("{}[{index}].function", fields.path("functions"));
            named.push((path, entry.function));
        }
        for (path, function) in named {
            if function != Function::Sum && !gauges {
                self.problem(
                    path.clone(),
                    "a function is for gauges, and `match.type` holds none: leave it out (sums and histograms are added)",
                );
            }
            let word = match function {
                Function::Mean => "mean",
                Function::Count => "count",
                _ => continue,
            };
            if !aggregate.renames() {
                self.problem(
                    path,
                    format!(
                        "`{word}` gives another quantity than the metric's own: give the output a name, such as \
                         `rename: \"{{name}}.{word}\"`"
                    ),
                );
            }
        }
    }

    /// Gauges without a function pass as they are, and summaries that are not extracted.
    fn nothing_to_merge(&mut self, aggregate: &Aggregate, fields: &Fields<'_>, path: &str) {
        // One that could not be read is a problem of its own.
        let written = ["function", "functions", "summary"].iter();
        if written.into_iter().any(|key| fields.get(key).is_some()) {
            return;
        }
        let passes = |of: &MetricType| matches!(of, MetricType::Gauge | MetricType::Summary);
        let types = &aggregate.matches.types;
        if !types.is_empty() && types.iter().all(passes) {
            self.problem(
                path,
                "the stage changes nothing: gauges need a `function` (sum, min, max, last, mean or count) to be merged, \
                 summaries `summary: sum_count`",
            );
        }
    }

    /// Rules of `keep_original` and `summary`.
    fn originals(&mut self, aggregate: &Aggregate, fields: &Fields<'_>) {
        let types = &aggregate.matches.types;
        let extracts = aggregate.summary.is_some();
        if extracts && !types.is_empty() && !types.contains(&MetricType::Summary) {
            self.problem(
                fields.path("summary"),
                "it is for summaries, and `match.type` holds none: leave it out, or add `summary` to the types",
            );
        }
        let renamed = aggregate.renames() || (extracts && types[..] == [MetricType::Summary]);
        if aggregate.keep_original && !renamed {
            self.problem(
                fields.path("keep_original"),
                "inputs and outputs would go on under one name and be counted twice: give the outputs a name, such as \
                 `rename: \"{name}.1m\"`",
            );
        }
    }
}

impl Aggregate {
    /// Whether every output has another name than its inputs.
    fn renames(&self) -> bool {
        let only = self.matches.only_metric();
        self.rename
            .as_ref()
            .is_some_and(|rename| rename != "{name}" && only.as_ref() != Some(rename))
    }
}
