//! Reading stages, and the rules of each kind that can be checked on the stage alone.

use super::fields::{Fields, Reader, near, suggestion};
use super::{Action, Aggregate, Match, Span, Stage};
use crate::yaml::Node;
use std::collections::HashMap;

pub(super) const MILLISECOND: Span = Span(1_000_000);
pub(super) const DAY: Span = Span::seconds(86_400);
const KINDS: [&str; 9] = [
    "filter",
    "aggregate",
    "sample",
    "quantise",
    "histogram",
    "temporality",
    "topk",
    "limit",
    "transform",
];

impl Reader {
    /// The stages that could be read, each with its index in the text.
    pub(super) fn stages(&mut self, node: &Node, path: &str) -> Vec<(usize, Stage)> {
        let mut ids: HashMap<String, usize> = HashMap::new();
        let mut stages = Vec::new();
        let items = self.items(node, path).unwrap_or_default();
        for (index, (path, node)) in items.into_iter().enumerate() {
            let (id, action) = self.stage(node, &path);
            if let Some(id) = &id
                && let Some(first) = ids.insert(id.clone(), index)
            {
                self.problem(
                    format!("{path}.id"),
                    format!(
                        "`{id}` is the id of spec.stages[{first}], too: give each stage its own"
                    ),
                );
                ids.insert(id.clone(), first);
            }
            if let (Some(id), Some(action)) = (id, action) {
                stages.push((index, Stage { id, action }));
            }
        }
        stages
    }

    fn stage(&mut self, node: &Node, path: &str) -> (Option<String>, Option<Action>) {
        let Some(fields) = self.mapping(node, path) else {
            return (None, None);
        };
        let id = self.stage_id(&fields);
        let kinds: Vec<&(String, Node)> = fields
            .entries()
            .iter()
            .filter(|(key, _)| key != "id")
            .collect();
        let known = |(key, _): &&&(String, Node)| KINDS.contains(&key.as_str());
        let (mut action, mut does) = (None, 0);
        let one = kinds.iter().find(known).map(|(key, _)| key.as_str());
        for (kind, node) in &kinds {
            let path = fields.path(kind);
            does += 1;
            let read = match kind.as_str() {
                "filter" => self.filter(node, &path).map(Action::Filter),
                "aggregate" => self.aggregate(node, &path).map(Action::Aggregate),
                "sample" => self.sample(node, &path).map(Action::Sample),
                "quantise" => self.quantise(node, &path).map(Action::Quantise),
                "histogram" => self.histogram(node, &path).map(Action::Histogram),
                "temporality" => self.temporality(node, &path).map(Action::Temporality),
                "topk" => self.topk(node, &path).map(Action::Topk),
                "limit" => self.limit(node, &path).map(Action::Limit),
                "transform" => self.transform(node, &path).map(Action::Transform),
                other => {
                    does -= usize::from(self.unknown(path, other, one));
                    None
                }
            };
            action = action.or(read);
        }
        match (kinds.len(), does) {
            (0, _) => self.problem(
                path,
                format!("the stage does nothing: write one of {}", KINDS.join(", ")),
            ),
            (_, 0 | 1) => {}
            _ => self.problem(
                path,
                "a stage does one thing: make each kind a stage of its own",
            ),
        }
        (id, action)
    }

    /// A key that is no kind of stage, maybe beside the one that is. Whether it was not meant as one.
    fn unknown(&mut self, path: String, key: &str, beside: Option<&str>) -> bool {
        let field = match (key, beside) {
            ("enabled" | "disabled", _) => {
                Some("a stage is switched off by taking it out of the list".into())
            }
            ("drop" | "keep", _) => None,
            (_, Some(kind)) if near(key, &KINDS).is_none() => {
                Some(format!("what the stage needs is written inside `{kind}`"))
            }
            _ => None,
        };
        if let Some(hint) = field {
            self.problem(path, format!("unknown field `{key}`: {hint}"));
            return true;
        }
        let hint = match key {
            "drop" | "keep" => format!("write `filter: {{ {key}: [...] }}`"),
            other => suggestion(other, &KINDS),
        };
        self.problem(path, format!("unknown stage kind `{key}`: {hint}"));
        false
    }

    fn stage_id(&mut self, fields: &Fields<'_>) -> Option<String> {
        let advice = "write a short id, such as `per-route`; figures and sampling go by it";
        let node = self.required(fields, "id", advice)?;
        let path = fields.path("id");
        let id = self.text(node, &path)?;
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if id.is_empty() || id.len() > 63 || !id.bytes().all(allowed) {
            self.problem(
                path,
                format!("`{id}` is not an id: lower-case letters, digits and dashes, at most 63"),
            );
            return None;
        }
        Some(id.to_string())
    }

    pub(super) fn matched(&mut self, fields: &Fields<'_>) -> Option<Match> {
        let advice = "say which series; `match: {}` is all of them";
        let node = self.required(fields, "match", advice)?;
        Some(self.matching(node, &fields.path("match")))
    }

    /// The same where nothing written means all.
    pub(super) fn any_or_matched(&mut self, fields: &Fields<'_>) -> Match {
        let node = fields.get("match");
        node.map_or_else(Match::default, |node| {
            self.matching(node, &fields.path("match"))
        })
    }

    /// `interval`, `lateness` and `expiry` of a stage with windows.
    pub(super) fn times(&mut self, fields: &Fields<'_>) -> (Span, Span, Span) {
        let mut time = |key: &str, least: Span, default: Span| {
            let node = fields.get(key);
            node.and_then(|node| self.span(node, &fields.path(key), least, DAY))
                .unwrap_or(default)
        };
        let interval = time("interval", MILLISECOND, Aggregate::interval());
        let lateness = time("lateness", Span(0), Aggregate::lateness());
        let expiry = time("expiry", Span::seconds(1), Aggregate::expiry());
        // Of longer windows nothing says that senders speak as seldom.
        let least = interval.min(Aggregate::interval());
        if expiry < least {
            self.problem(
                fields.path("expiry"),
                format!(
                    "{expiry} is shorter than a window: what speaks once in it would be forgotten before its next point, \
                     and what it gained lost. Write {least} or more"
                ),
            );
        }
        (interval, lateness, expiry)
    }

    /// A pattern where an attribute key is meant.
    pub(super) fn glob_key(&mut self, path: String, key: &str) {
        self.problem(path, format!("`{key}` is a glob: write each key in full"));
    }

    /// Attribute keys; sorted, as their order means nothing.
    pub(super) fn keys(&mut self, node: &Node, path: &str) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for (path, node) in self.items(node, path).unwrap_or_default() {
            let Some(key) = self.text(node, &path) else {
                continue;
            };
            if key.is_empty() {
                self.problem(path, "an attribute key is not empty: write its name");
            } else if key.contains('*') {
                self.glob_key(path, key);
            } else if keys.iter().any(|k| k == key) {
                self.problem(path, format!("`{key}` is listed twice: keep one"));
            } else {
                keys.push(key.to_string());
            }
        }
        keys.sort_unstable();
        keys
    }
}
