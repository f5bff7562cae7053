//! Any serde type from YAML, with the path of each mistake.
//!
//! serde stops at the first mistake. To find the others, what is wrong is taken out of the tree and
//! the rest is read again, until it reads or nothing more can be taken out.

use super::Node;
use crate::document::Problem;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

/// Mistakes of one document that are looked for.
const MAX_PROBLEMS: usize = 50;

/// A document with what is wrong taken out of it.
#[derive(Debug)]
pub struct Mended<T> {
    /// What is left, missing fields filled in; `None`: it cannot be read at all.
    pub read: Option<T>,
    /// Every problem that could be found, each with its path.
    pub problems: Vec<Problem>,
    /// Where a value was taken out or filled in: what stands there now nobody wrote.
    pub touched: Vec<String>,
}

/// Reads one document of any type.
///
/// # Errors
/// Every problem that could be found, each with its path.
pub fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T, Vec<Problem>> {
    let mended = mend(text);
    match mended.read {
        Some(read) if mended.problems.is_empty() => Ok(read),
        _ => Err(mended.problems),
    }
}

/// Reads one document of any type, and goes on where something is wrong.
pub fn mend<T: DeserializeOwned>(text: &str) -> Mended<T> {
    let mut mended = Mended {
        read: None,
        problems: Vec::new(),
        touched: Vec::new(),
    };
    let mut value = match super::read(text) {
        Ok(node) => to_value(node),
        Err(problems) => return Mended { problems, ..mended },
    };
    for _ in 0..MAX_PROBLEMS {
        let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(read) => {
                mended.read = Some(read);
                break;
            }
            Err(error) => error,
        };
        let text = error.inner().to_string();
        let (steps, message) = explain(steps(error.path()), &text);
        let path = join(&steps);
        // A field may be missing only because its wrong value was taken out, or the one around it filled in.
        let known = |t: &String| path == *t || path.starts_with(&format!("{t}."));
        if !mended.touched.iter().any(known) {
            mended.problems.push(Problem::new(path.clone(), message));
        }
        let missing = text.starts_with("missing field");
        let goes_on = match steps.last() {
            // Taking an item out of a list would move those after it, and their paths.
            Some(Step::Index(_)) => fill_in::<T>(&mut value, &steps),
            _ if missing => fill_in::<T>(&mut value, &steps),
            _ => take_out(&mut value, &steps),
        };
        if !goes_on {
            break;
        }
        if !text.starts_with("unknown field") {
            mended.touched.push(path);
        }
    }
    mended
}

enum Step {
    Key(String),
    Index(usize),
}

fn steps(path: &Path) -> Vec<Step> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// serde says what field is missing or unknown in its text only; that belongs into the path.
fn explain(mut steps: Vec<Step>, text: &str) -> (Vec<Step>, String) {
    let quoted = |prefix: &str| -> Option<(String, String)> {
        let rest = text.strip_prefix(prefix)?;
        let (name, rest) = rest.split_once('`')?;
        Some((name.to_string(), rest.trim_start_matches(", ").to_string()))
    };
    if let Some((field, _)) = quoted("missing field `") {
        steps.push(Step::Key(field.clone()));
        return (steps, format!("`{field}` is missing"));
    }
    if let Some((field, rest)) = quoted("unknown field `") {
        if !matches!(steps.last(), Some(Step::Key(key)) if *key == field) {
            steps.push(Step::Key(field.clone()));
        }
        return (steps, format!("there is no field `{field}` here: {rest}"));
    }
    (steps, super::words::plain(text))
}

fn join(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) => path += &super::path_key(key),
            Step::Index(index) => path += &format!("[{index}]"),
        }
    }
    path.strip_prefix('.').map(String::from).unwrap_or(path)
}

