//! From text to document: the one reader, which reports every mistake at once.

mod aggregate;

use super::fields::{CONDITIONS, Fields, Reader, near};
use super::{
    Document, Match, Matcher, Metadata, MetricType, Never, Patterns, Problem, Spec, Temporality,
};
use crate::matcher::glob::Glob;
use crate::matcher::pattern::Pattern;
use crate::yaml::{self, Node};

/// A document as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// What was read; right only where there are no problems.
    pub(crate) document: Document,
    /// Index in the text of each stage of the document: stages that could not be read are left out.
    pub(crate) places: Vec<usize>,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
}

/// The one YAML parser of the product (JSON is YAML): agent, CLI, API and operator call it.
///
/// Some mistakes only show when the document is compiled: see [`crate::compile::compile`].
///
/// # Errors
/// Every problem at once, with its path.
pub fn parse(text: &str) -> Result<Document, Vec<Problem>> {
    let draft = draft(text);
    if draft.problems.is_empty() {
        Ok(draft.document)
    } else {
        Err(draft.problems)
    }
}

/// A list of rules on its own (a YAML or JSON array), as in a pipeline's `protect`.
///
/// # Errors
/// Every problem at once; paths begin with `[0]`.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, Vec<Problem>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let node = yaml::read(text)?;
    let mut reader = Reader::default();
    let rules = reader.matches(&node, "");
    let mut problems = reader.problems;
    let matchers = rules
        .iter()
        .enumerate()
        .filter_map(|(i, rule)| Matcher::compile(rule, &format!("[{i}]"), &mut problems))
        .collect();
    if problems.is_empty() {
        Ok(matchers)
    } else {
        Err(problems)
    }
}

pub(crate) fn draft(text: &str) -> Draft {
    match yaml::read(text) {
        Ok(node) => read(&node),
        Err(problems) => Draft {
            problems,
            ..Draft::default()
        },
    }
}

fn read(node: &Node) -> Draft {
    let mut reader = Reader::default();
    let mut draft = Draft::default();
    if let Some(top) = reader.fields(node, "", &["apiVersion", "kind", "metadata", "spec"], &[]) {
        reader.constant(&top, "apiVersion", "phoenix/v1");
        reader.constant(&top, "kind", "Pipeline");
        if let Some(node) = reader.required(&top, "metadata", "write `metadata: { name: ... }`") {
            draft.document.metadata = reader.metadata(node);
        }
        if let Some(node) = reader.required(&top, "spec", "write `spec: { stages: [...] }`") {
            (draft.document.spec, draft.places) = reader.spec(node);
        }
    }
    draft.problems = reader.problems;
    draft
}

impl Reader {
    fn constant(&mut self, fields: &Fields<'_>, key: &str, value: &str) {
        let Some(node) = self.required(fields, key, &format!("write `{key}: {value}`")) else {
            return;
        };
        let path = fields.path(key);
        if let Some(text) = self.text(node, &path)
            && text != value
        {
            self.problem(path, format!("`{text}` is not known: write `{value}`"));
        }
    }

    fn metadata(&mut self, node: &Node) -> Metadata {
        let mut metadata = Metadata::default();
        let Some(fields) = self.fields(node, "metadata", &["name", "description"], &[]) else {
            return metadata;
        };
        if let Some(node) = self.required(&fields, "name", "write a name, such as `process-topk`")
            && let Some(name) = self.text(node, "metadata.name")
        {
            if !is_name(name) {
                self.problem(
                    "metadata.name",
                    format!(
                        "`{name}` is not a name: lower-case letters, digits and dashes, at most 63, a letter or digit \
                         first and last"
                    ),
                );
            }
            metadata.name = name.to_string();
        }
        if let Some(node) = fields.get("description")
            && let Some(text) = self.text(node, "metadata.description")
        {
            metadata.description = text.to_string();
        }
        metadata
    }

