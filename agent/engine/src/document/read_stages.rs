//! Reading stages, and the rules of each kind that can be checked on the stage alone.

use super::fields::{Fields, Reader, suggestion};
use super::{Action, Match, Sample, Span, Stage};
use crate::yaml::Node;
use std::collections::HashMap;

const KINDS: [&str; 5] = ["filter", "aggregate", "sample", "quantise", "histogram"];
pub(super) const MILLISECOND: Span = Span(1_000_000);
pub(super) const DAY: Span = Span::seconds(86_400);

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
        let mut action = None;
        for (kind, node) in &kinds {
            let path = fields.path(kind);
            let read = match kind.as_str() {
                "filter" => self.filter(node, &path).map(Action::Filter),
                "aggregate" => self.aggregate(node, &path).map(Action::Aggregate),
                "sample" => self.sample(node, &path).map(Action::Sample),
                "quantise" => self.quantise(node, &path).map(Action::Quantise),
                "histogram" => self.histogram(node, &path).map(Action::Histogram),
                other => {
                    let hint = match other {
                        "drop" | "keep" => format!("write `filter: {{ {other}: [...] }}`"),
                        other => suggestion(other, &KINDS),
                    };
                    self.problem(path, format!("unknown stage kind `{other}`: {hint}"));
                    None
                }
            };
            action = action.or(read);
        }
        match kinds.len() {
            0 => self.problem(
                path,
                format!("the stage does nothing: write one of {}", KINDS.join(", ")),
            ),
            1 => {}
            _ => self.problem(
                path,
                "a stage does one thing: make each kind a stage of its own",
            ),
        }
        (id, action)
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
                self.problem(path, format!("`{key}` is a glob: write each key in full"));
            } else if keys.iter().any(|k| k == key) {
                self.problem(path, format!("`{key}` is listed twice: keep one"));
            } else {
                keys.push(key.to_string());
            }
        }
        keys.sort_unstable();
        keys
    }

    fn sample(&mut self, node: &Node, path: &str) -> Option<Sample> {
        let known = ["match", "fraction", "entity", "every"];
        let instead = [
            ("interval", "every"),
            ("ratio", "fraction"),
            ("percent", "fraction"),
        ];
        let fields = self.fields(node, path, &known, &instead)?;
        let matches = self.matched(&fields);
        let fraction = fields
            .get("fraction")
            .map(|node| self.fraction(node, &fields.path("fraction")));
        let every = fields
            .get("every")
            .map(|node| self.span(node, &fields.path("every"), MILLISECOND, DAY));
        let entity = fields
            .get("entity")
            .map(|node| self.keys(node, &fields.path("entity")));
        let entity_path = fields.path("entity");
        match (&fraction, &every) {
            (Some(_), Some(_)) => self.problem(
                path,
                "write `fraction` (a share of entities) or `every` (one point a window), not both",
            ),
            (None, None) => self.problem(
                path,
                "write `fraction: 0.1` with `entity: [...]`, or `every: 60s`",
            ),
            (Some(_), None) if entity.as_ref().is_none_or(Vec::is_empty) => self.problem(
                entity_path,
                "a fraction is of entities: write the attribute keys that make one, such as [host.name, process.pid]",
            ),
            (None, Some(_)) if entity.is_some() => self.problem(
                entity_path,
                "`entity` belongs to `fraction`: leave it out with `every`",
            ),
            _ => {}
        }
        Some(Sample {
            matches: matches?,
            fraction: fraction.flatten(),
            entity: entity.unwrap_or_default(),
            every: every.flatten(),
        })
    }

    fn fraction(&mut self, node: &Node, path: &str) -> Option<f64> {
        let fraction = self.number(node, path)?;
        if (0.0..=1.0).contains(&fraction) {
            // -0 and 0 are one number and must have one canonical form.
            return Some(fraction + 0.0);
        }
        self.problem(
            path,
            format!("{fraction} is not a share: write a number from 0 to 1, such as 0.1 for 10 %"),
        );
        None
    }
}
