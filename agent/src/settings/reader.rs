//! A walk over a YAML tree that collects every mistake with its path instead of stopping at the
//! first, and that knows which keys nobody read.

use phoenix_engine::document::Problem;
use phoenix_engine::yaml::Node;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The mistakes found so far, shared by all sections of one walk.
pub type Problems = Rc<RefCell<Vec<Problem>>>;

/// One mapping of the tree.
pub struct Section {
    path: String,
    map: Vec<(String, Node)>,
    seen: RefCell<Vec<String>>,
    problems: Problems,
}

impl Section {
    /// The root.
    pub fn root(tree: Node, problems: Problems) -> Section {
        let map = match tree {
            Node::Map(map) => map,
            Node::Null => Vec::new(),
            _ => {
                push(&problems, "", "must be a mapping of settings");
                Vec::new()
            }
        };
        Section {
            path: String::new(),
            map,
            seen: RefCell::default(),
            problems,
        }
    }

    /// The path of a key of this section.
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Adds a mistake at `key`.
    pub fn wrong(&self, key: &str, message: impl AsRef<str>) {
        push(&self.problems, &self.path(key), message.as_ref());
    }

    /// Marks `key` as known and returns its value; null counts as absent.
    pub fn value(&self, key: &str) -> Option<&Node> {
        self.seen.borrow_mut().push(key.to_owned());
        self.find(key).filter(|v| **v != Node::Null)
    }

    /// Whether the key is there at all, also without a value (`file:`).
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    fn find(&self, key: &str) -> Option<&Node> {
        self.map.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// A nested mapping; `key:` without a value is an empty one.
    pub fn section(&self, key: &str) -> Option<Section> {
        let found = self.value(key).cloned();
        let map = match found {
            Some(Node::Map(map)) => map,
            Some(_) => {
                self.wrong(key, "must be a mapping");
                return None;
            }
            None if self.has(key) => Vec::new(),
            None => return None,
        };
        Some(Section {
            path: self.path(key),
            map,
            seen: RefCell::default(),
            problems: self.problems.clone(),
        })
    }

    /// Text; numbers and booleans are taken as written.
    pub fn text(&self, key: &str) -> Option<String> {
        let value = self.value(key)?;
        let text = scalar(value);
        if text.is_none() {
            self.wrong(key, "must be a text");
        }
        text
    }

    /// Text read by `parse`; its error is the problem's message.
    pub fn parsed<T>(&self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(&self.text(key)?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.wrong(key, message);
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.parsed(key, |t| match t {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("{t:?} must be true or false")),
        })
    }

    /// A whole number of at least `least`.
    pub fn count(&self, key: &str, least: usize) -> Option<usize> {
        self.parsed(key, |t| match t.parse::<usize>() {
            Ok(n) if n >= least => Ok(n),
            _ => Err(format!("{t:?} must be a whole number of at least {least}")),
        })
    }

    /// A size: `16MiB`, `64 MB`, `1048576`.
    pub fn size(&self, key: &str) -> Option<usize> {
        self.parsed(key, size)
    }

    /// A duration greater than zero: `10s`, `200ms`, `1m 30s`.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        self.parsed(key, |t| match humantime::parse_duration(t) {
            Ok(d) if !d.is_zero() => Ok(d),
            Ok(_) => Err("must be longer than 0".to_owned()),
            Err(e) => Err(format!(
                "{t:?} is no duration ({e}); write it as 10s or 200ms"
            )),
        })
    }

    /// A list of texts, or one text.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let list = match value {
            Node::List(items) => items.iter().map(scalar).collect::<Option<Vec<_>>>(),
            one => scalar(one).map(|t| vec![t]),
        };
        if list.is_none() {
            self.wrong(key, "must be a list of texts");
        }
        list
    }

    /// A mapping of texts.
    pub fn table(&self, key: &str) -> Option<BTreeMap<String, String>> {
        let section = self.section(key)?;
        let mut table = BTreeMap::new();
        for (name, value) in &section.map {
            match scalar(value) {
                Some(value) => {
                    table.insert(name.clone(), value);
                }
                None => section.wrong(name, "must be a text"),
            }
        }
        Some(table)
    }

    /// Reports every key that nobody asked for. Call it last.
    pub fn finish(&self) {
        let seen = self.seen.borrow();
        for (key, _) in &self.map {
            if !seen.contains(key) {
                let known = seen.join(", ");
                self.wrong(key, format!("is not known here; known are: {known}"));
            }
        }
    }
}

fn push(problems: &Problems, path: &str, message: &str) {
    problems.borrow_mut().push(Problem {
        path: path.to_owned(),
        message: message.to_owned(),
    });
}

fn scalar(value: &Node) -> Option<String> {
    match value {
        Node::Text(text) => Some(text.clone()),
        Node::Int(n) => Some(n.to_string()),
        Node::Float(n) => Some(n.to_string()),
        Node::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

/// Reads a size in bytes.
fn size(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text:?} is no size; write it as 16MiB, 64KiB or 1048576");
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kib" | "k" | "ki" => 1024.0,
        "mib" | "m" | "mi" => 1024.0 * 1024.0,
        "gib" | "g" | "gi" => 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        _ => return Err(wrong()),
    };
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * factor;
    if (1.0..9e15).contains(&bytes) {
        Ok(bytes as usize)
    } else {
        Err(wrong())
    }
}