    fn spec(&mut self, node: &Node) -> (Spec, Vec<usize>) {
        let mut spec = Spec::default();
        let mut places = Vec::new();
        let Some(fields) = self.fields(node, "spec", &["protect", "stages"], &[]) else {
            return (spec, places);
        };
        if let Some(node) = fields.get("protect") {
            spec.protect = self.matches(node, "spec.protect");
        }
        let advice = "write the list of stages; `stages: []` passes everything through";
        if let Some(node) = self.required(&fields, "stages", advice) {
            for (index, stage) in self.stages(node, "spec.stages") {
                places.push(index);
                spec.stages.push(stage);
            }
        }
        (spec, places)
    }

    /// A list of rules.
    pub(super) fn matches(&mut self, node: &Node, path: &str) -> Vec<Match> {
        let items = self.items(node, path).unwrap_or_default();
        items
            .into_iter()
            .map(|(path, node)| self.matching(node, &path))
            .collect()
    }

    /// One rule.
    pub(super) fn matching(&mut self, node: &Node, path: &str) -> Match {
        self.conditions(node, path, &[])
            .map(|(rule, _)| rule)
            .unwrap_or_default()
    }

    /// The conditions on series of one rule. `more`: fields that it may have beside, which the caller
    /// reads.
    pub(super) fn conditions<'a>(
        &mut self,
        node: &'a Node,
        path: &str,
        more: &[&str],
    ) -> Option<(Match, Fields<'a>)> {
        let mut rule = Match::default();
        let known = [&CONDITIONS, more].concat();
        let fields = self.fields_or(node, path, &known, |key| Some(hint(key, &known)))?;
        if let Some(node) = fields.get("metric") {
            rule.metric = self.patterns(node, &fields.path("metric"), true);
        }
        if let Some(node) = fields.get("unit") {
            rule.unit = self.patterns(node, &fields.path("unit"), false);
        }
        if let Some(node) = fields.get("type") {
            rule.types = self.types(node, &fields.path("type"));
        }
        if let Some(node) = fields.get("temporality") {
            let words = [
                ("cumulative", Temporality::Cumulative),
                ("delta", Temporality::Delta),
            ];
            rule.temporality = self.choice(node, &fields.path("temporality"), &words);
        }
        if let Some(node) = fields.get("monotonic") {
            rule.monotonic = self.truth(node, &fields.path("monotonic"));
        }
        if let Some(node) = fields.get("attributes") {
            rule.attributes = self.attributes(node, &fields.path("attributes"));
        }
        self.null_conditions(&fields);
        self.never(&rule, path);
        Some((rule, fields))
    }

    /// Conditions that no series meets, whatever is sent.
    fn never(&mut self, rule: &Match, path: &str) {
        let message = match rule.never() {
            Some(Never::Temporality) => {
                "no series can match: gauges and summaries have no temporality. Leave `temporality` out, or change `type`"
            }
            Some(Never::Monotonic) => {
                "no series can match: only sums are monotonic. Leave `monotonic` out, or write `type: sum`"
            }
            None => return,
        };
        self.problem(path, message);
    }

    /// A condition without a value would silently match everything.
    fn null_conditions(&mut self, fields: &Fields<'_>) {
        for (key, node) in fields.entries() {
            if *node == Node::Null {
                self.problem(
                    fields.path(key),
                    "the condition has no value: write one, or leave it out to match any",
                );
            }
        }
    }

    fn types(&mut self, node: &Node, path: &str) -> Vec<MetricType> {
        let words = [
            ("gauge", MetricType::Gauge),
            ("sum", MetricType::Sum),
            ("histogram", MetricType::Histogram),
            ("exponential_histogram", MetricType::ExponentialHistogram),
            ("summary", MetricType::Summary),
        ];
        let mut types: Vec<MetricType> = match node {
            Node::List(_) => {
                let items = self.items(node, path).unwrap_or_default();
                if items.is_empty() {
                    self.problem(path, "an empty list matches nothing: leave `type` out");
                }
                items
                    .into_iter()
                    .filter_map(|(path, node)| self.choice(node, &path, &words))
                    .collect()
            }
            one => self.choice(one, path, &words).into_iter().collect(),
        };
        types.sort_unstable();
        types.dedup();
        types
    }

    /// A text to match, or a list of these.
    pub(super) fn patterns(&mut self, node: &Node, path: &str, is_name: bool) -> Option<Patterns> {
        let Node::List(_) = node else {
            return self
                .pattern(node, path, is_name)
                .map(|text| Patterns::any_of(vec![text]));
        };
        let items = self.items(node, path)?;
        if items.is_empty() {
            self.problem(
                path,
                "an empty list matches nothing: write a value, or leave it out",
            );
            return None;
        }
        let texts: Vec<String> = items
            .into_iter()
            .filter_map(|(path, node)| self.pattern(node, &path, is_name))
            .collect();
        Some(Patterns::any_of(texts))
    }

    fn pattern(&mut self, node: &Node, path: &str, is_name: bool) -> Option<String> {
        let text = match node {
            Node::Text(text) => text.clone(),
            Node::Bool(truth) => truth.to_string(),
            Node::Int(number) => number.to_string(),
            Node::Float(_) => {
                self.problem(
                    path,
                    "put the number in quotes, as its text is what is matched (1.10 is not 1.1)",
                );
                return None;
            }
            other => {
                let expected = "expected a text, a glob or /regex/, or a list of these";
                self.problem(path, format!("{expected}; found {}", other.what()));
                return None;
            }
        };
        match Pattern::parse(&text) {
            Err(message) => self.problem(path, message),
            Ok(_) if is_name && text.is_empty() => self.problem(
                path,
                "a metric has a name: write it, or leave `metric` out to match any",
            ),
            Ok(Pattern::Regex(_)) => return Some(text),
            Ok(_) if is_name && !can_be_name(&text) => {
                let slashed = format!("/{}/", text.trim_start_matches('/'));
                let meant = Pattern::parse(&slashed).map_or("/regex/".into(), |_| slashed);
                self.problem(
                    path,
                    format!(
                        "`{text}` is not a metric name: a glob knows `*` and `?` only; write a list of names, or a regular \
                         expression between slashes: `{meant}`"
                    ),
                );
            }
            Ok(_) if text.len() > 1 && text.starts_with('^') && text.ends_with('$') => self.problem(
                path,
                format!("`{text}` looks like a regular expression: write it between slashes, `/{text}/`"),
            ),
            Ok(_) => return Some(text),
        }
        None
    }
}

