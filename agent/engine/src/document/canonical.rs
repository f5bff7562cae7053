//! The canonical form of a document and its hash: two documents with one hash do the same.
//!
//! Canonical is JSON without spaces, keys sorted by their bytes, fields that equal their default left
//! out (so that a field added later changes no hash), durations in one unit, lists whose order means
//! nothing sorted. The name is part of it: a hash names one pipeline, and two pipelines that happen to
//! do the same keep their own histories. Description and comments are not.

use super::{Document, Stage};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

impl Document {
    /// The canonical form.
    pub fn canonical(&self) -> String {
        let mut document = self.clone();
        document.metadata.description.clear();
        compact(&document)
    }

    /// SHA-256 of the canonical form, lower-case hex.
    pub fn hash(&self) -> String {
        use std::fmt::Write;
        let mut text = String::with_capacity(64);
        for byte in Sha256::digest(self.canonical().as_bytes()) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl Stage {
    /// The canonical form of one stage, its id included.
    pub fn canonical(&self) -> String {
        compact(self)
    }
}

fn compact<T: Serialize>(value: &T) -> String {
    // These types have text keys and no number that JSON lacks: turning them into JSON cannot fail.
    let value = serde_json::to_value(value).unwrap_or_default();
    let mut out = String::new();
    write_sorted(&value, None, &mut out);
    out
}

/// Sorted and indented JSON, for files that people read.
pub(super) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write_sorted(value, Some(0), &mut out);
    out
}

/// Sorts keys itself: whether `serde_json::Map` does so depends on a feature that any crate of the
/// build may turn on.
fn write_sorted(value: &Value, indent: Option<usize>, out: &mut String) {
    let deeper = indent.map(|depth| depth + 1);
    let line = |depth: Option<usize>, out: &mut String| {
        if let Some(depth) = depth {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(deeper, out);
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(if indent.is_some() { ": " } else { ":" });
                write_sorted(value, deeper, out);
            }
            line(indent, out);
            out.push('}');
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(deeper, out);
                write_sorted(value, deeper, out);
            }
            line(indent, out);
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests;
