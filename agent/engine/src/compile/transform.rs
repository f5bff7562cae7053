//! `transform` as the engine runs it.

use super::Functions;
use crate::document::{
    self, Level, Matcher, NamedPattern, Operation, Problem, Replacement, Scalar,
};
use crate::wire::otlp::{any_value, key_value};
use crate::wire::write;
use regex::{Regex, RegexBuilder};

/// A transform: what the matching series are called from here on.
#[derive(Debug)]
pub struct Transform {
    /// Which series are transformed.
    pub matcher: Matcher,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// One operation.
#[derive(Debug)]
pub struct Step {
    /// What is done.
    pub change: Change,
    /// Can give several series one identity: it is done only to what the aggregation behind adds up.
    pub merged: Option<Merged>,
}

/// The aggregation that adds up what has become one.
#[derive(Debug, Clone)]
pub struct Merged {
    /// How it merges gauges.
    pub functions: Functions,
    /// It takes summaries apart.
    pub extracts: bool,
}

/// What an operation does.
#[derive(Debug)]
pub enum Change {
    /// A new metric name.
    Metric(NewName),
    /// Another key.
    Rekey {
        /// The key it has.
        from: String,
        /// The key it gets.
        to: String,
    },
    /// An attribute is added.
    Set {
        /// Key.
        key: String,
        /// The value: an encoded `AnyValue` body.
        value: Vec<u8>,
        /// Where.
        level: Level,
        /// An attribute that is there gets the value.
        overwrite: bool,
    },
    /// An attribute is added with the value of another.
    Copy {
        /// Key of the other.
        from: String,
        /// Key.
        to: String,
        /// Where; on the level of the other where there is none.
        level: Option<Level>,
    },
    /// An attribute is removed.
    Remove {
        /// Key.
        key: String,
        /// Only this value: an encoded `AnyValue` body.
        constant: Vec<u8>,
        /// Only there.
        level: Option<Level>,
    },
    /// A text value is brought to a pattern.
    Normalise {
        /// Key.
        key: String,
        /// How.
        how: Normalise,
    },
    /// An attribute is added by rules.
    Classify {
        /// Key.
        key: String,
        /// Where.
        level: Level,
        /// The first that matches decides; with encoded `AnyValue` bodies.
        rules: Vec<(Matcher, Vec<u8>)>,
        /// Where none does.
        otherwise: Option<Vec<u8>>,
    },
}

/// How a metric gets a new name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewName {
    /// Every metric: the pieces around its old name; one piece is a whole new name.
    Around(Vec<String>),
    /// Just this metric.
    Exact {
        /// Its name.
        from: String,
        /// Its new name.
        to: String,
    },
    /// Metrics with this beginning and end.
    Glob {
        /// The beginning.
        start: String,
        /// The end.
        end: String,
        /// The pieces around what lies between; one piece is a whole new name.
        to: Vec<String>,
    },
}

impl NewName {
    /// As it is written.
    pub fn of(rename: &document::RenameMetric) -> NewName {
        let pieces = |mark: &str| rename.to.split(mark).map(String::from).collect();
        match rename
            .from
            .as_deref()
            .map(|from| (from, from.split_once('*')))
        {
            None => NewName::Around(pieces("{name}")),
            Some((_, Some((start, end)))) => NewName::Glob {
                start: start.into(),
                end: end.into(),
                to: pieces("*"),
            },
            Some((from, None)) => NewName::Exact {
                from: from.into(),
                to: rename.to.clone(),
            },
        }
    }

    /// The new name; `None` where the metric keeps its own.
    pub fn apply(&self, name: &str) -> Option<String> {
        let new = match self {
            NewName::Around(pieces) => pieces.join(name),
            NewName::Exact { from, to } => (from == name).then(|| to.clone())?,
            NewName::Glob { start, end, to } => {
                let between = name
                    .strip_prefix(start.as_str())?
                    .strip_suffix(end.as_str())?;
                to.join(between)
            }
        };
        (new != name).then_some(new)
    }
}

