//! Reading one value of the tree: says what is wrong with it and goes on.

use super::{Problem, Span};
use crate::yaml::{Node, number_in, path_key};

/// The conditions of a rule.
pub(super) const CONDITIONS: [&str; 6] = [
    "metric",
    "unit",
    "type",
    "temporality",
    "monotonic",
    "attributes",
];

/// Where in the document, and what was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
}

/// The fields of one mapping.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    path: String,
    entries: &'a [(String, Node)],
}

impl<'a> Fields<'a> {
    /// The path of a field of this mapping.
    pub(super) fn path(&self, key: &str) -> String {
        let path = format!("{}{}", self.path, path_key(key));
        path.strip_prefix('.').map(String::from).unwrap_or(path)
    }

    /// A field that is there and is not empty.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.present(key).filter(|node| **node != Node::Null)
    }

    /// A field that is there, even if it says nothing.
    pub(super) fn present(&self, key: &str) -> Option<&'a Node> {
        self.entries
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, node)| node)
    }

    /// All fields.
    pub(super) fn entries(&self) -> &'a [(String, Node)] {
        self.entries
    }
}

impl Reader {
    pub(super) fn problem(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::new(path, message));
    }

    fn wrong(&mut self, path: &str, expected: &str, node: &Node) {
        self.problem(path, format!("expected {expected}, found {}", node.what()));
    }

    /// A mapping with any keys.
    pub(super) fn mapping<'a>(&mut self, node: &'a Node, path: &str) -> Option<Fields<'a>> {
        match node {
            Node::Map(entries) => Some(Fields {
                path: path.to_string(),
                entries,
            }),
            other => {
                self.wrong(path, "a mapping (`key: value`)", other);
                None
            }
        }
    }

    /// A mapping with these keys only. `instead`: what users write, and what is right.
    pub(super) fn fields<'a>(
        &mut self,
        node: &'a Node,
        path: &str,
        known: &[&str],
        instead: &[(&str, &str)],
    ) -> Option<Fields<'a>> {
        let belongs = known.contains(&"match");
        self.fields_or(node, path, known, |key| {
            if let Some((_, right)) = instead.iter().find(|(wrong, _)| *wrong == key) {
                return Some(format!("write `{right}`"));
            }
            (belongs && CONDITIONS.contains(&key))
                .then(|| format!("it is a condition: write `match: {{ {key}: ... }}`"))
        })
    }

    /// The same, where `hint` knows what to write instead of other keys.
    pub(super) fn fields_or<'a>(
        &mut self,
        node: &'a Node,
        path: &str,
        known: &[&str],
        hint: impl Fn(&str) -> Option<String>,
    ) -> Option<Fields<'a>> {
        let fields = self.mapping(node, path)?;
        for (key, value) in fields.entries {
            if known.contains(&key.as_str()) {
                continue;
            }
            let comma = *value == Node::Null && key.contains(' ');
            let comma = comma
                .then_some("a comma inside `{ }` ends a value: put the text around it in quotes");
            let hint = comma.map(String::from).or_else(|| hint(key));
            let hint = hint.unwrap_or_else(|| suggestion(key, known));
            self.problem(fields.path(key), format!("unknown field `{key}`: {hint}"));
        }
        Some(fields)
    }

    /// A field that must be there.
    pub(super) fn required<'a>(
        &mut self,
        fields: &Fields<'a>,
        key: &str,
        advice: &str,
    ) -> Option<&'a Node> {
        let node = fields.get(key);
        if node.is_none() {
            self.problem(fields.path(key), format!("`{key}` is missing: {advice}"));
        }
        node
    }

    pub(super) fn text<'a>(&mut self, node: &'a Node, path: &str) -> Option<&'a str> {
        match node {
            Node::Text(text) => Some(text),
            Node::Bool(_) | Node::Int(_) | Node::Float(_) => {
                self.problem(
                    path,
                    format!("expected a text, found {}: put it in quotes", node.what()),
                );
                None
            }
            other => {
                self.wrong(path, "a text", other);
                None
            }
        }
    }

    pub(super) fn truth(&mut self, node: &Node, path: &str) -> Option<bool> {
        match node {
            Node::Bool(truth) => Some(*truth),
            other => {
                self.wrong(path, "true or false", other);
                None
            }
        }
    }

    pub(super) fn number(&mut self, node: &Node, path: &str) -> Option<f64> {
        match node {
            Node::Float(number) => return Some(*number),
            Node::Int(number) => return Some(*number as f64),
            _ => {}
        }
        match as_number(node) {
            Some(meant) => self.problem(
                path,
                format!("expected a number, found {}: write {meant}", node.what()),
            ),
            None => self.wrong(path, "a number", node),
        }
        None
    }

    /// A whole number between two bounds.
    pub(super) fn whole(&mut self, node: &Node, path: &str, min: i128, max: i128) -> Option<i128> {
        let mut text = format!("expected a whole number from {min} to {max}");
        match node {
            Node::Int(number) if (min..=max).contains(number) => return Some(*number),
            Node::Int(_) | Node::Float(_) => {}
            other => {
                text += &format!(", found {}", other.what());
                if let Some(meant) = as_number(other) {
                    text += &format!(": write {meant}");
                }
            }
        }
        self.problem(path, text);
        None
    }

    /// How many of something.
    pub(super) fn count_of(&mut self, node: &Node, path: &str, least: u32) -> Option<u32> {
        let number = self.whole(node, path, least.into(), u32::MAX.into());
        number.and_then(|number| u32::try_from(number).ok())
    }

    /// A length of time between two bounds.
    pub(super) fn span(&mut self, node: &Node, path: &str, min: Span, max: Span) -> Option<Span> {
        let parsed = match node {
            Node::Text(text) => Span::parse(text),
            Node::Int(number) => Span::parse(&number.to_string()),
            other => Err(format!(
                "expected a length of time such as 60s, found {}",
                other.what()
            )),
        };
        let wrong = match parsed {
            Ok(span) if (min..=max).contains(&span) => return Some(span),
            Ok(span) if span < min => format!("too short: write {} or more", min.spoken()),
            Ok(_) => format!("too long: write {} or less", max.spoken()),
            Err(message) => {
                self.problem(path, message);
                return None;
            }
        };
        let written = match node {
            Node::Text(text) => text.as_str(),
            _ => "this",
        };
        self.problem(path, format!("{written} is {wrong}"));
        None
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        node: &Node,
        path: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(node, path)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.problem(
                path,
                format!("unknown value `{text}`: {}", suggestion(text, &names)),
            );
        }
        found.map(|(_, value)| *value)
    }

    /// The items of a list with the path of each.
    pub(super) fn items<'a>(
        &mut self,
        node: &'a Node,
        path: &str,
    ) -> Option<Vec<(String, &'a Node)>> {
        match node {
            Node::List(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| (format!("{path}[{index}]"), item))
                    .collect(),
            ),
            other => {
                self.problem(
                    path,
                    format!("expected a list (`[...]`), found {}", other.what()),
                );
                None
            }
        }
    }
}

/// What may have been meant, else all that is known.
pub(super) fn suggestion(word: &str, known: &[&str]) -> String {
    match near(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here are {}", known.join(", ")),
    }
}

/// What may have been meant.
pub(super) fn near<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let all = known.iter().map(|k| (distance(word, k), *k));
    let close = all
        .min()
        .filter(|(distance, k)| *distance <= 1 + k.len() / 4);
    close.map(|(_, near)| near)
}

fn as_number(node: &Node) -> Option<f64> {
    match node {
        Node::Text(text) => number_in(text),
        _ => None,
    }
}

/// Edits (insert, remove, replace a character) between two words; case does not count.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, c) in a.to_lowercase().chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, d) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(c != *d);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
