//! A document as a tree, before it means anything.

use super::path_key;
use crate::document::Problem;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// A value of a document; keys in their order, none twice.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Nothing, `null`, `~`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// What it is, for messages.
    pub fn what(&self) -> &'static str {
        match self {
            Node::Null => "nothing",
            Node::Bool(_) => "true/false",
            Node::Int(_) | Node::Float(_) => "a number",
            Node::Text(_) => "a text",
            Node::List(_) => "a list",
            Node::Map(_) => "a mapping",
        }
    }

    /// The value of a key, where this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }
}

/// A tree as it came: keys of any kind, repeated or not.
#[derive(Debug)]
pub(super) enum Raw {
    Leaf(Node),
    List(Vec<Raw>),
    Map(Vec<(Raw, Raw)>),
}

impl Raw {
    /// # Errors
    /// Every key that is repeated, not a text, or asks to merge another mapping.
    pub(super) fn check(self) -> Result<Node, Vec<Problem>> {
        let mut problems = Vec::new();
        let node = self.checked("", &mut problems);
        if problems.is_empty() {
            Ok(node)
        } else {
            Err(problems)
        }
    }

    fn checked(self, path: &str, problems: &mut Vec<Problem>) -> Node {
        match self {
            Raw::Leaf(node) => node,
            Raw::List(items) => Node::List(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(index, item)| item.checked(&format!("{path}[{index}]"), problems))
                    .collect(),
            ),
            Raw::Map(entries) => {
                let mut checked: Vec<(String, Node)> = Vec::with_capacity(entries.len());
                let mut seen = std::collections::HashSet::with_capacity(entries.len());
                for (key, value) in entries {
                    let key = match key {
                        Raw::Leaf(Node::Text(text)) => text,
                        Raw::Leaf(Node::Int(number)) => number.to_string(),
                        Raw::Leaf(Node::Bool(truth)) => truth.to_string(),
                        _ => {
                            problems.push(Problem::new(path, "a key is a text: put it in quotes"));
                            continue;
                        }
                    };
                    let path = format!("{path}{}", path_key(&key));
                    let path = path.strip_prefix('.').unwrap_or(&path);
                    let node = value.checked(path, problems);
                    if key == "<<" {
                        problems.push(Problem::new(
                            path,
                            "merge keys are not read: write the fields out, or let an alias (`*name`) stand for a whole value",
                        ));
                        continue;
                    }
                    if seen.insert(key.clone()) {
                        checked.push((key, node));
                    } else {
                        problems.push(Problem::new(
                            path,
                            "the key is written twice: keep one, or make a list of both values",
                        ));
                    }
                }
                Node::Map(checked)
            }
        }
    }
}

/// Reads a tree of a bounded number of values, whatever aliases expand to.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<usize>,
    limit: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Budget {
        Budget {
            left: Cell::new(limit),
            limit,
        }
    }

    fn spend<E: Error>(&self) -> Result<(), E> {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        if left == 0 {
            return Err(E::custom(format!(
                "the document holds more than {} values; an alias (`*name`) may repeat too much",
                self.limit
            )));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &Budget {
    type Value = Raw;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Budget {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value, a list or a mapping (no `!tag`)")
    }

    fn visit_unit<E: Error>(self) -> Result<Raw, E> {
        self.spend()?;
        Ok(Raw::Leaf(Node::Null))
    }

    /// What an empty document is.
    fn visit_none<E: Error>(self) -> Result<Raw, E> {
        self.visit_unit()
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Raw, E> {
        self.spend()?;
        Ok(Raw::Leaf(Node::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Raw, E> {
        self.visit_i128(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Raw, E> {
        self.visit_i128(value.into())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Raw, E> {
        self.spend()?;
        Ok(Raw::Leaf(Node::Int(value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Raw, E> {
        self.spend()?;
        Ok(Raw::Leaf(Node::Float(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Raw, E> {
        self.spend()?;
        Ok(Raw::Leaf(Node::Text(value.to_string())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        self.spend()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        self.spend()?;
        let mut map = Vec::new();
        while let Some(key) = entries.next_key_seed(self)? {
            map.push((key, entries.next_value_seed(self)?));
        }
        Ok(Raw::Map(map))
    }
}