/// How a text is brought to a pattern; applied in `stage/transform/normalise.rs`.
#[derive(Debug)]
pub struct Normalise {
    /// Done first, in order.
    pub rules: Vec<Replace>,
    /// Done then, in one pass; sorted by precedence.
    pub patterns: Vec<NamedPattern>,
}

/// Every match of an expression becomes a text.
#[derive(Debug)]
pub struct Replace {
    /// The expression.
    pub expression: Regex,
    /// The text.
    pub with: Vec<Piece>,
}

/// A piece of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// This text.
    Text(String),
    /// What a group of the expression matched.
    Group(usize),
}

/// Memory that one compiled expression may take.
const REGEX_BYTES: usize = 1 << 20;

impl Replace {
    /// Compiles a replacement.
    ///
    /// # Errors
    /// The field that is wrong, and what to write instead.
    pub fn compile(rule: &Replacement) -> Result<Replace, (&'static str, String)> {
        let text = &rule.replace;
        let expression = text
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'))
            .filter(|inner| !inner.is_empty())
            .ok_or_else(|| {
                let message = format!("`{text}` is not an expression: write `/{text}/`");
                ("replace", message)
            })?;
        let expression = RegexBuilder::new(expression)
            .size_limit(REGEX_BYTES)
            .build()
            .map_err(|error| {
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default();
                let reason = reason.trim_start_matches("error: ");
                let message = format!("`{text}` is not a regular expression: {reason}");
                ("replace", message)
            })?;
        if expression.is_match("") {
            let message = format!(
                "`{text}` also matches where there is nothing, and would put its text between all characters: use `+` \
                 instead of `*`"
            );
            return Err(("replace", message));
        }
        let with = pieces(&rule.with, expression.captures_len() - 1)?;
        Ok(Replace { expression, with })
    }
}

/// Reads `a$1b`; `groups` is how many groups there are.
fn pieces(text: &str, groups: usize) -> Result<Vec<Piece>, (&'static str, String)> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '$' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('$') => plain.push('$'),
            Some(digit @ '1'..='9') => {
                let group = digit as usize - '0' as usize;
                if group > groups {
                    let message = format!("`${digit}` is no group: the expression has {groups}");
                    return Err(("with", message));
                }
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(Piece::Group(group));
            }
            _ => {
                let message =
                    format!("`{text}`: `$1` to `$9` are groups; write `$$` for a dollar sign");
                return Err(("with", message));
            }
        }
    }
    pieces.push(Piece::Text(plain));
    Ok(pieces)
}

/// The body of an `AnyValue`.
pub fn any_value(scalar: &Scalar) -> Vec<u8> {
    let mut out = Vec::new();
    match scalar {
        Scalar::Text(text) => write::put_str(&mut out, any_value::STRING, text),
        Scalar::Bool(truth) => write::put_uint(&mut out, any_value::BOOL, u64::from(*truth)),
        Scalar::Int(number) => {
            write::put_uint(&mut out, any_value::INT, number.cast_unsigned());
        }
        Scalar::Double(number) => write::put_double(&mut out, any_value::DOUBLE, *number),
    }
    out
}

/// The body of a `KeyValue`.
pub fn key_value(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::put_str(&mut out, key_value::KEY, key);
    write::put_bytes(&mut out, key_value::VALUE, value);
    out
}

