//! The one place where YAML (and JSON, which is YAML) is read: bounded, duplicate keys refused, every
//! mistake with its path. Pipelines are read by `document`; other documents through [`from_yaml`].

mod node;
mod typed;
mod words;

pub use node::Node;
pub use typed::{Mended, from_yaml, mend};
pub(crate) use words::number_in;

use crate::document::Problem;
use node::Budget;
use serde::Deserialize;
use serde::de::DeserializeSeed;

/// Largest document, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting in brackets. The YAML scanner takes time quadratic in it before it refuses.
pub const MAX_BRACKETS: usize = 256;
/// Most values in a document, aliases followed: what a bomb would pass.
pub const MAX_NODES: usize = 100_000;

/// Reads one document into a tree.
///
/// # Errors
/// What makes the text no YAML, too large, or several documents; else every key that is repeated, not
/// a text, or a merge key.
pub fn read(text: &str) -> Result<Node, Vec<Problem>> {
    let text = text.trim_start_matches('\u{feff}');
    let whole = |message: String| vec![Problem::new("", message)];
    if text.len() > MAX_BYTES {
        return Err(whole(format!(
            "the document has {} bytes; at most {MAX_BYTES} are read",
            text.len()
        )));
    }
    // An apostrophe may be a quote or not, so each reading of the quotes is tried.
    if ["", "\"", "'", "\"'"]
        .iter()
        .any(|quotes| brackets(text, quotes) > MAX_BRACKETS)
    {
        return Err(whole(format!(
            "the document is nested more than {MAX_BRACKETS} brackets deep"
        )));
    }
    if text.trim_start().starts_with(['{', '[']) {
        // YAML knows fewer ways to lay out JSON than JSON does (tabs, long keys).
        let budget = Budget::new(MAX_NODES);
        let mut json = serde_json::Deserializer::from_str(text);
        if let Ok(raw) = budget.deserialize(&mut json)
            && json.end().is_ok()
        {
            return raw.check();
        }
    }
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(first) = documents.next() else {
        return Err(whole("the document is empty".into()));
    };
    let raw = Budget::new(MAX_NODES)
        .deserialize(first)
        .map_err(|error| whole(error.to_string()))?;
    if matches!(raw, node::Raw::Leaf(Node::Null)) {
        return Err(whole("the document is empty".into()));
    }
    match documents.next().map(Node::is_something) {
        Some(true) => Err(whole(
            "the text holds several documents (`---`); give one".into(),
        )),
        _ => raw.check(),
    }
}

/// Most brackets open at once, those between these quotes left out.
fn brackets(text: &str, quotes: &str) -> usize {
    let (mut open, mut deepest, mut inside) = (0_usize, 0, None);
    for c in text.chars() {
        match (inside, c) {
            (Some(quote), c) if c == quote => inside = None,
            (Some(_), _) => {}
            (None, c) if quotes.contains(c) => inside = Some(c),
            (None, '[' | '{') => {
                open += 1;
                deepest = deepest.max(open);
            }
            (None, ']' | '}') => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl Node {
    fn is_something(document: serde_yaml::Deserializer<'_>) -> bool {
        // A document that cannot be read is something, too.
        !matches!(
            serde_yaml::Value::deserialize(document),
            Ok(serde_yaml::Value::Null)
        )
    }
}

/// The documents of a text, parted by lines that begin with `---`; those that hold only comments are
/// left out. Line numbers in a part count from its own beginning.
pub fn split_documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.trim_start_matches('\u{feff}').lines() {
        let marker = |mark: &str| {
            line.strip_prefix(mark)
                .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        };
        if let Some(rest) = marker("---") {
            // What follows the marker is the document's first line.
            documents.push(format!("{}\n", rest.trim_start()));
        } else if marker("...").is_some() {
            documents.push(String::new());
        } else if let Some(last) = documents.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    documents.retain(|document| {
        document.lines().any(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#') && !line.starts_with('%')
        })
    });
    documents
}

/// `kind` of a document, where it has one.
pub fn kind_of(text: &str) -> Option<String> {
    match read(text).ok()?.get("kind")? {
        Node::Text(kind) => Some(kind.clone()),
        _ => None,
    }
}

/// A key as a step of a path: `.name`, or `["http.route"]` where it is not a plain word.
pub fn path_key(key: &str) -> String {
    let plain = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain {
        format!(".{key}")
    } else {
        format!("[{}]", serde_json::Value::from(key))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_parted_at_their_markers() {
        let text = "# a comment\n---\nkind: A\ntext: |\n  ---\n--- {kind: B}\n---\n# nothing\n...\n---\nkind: C\n";
        let parts = split_documents(text);
        let kinds: Vec<_> = parts.iter().map(|p| kind_of(p).unwrap()).collect();
        assert_eq!(kinds, ["A", "B", "C"]);
        assert!(split_documents("# only a comment\n").is_empty());
        assert_eq!(split_documents("kind: A").len(), 1);
    }

    #[test]
    fn every_repeated_key_is_named() {
        let problems = read("a: 1\na: 2\nb:\n  - {c: 1, d: 2, c: 3}\n? [x]\n: 1\n").unwrap_err();
        let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["a", "b[0].c", ""]);
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_string();
        for level in 1..9 {
            let before = level - 1;
            let items = vec![format!("*a{before}"); 9].join(",");
            text += &format!("a{level}: &a{level} [{items}]\n");
        }
        let problems = read(&text).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].message.contains("limit") || problems[0].message.contains("values"),
            "{problems:?}"
        );
        for deep in ["[", "{a: ", "{\"}\": ", "{'}': "] {
            assert!(read(&deep.repeat(100_000)).is_err());
        }
        assert!(read(&" ".repeat(MAX_BYTES + 1)).is_err());
    }

    #[test]
    fn several_documents_are_not_one() {
        assert!(
            read("a: 1\n---\nb: 1\n").unwrap_err()[0]
                .message
                .contains("several")
        );
        assert!(read("---\na: 1\n---\n").is_ok());
        assert!(read("").is_err());
    }

    #[test]
    fn json_with_tabs_is_read() {
        let node = read("{\n\t\"kind\":\t\"A\"\n}\n").unwrap();
        assert!(node.get("kind").is_some());
    }
}
