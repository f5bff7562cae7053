//! A condition on one attribute: its text, its number, or whether it is there at all.

use super::fields::Reader;
use super::{Comparison, Patterns, comparison};
use crate::yaml::Node;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an attribute must be.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Condition {
    /// Its text.
    Text(Patterns),
    /// Whether it is there.
    Presence(Presence),
    /// Its number: of an int, a double, or a text that is a finite decimal number.
    Number(Comparison),
}

/// Whether an attribute is there, on the point, the scope or the resource; whatever its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// `true`: it must be there; `false`: it must not.
    pub exists: bool,
}

impl Reader {
    /// Conditions by attribute key.
    pub(super) fn attributes(&mut self, node: &Node, path: &str) -> BTreeMap<String, Condition> {
        let mut attributes = BTreeMap::new();
        let Some(fields) = self.mapping(node, path) else {
            return attributes;
        };
        for (key, node) in fields.entries() {
            let path = fields.path(key);
            if key.is_empty() {
                self.problem(path, "an attribute has a name: write it before the colon");
            } else if key.contains('*') {
                self.glob_key(path, key);
            } else if *node == Node::Null {
                self.problem(
                    path,
                    "the condition has no value: write one, `\"*\"` for any value, or `{ exists: true }`",
                );
            } else if let Some(condition) = self.condition(node, &path) {
                attributes.insert(key.clone(), condition);
            }
        }
        attributes
    }

    fn condition(&mut self, node: &Node, path: &str) -> Option<Condition> {
        let Node::Map(entries) = node else {
            return self.patterns(node, path, false).map(Condition::Text);
        };
        let Some((_, exists)) = entries.iter().find(|(key, _)| key == "exists") else {
            return self
                .comparison(node, path, &["exists"])
                .map(Condition::Number);
        };
        if entries.len() > 1 {
            let compared = |(key, _): &(String, Node)| comparison::KEYS.contains(&key.as_str());
            let message = if entries.iter().any(compared) {
                "a comparison only holds where the attribute is there: leave `exists` out"
            } else {
                "`exists` stands alone: leave the other conditions out"
            };
            self.problem(path, message);
            return None;
        }
        let exists = self.truth(exists, &format!("{path}.exists"))?;
        Some(Condition::Presence(Presence { exists }))
    }
}
