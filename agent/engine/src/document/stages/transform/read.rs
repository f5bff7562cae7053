//! Reading `transform`.

use super::{
    Class, Classify, Copy, Level, NamedPattern, Normalise, Operation, Remove, RenameAttribute,
    RenameMetric, Replacement, Scalar, Set, Transform,
};
use crate::compile::Replace;
use crate::document::fields::{Fields, Reader, suggestion};
use crate::yaml::Node;

const OPERATIONS: [&str; 7] = [
    "rename_metric",
    "rename_attribute",
    "set",
    "copy",
    "remove",
    "normalise",
    "classify",
];

/// What users write instead.
const INSTEAD: [(&str, &str); 8] = [
    ("rename", "rename_metric"),
    ("rename_label", "rename_attribute"),
    ("add", "set"),
    ("insert", "set"),
    ("delete", "remove"),
    ("drop", "remove"),
    ("normalize", "normalise"),
    ("replace", "normalise"),
];

const LEVELS: [(&str, Level); 3] = [
    ("point", Level::Point),
    ("scope", Level::Scope),
    ("resource", Level::Resource),
];

const PATTERNS: [(&str, NamedPattern); 5] = [
    ("uuids", NamedPattern::Uuids),
    ("versions", NamedPattern::Versions),
    ("ids", NamedPattern::Ids),
    ("hex", NamedPattern::Hex),
    ("numbers", NamedPattern::Numbers),
];

impl Reader {
    /// A `transform` stage.
    pub(in crate::document) fn transform(&mut self, node: &Node, path: &str) -> Option<Transform> {
        let instead = [("operations", "ops"), ("rules", "ops"), ("steps", "ops")];
        let fields = self.fields(node, path, &["match", "ops"], &instead)?;
        let matches = self.matched(&fields);
        let advice =
            "write the operations, such as `ops: [ { rename_attribute: { from: a, to: b } } ]`";
        let node = self.required(&fields, "ops", advice);
        let ops = node.and_then(|node| {
            self.some(node, &fields.path("ops"), advice, |reader, node, path| {
                reader.operation(node, path)
            })
        });
        Some(Transform {
            matches: matches?,
            ops: ops?,
        })
    }