impl Transform {
    /// `None` when it added problems.
    pub(super) fn compile(
        transform: &document::Transform,
        path: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Transform> {
        let path = format!("{path}.transform");
        let matcher = Matcher::compile(&transform.matches, &format!("{path}.match"), problems)?;
        let mut steps = Vec::with_capacity(transform.ops.len());
        for (index, operation) in transform.ops.iter().enumerate() {
            let path = format!("{path}.ops[{index}].{}", operation.kind());
            steps.push(Step {
                change: compile(operation, &path, problems)?,
                merged: None,
            });
        }
        Some(Transform { matcher, steps })
    }
}

fn compile(operation: &Operation, path: &str, problems: &mut Vec<Problem>) -> Option<Change> {
    let text = |text: &String| any_value(&Scalar::Text(text.clone()));
    Some(match operation {
        Operation::RenameMetric(rename) => Change::Metric(NewName::of(rename)),
        Operation::RenameAttribute(rename) => Change::Rekey {
            from: rename.from.clone(),
            to: rename.to.clone(),
        },
        Operation::Set(set) => Change::Set {
            key: set.attribute.clone(),
            value: any_value(&set.value),
            level: set.level,
            overwrite: set.overwrite,
        },
        Operation::Copy(copy) => Change::Copy {
            from: copy.from.clone(),
            to: copy.to.clone(),
            level: copy.level,
        },
        Operation::Remove(remove) => Change::Remove {
            key: remove.attribute.clone(),
            constant: any_value(&remove.constant),
            level: remove.level,
        },
        Operation::Normalise(normalise) => Change::Normalise {
            key: normalise.attribute.clone(),
            how: Normalise {
                // The reader has refused what does not compile.
                rules: normalise
                    .rules
                    .iter()
                    .filter_map(|rule| Replace::compile(rule).ok())
                    .collect(),
                patterns: normalise.patterns.clone(),
            },
        },
        Operation::Classify(classify) => Change::Classify {
            key: classify.into.clone(),
            level: classify.level,
            rules: classify
                .rules
                .iter()
                .enumerate()
                .filter_map(|(index, class)| {
                    let path = format!("{path}.rules[{index}].match");
                    let matcher = Matcher::compile(&class.matches, &path, problems)?;
                    Some((matcher, text(&class.class)))
                })
                .collect(),
            otherwise: classify.otherwise.as_ref().map(text),
        },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(from: Option<&str>, to: &str) -> NewName {
        NewName::of(&document::RenameMetric {
            from: from.map(String::from),
            to: to.into(),
        })
    }

    #[test]
    fn metrics_get_the_name_that_is_written() {
        for (from, to, old, new) in [
            (None, "b", "a", Some("b")),
            (None, "app.{name}", "a", Some("app.a")),
            (None, "{name}", "a", None),
            (Some("a"), "b", "a", Some("b")),
            (Some("a"), "b", "aa", None),
            (Some("http_*"), "http.*", "http_x_y", Some("http.x_y")),
            (Some("*_total"), "*", "a_total", Some("a")),
            (Some("ab*ba"), "x*", "aba", None),
            (Some("ab*ba"), "x*", "abba", Some("x")),
            (Some("a*"), "b", "a1", Some("b")),
        ] {
            assert_eq!(
                name(from, to).apply(old).as_deref(),
                new,
                "{from:?} {to} {old}"
            );
        }
    }

    #[test]
    fn replacements_take_groups_and_say_what_is_wrong() {
        let compile = |replace: &str, with: &str| {
            Replace::compile(&Replacement {
                replace: replace.into(),
                with: with.into(),
            })
        };
        let rule = compile("/(a+)-([0-9]+)/", "$2$$$1").unwrap();
        let normalise = Normalise {
            rules: vec![rule],
            patterns: Vec::new(),
        };
        assert_eq!(normalise.apply("xaa-12 a-3").as_deref(), Some("x12$aa 3$a"));
        assert_eq!(normalise.apply("x"), None);
        for (replace, with, field, words) in [
            ("a", "", "replace", "/a/"),
            ("/(/", "", "replace", "regular expression"),
            ("/a*/", "", "replace", "nothing"),
            ("/a/", "$1", "with", "no group"),
            ("/a/", "$x", "with", "$$"),
        ] {
            let (at, message) = compile(replace, with).unwrap_err();
            assert_eq!(at, field);
            assert!(message.contains(words), "{message}");
        }
    }
}