/// Whether a text or a glob can be of a metric name. No name in use has what only a regular expression
/// would hold; a backslash stands before what a glob would read otherwise.
fn can_be_name(text: &str) -> bool {
    let glob = Glob::is_glob(text);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => glob && matches!(chars.next(), Some('*' | '?' | '\\')),
            // Within a name it stands for a class of Java.
            '$' => !chars.as_str().is_empty(),
            c => !"[{|^()+".contains(c),
        };
        if !plain {
            return false;
        }
    }
    true
}

/// What to write instead of a key that is no condition.
fn hint(key: &str, known: &[&str]) -> String {
    match key {
        "name" | "metrics" => "write `metric`".into(),
        "labels" | "resource" => "write `attributes`".into(),
        "match" => "the rule is the match: write its conditions here".into(),
        "value" => {
            "a series has no one value: only `drop` and `keep` rules of a filter compare values"
                .into()
        }
        _ => near(key, known).map_or_else(
            || {
                format!(
                    "for an attribute write `attributes: {{ {key}: ... }}`; else known here are {}",
                    known.join(", ")
                )
            },
            |near| format!("did you mean `{near}`?"),
        ),
    }
}

/// A name as Kubernetes and addresses take it.
fn is_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 63
        && name.bytes().all(|b| inner(b) || b == b'-')
        && name.bytes().next().is_some_and(inner)
        && name.bytes().last().is_some_and(inner)
}

impl<'de> serde::Deserialize<'de> for Document {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        use serde::de::Error;
        let value = serde_json::Value::deserialize(deserializer)?;
        parse(&value.to_string()).map_err(|problems| {
            let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
            D::Error::custom(texts.join("; "))
        })
    }
}