    /// The items of a list that is not empty; `None` where one of them is wrong.
    fn some<T>(
        &mut self,
        node: &Node,
        path: &str,
        advice: &str,
        mut read: impl FnMut(&mut Reader, &Node, &str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.items(node, path)?;
        if items.is_empty() {
            self.problem(path, format!("the list is empty: {advice}"));
            return None;
        }
        // Every item is read, so that every mistake is told.
        let read: Vec<Option<T>> = items
            .into_iter()
            .map(|(path, node)| read(self, node, &path))
            .collect();
        read.into_iter().collect()
    }

    fn operation(&mut self, node: &Node, path: &str) -> Option<Operation> {
        let fields = self.mapping(node, path)?;
        let [(kind, node)] = fields.entries() else {
            let known = OPERATIONS.join(", ");
            self.problem(
                path,
                format!("an operation is a mapping with one key, one of {known}: make each an entry of its own"),
            );
            return None;
        };
        let path = fields.path(kind);
        match kind.as_str() {
            "rename_metric" => self.rename_metric(node, &path).map(Operation::RenameMetric),
            "rename_attribute" => self.rename_attribute(node, &path),
            "set" => self.set(node, &path).map(Operation::Set),
            "copy" => self.copy(node, &path).map(Operation::Copy),
            "remove" => self.remove(node, &path).map(Operation::Remove),
            "normalise" => self.normalise(node, &path).map(Operation::Normalise),
            "classify" => self.classify(node, &path).map(Operation::Classify),
            other => {
                let hint = match INSTEAD.iter().find(|(wrong, _)| *wrong == other) {
                    Some((_, right)) => format!("write `{right}`"),
                    None => suggestion(other, &OPERATIONS),
                };
                self.problem(path, format!("unknown operation `{other}`: {hint}"));
                None
            }
        }
    }

    fn rename_metric(&mut self, node: &Node, path: &str) -> Option<RenameMetric> {
        let fields = self.fields(node, path, &["from", "to"], &[("name", "to")])?;
        let from = fields
            .get("from")
            .map(|node| self.text(node, &fields.path("from")));
        let to = self.required(&fields, "to", "write the new name")?;
        let to = self.text(to, &fields.path("to"))?.to_string();
        let from = match from {
            Some(text) => Some(text?.to_string()),
            None => None,
        };
        self.metric_names(from.as_deref(), &to, &fields);
        Some(RenameMetric { from, to })
    }

    fn metric_names(&mut self, from: Option<&str>, to: &str, fields: &Fields<'_>) {
        let at = fields.path("to");
        if to.is_empty() {
            self.problem(at, "the name is empty: write one");
            return;
        }
        let Some(from) = from else {
            if to.replace("{name}", "").contains(['{', '}', '*']) {
                self.problem(
                    at,
                    format!("`{to}`: only `{{name}}` can stand for something here; with `from`, a `*` can"),
                );
            }
            return;
        };
        if from.is_empty() {
            self.problem(
                fields.path("from"),
                "a metric has a name: write it, or leave `from` out",
            );
        } else if from.len() > 1 && from.starts_with('/') && from.ends_with('/') {
            self.problem(
                fields.path("from"),
                "an expression cannot be turned around: write a name, or a glob with one `*`",
            );
        } else if from.matches('*').count() > 1 || from.contains(['?', '\\']) {
            self.problem(
                fields.path("from"),
                format!("`{from}`: a name, or a glob with just one `*`, so that what it stands for is known"),
            );
        } else if to.contains(['{', '}']) {
            self.problem(
                at,
                format!("`{to}`: with `from` write `*` for what its `*` matched; `{{name}}` goes without `from`"),
            );
        } else if to.matches('*').count() > from.matches('*').count() {
            self.problem(
                at,
                format!("`{to}`: each `*` stands for what the one `*` of `from` matched, and `{from}` has fewer"),
            );
        }
    }

    fn rename_attribute(&mut self, node: &Node, path: &str) -> Option<Operation> {
        let fields = self.fields(node, path, &["from", "to"], &[])?;
        let (from, to) = self.two_keys(&fields)?;
        Some(Operation::RenameAttribute(RenameAttribute { from, to }))
    }

    fn set(&mut self, node: &Node, path: &str) -> Option<Set> {
        let known = ["attribute", "value", "level", "overwrite"];
        let instead = [
            ("key", "attribute"),
            ("replace", "overwrite"),
            ("to", "value"),
        ];
        let fields = self.fields(node, path, &known, &instead)?;
        let attribute = self.key_of(&fields, "attribute");
        let value = self.scalar(&fields, "value", "write the value that the attribute gets");
        let level = self.level(&fields);
        let overwrite = fields
            .get("overwrite")
            .and_then(|node| self.truth(node, &fields.path("overwrite")))
            .unwrap_or(false);
        if overwrite && level.is_some() {
            self.problem(
                fields.path("level"),
                "`overwrite` changes the attribute where it is, and adds it to the point where it is not: leave \
                 `level` out",
            );
        }
        Some(Set {
            attribute: attribute?,
            value: value?,
            level: level.unwrap_or(Level::Point),
            overwrite,
        })
    }

    fn copy(&mut self, node: &Node, path: &str) -> Option<Copy> {
        let fields = self.fields(node, path, &["from", "to", "level"], &[])?;
        let level = self.level(&fields);
        let (from, to) = self.two_keys(&fields)?;
        Some(Copy { from, to, level })
    }

    fn remove(&mut self, node: &Node, path: &str) -> Option<Remove> {
        let instead = [("key", "attribute"), ("value", "constant")];
        let fields = self.fields(node, path, &["attribute", "constant", "level"], &instead)?;
        let attribute = self.key_of(&fields, "attribute");
        let advice = "write the value that the attribute always has; to remove one that varies, use `aggregate` with \
                      `without`";
        let constant = self.scalar(&fields, "constant", advice);
        let level = self.level(&fields);
        Some(Remove {
            attribute: attribute?,
            constant: constant?,
            level,
        })
    }

    fn normalise(&mut self, node: &Node, path: &str) -> Option<Normalise> {
        let instead = [
            ("key", "attribute"),
            ("pattern", "patterns"),
            ("replace", "rules"),
        ];
        let fields = self.fields(node, path, &["attribute", "patterns", "rules"], &instead)?;
        let attribute = self.key_of(&fields, "attribute");
        let mut patterns = Vec::new();
        if let Some(node) = fields.get("patterns") {
            let advice = "write at least one of uuids, versions, ids, hex, numbers";
            let read =
                |reader: &mut Reader, node: &Node, path: &str| reader.choice(node, path, &PATTERNS);
            patterns = self.some(node, &fields.path("patterns"), advice, read)?;
            patterns.sort_unstable();
            patterns.dedup();
        }
        let mut rules = Vec::new();
        if let Some(node) = fields.get("rules") {
            let advice = "write at least one `{ replace: /regex/, with: text }`";
            rules = self.some(node, &fields.path("rules"), advice, |reader, node, path| {
                reader.replacement(node, path)
            })?;
        }
        if fields.get("patterns").is_none() && fields.get("rules").is_none() {
            self.problem(
                path,
                "write `patterns: [ids, uuids]` or `rules: [ { replace: /regex/, with: text } ]`",
            );
            return None;
        }
        Some(Normalise {
            attribute: attribute?,
            patterns,
            rules,
        })
    }

    fn replacement(&mut self, node: &Node, path: &str) -> Option<Replacement> {
        let instead = [
            ("match", "replace"),
            ("regex", "replace"),
            ("by", "with"),
            ("to", "with"),
        ];
        let fields = self.fields(node, path, &["replace", "with"], &instead)?;
        let replace = self.required(&fields, "replace", "write `replace: /regex/`");
        let replace = replace.and_then(|node| self.text(node, &fields.path("replace")));
        let with = self.required(
            &fields,
            "with",
            "write what stands there then, such as `with: \"{id}\"`",
        );
        let with = with.and_then(|node| self.text(node, &fields.path("with")));
        let rule = Replacement {
            replace: replace?.to_string(),
            with: with?.to_string(),
        };
        match Replace::compile(&rule) {
            Ok(_) => Some(rule),
            Err((field, message)) => {
                self.problem(fields.path(field), message);
                None
            }
        }
    }

    fn classify(&mut self, node: &Node, path: &str) -> Option<Classify> {
        let known = ["into", "rules", "otherwise", "level"];
        let instead = [
            ("attribute", "into"),
            ("default", "otherwise"),
            ("else", "otherwise"),
        ];
        let fields = self.fields(node, path, &known, &instead)?;
        let into = self.key_of(&fields, "into");
        let advice = "write at least one `{ match: {...}, as: critical }`";
        let node = self.required(&fields, "rules", advice);
        let rules = node.and_then(|node| {
            self.some(node, &fields.path("rules"), advice, |reader, node, path| {
                reader.class(node, path)
            })
        });
        let otherwise = fields
            .get("otherwise")
            .and_then(|node| self.text(node, &fields.path("otherwise")))
            .map(String::from);
        let level = self.level(&fields).unwrap_or(Level::Point);
        Some(Classify {
            into: into?,
            rules: rules?,
            otherwise,
            level,
        })
    }

    fn class(&mut self, node: &Node, path: &str) -> Option<Class> {
        let instead = [("class", "as"), ("value", "as")];
        let fields = self.fields(node, path, &["match", "as"], &instead)?;
        let matches = self.matched(&fields);
        let class = self.required(&fields, "as", "write the value that the attribute gets");
        let class = class.and_then(|node| self.text(node, &fields.path("as")));
        Some(Class {
            matches: matches?,
            class: class?.to_string(),
        })
    }

    fn two_keys(&mut self, fields: &Fields<'_>) -> Option<(String, String)> {
        let (from, to) = (self.key_of(fields, "from"), self.key_of(fields, "to"));
        let (from, to) = (from?, to?);
        if from == to {
            self.problem(
                fields.path("to"),
                format!("`{to}` is the key that it has: write another, or leave the operation out"),
            );
        }
        Some((from, to))
    }

    /// A field that holds one attribute key.
    fn key_of(&mut self, fields: &Fields<'_>, name: &str) -> Option<String> {
        let node = self.required(fields, name, "write an attribute key")?;
        let path = fields.path(name);
        let key = self.text(node, &path)?;
        if key.is_empty() {
            self.problem(path, "an attribute key is not empty: write its name");
        } else if key.contains('*') {
            self.problem(path, format!("`{key}` is a glob: write the key in full"));
        }
        Some(key.to_string())
    }

    fn level(&mut self, fields: &Fields<'_>) -> Option<Level> {
        let node = fields.get("level")?;
        self.choice(node, &fields.path("level"), &LEVELS)
    }

    fn scalar(&mut self, fields: &Fields<'_>, name: &str, advice: &str) -> Option<Scalar> {
        let path = fields.path(name);
        match self.required(fields, name, advice)? {
            Node::Text(text) => Some(Scalar::Text(text.clone())),
            Node::Bool(truth) => Some(Scalar::Bool(*truth)),
            Node::Int(number) => match i64::try_from(*number) {
                Ok(number) => Some(Scalar::Int(number)),
                Err(_) => {
                    self.problem(
                        path,
                        format!("{number} does not fit in 64 bits: put it in quotes"),
                    );
                    None
                }
            },
            // -0 and 0 are one number and must have one canonical form.
            Node::Float(number) if number.is_finite() => Some(Scalar::Double(*number + 0.0)),
            Node::Float(_) => {
                self.problem(
                    path,
                    "an attribute is a finite number: write one, or a text",
                );
                None
            }
            other => {
                let found = other.what();
                self.problem(
                    path,
                    format!("expected a text, a number, true or false, found {found}"),
                );
                None
            }
        }
    }
}