/// Puts a value of the right type in the place of a missing or wrong one, so that what follows is looked at.
fn fill_in<T: DeserializeOwned>(value: &mut Value, steps: &[Step]) -> bool {
    let mut fillers = vec![
        Value::from(""),
        Value::from(1),
        Value::from(false),
        Value::Array(Vec::new()),
        Value::Object(serde_json::Map::new()),
    ];
    let missing = join(steps);
    let mut tried = 0;
    while let Some(filler) = fillers.get(tried).cloned() {
        tried += 1;
        if !put(value, steps, filler) {
            return false;
        }
        let Err(error) = serde_path_to_error::deserialize::<_, T>(value.clone()) else {
            return true;
        };
        let text = error.inner().to_string();
        let (at, _) = explain(self::steps(error.path()), &text);
        let at = join(&at);
        // What lacks fields of its own is of the right type.
        let deeper = at.starts_with(&format!("{missing}.")) && text.starts_with("missing field");
        if deeper || !at.starts_with(&missing) {
            return true;
        }
        // The first of the words that may stand there.
        let words = text.split_once("expected ").map(|(_, words)| words);
        let word = words.and_then(|words| words.split('`').nth(1));
        let word = word.map(Value::from).filter(|word| !fillers.contains(word));
        fillers.extend(word);
    }
    false
}

fn put(value: &mut Value, steps: &[Step], new: Value) -> bool {
    let Some((last, parents)) = steps.split_last() else {
        return false;
    };
    match (find(value, parents), last) {
        (Some(Value::Object(map)), Step::Key(key)) => {
            map.insert(key.clone(), new);
            true
        }
        (Some(Value::Array(list)), Step::Index(index)) => match list.get_mut(*index) {
            Some(item) => {
                *item = new;
                true
            }
            None => false,
        },
        _ => false,
    }
}

fn take_out(value: &mut Value, steps: &[Step]) -> bool {
    match steps.split_last() {
        Some((Step::Key(key), parents)) => match find(value, parents) {
            Some(Value::Object(map)) => map.remove(key).is_some(),
            _ => false,
        },
        _ => false,
    }
}

fn find<'a>(value: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    steps.iter().try_fold(value, |at, step| match (at, step) {
        (Value::Object(map), Step::Key(key)) => map.get_mut(key),
        (Value::Array(list), Step::Index(index)) => list.get_mut(*index),
        _ => None,
    })
}

fn to_value(node: Node) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(truth) => truth.into(),
        Node::Int(number) => match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) => number.into(),
            _ => (number as f64).into(),
        },
        Node::Float(number) => number.into(),
        Node::Text(text) => text.into(),
        Node::List(items) => items.into_iter().map(to_value).collect(),
        Node::Map(entries) => entries.into_iter().map(|(k, v)| (k, to_value(v))).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, dead_code)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: String,
        #[serde(default)]
        percent: Option<f64>,
        inner: Inner,
        #[serde(default)]
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        count: u32,
    }

    #[test]
    fn a_right_document_is_read() {
        let outer: Outer = from_yaml("name: a\ninner: {count: 3}\nlist: [{count: 4}]\n").unwrap();
        assert_eq!((outer.inner.count, outer.list.len()), (3, 1));
    }

    #[test]
    fn every_mistake_is_found_with_its_path() {
        let text = "nam: a\npercent: many\ninner: {count: -1, other: 2}\n";
        let problems = from_yaml::<Outer>(text).unwrap_err();
        let mut paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            ["inner.count", "inner.other", "nam", "name", "percent"]
        );
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        One,
        Two,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Words {
        word: Word,
        list: Vec<Word>,
        inner: Inner,
        last: u32,
    }

    #[test]
    fn a_word_that_is_none_and_a_struct_that_is_missing_do_not_hide_what_follows() {
        let mended = mend::<Words>("word: three\nlist: [one, four, 5, two]\nlast: x\n");
        let mut paths: Vec<_> = mended.problems.iter().map(|p| p.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["inner", "last", "list[1]", "list[2]", "word"]);
        assert!(mended.touched.contains(&"word".to_owned()));
        assert_eq!(mended.read.unwrap().list.len(), 4);
    }

    #[test]
    fn a_missing_field_is_named() {
        let problems = from_yaml::<Outer>("inner: {count: 1}\n").unwrap_err();
        assert_eq!(problems[0].path, "name");
    }
}
