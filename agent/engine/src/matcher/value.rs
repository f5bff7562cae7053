//! Attribute values as texts (`42`, `true`, `1.5`) and as numbers, without allocating.

use super::glob::Glob;
use super::pattern::Pattern;
use crate::wire::AnyValue;
use std::fmt::{self, Write};

/// Whether one of the patterns matches the value's text. A list, a mapping, bytes and an empty value
/// have no text: only `*` matches them.
pub(super) fn matches(patterns: &[Pattern], value: AnyValue<'_>) -> bool {
    match value {
        AnyValue::String(text) => super::any(patterns, text),
        AnyValue::Bool(truth) => super::any(patterns, if truth { "true" } else { "false" }),
        AnyValue::Int(number) => super::any(patterns, Text::of(number).as_str()),
        AnyValue::Double(number) => super::any(patterns, Text::of(number).as_str()),
        AnyValue::Empty | AnyValue::Array(_) | AnyValue::KvList(_) | AnyValue::Bytes(_) => patterns
            .iter()
            .any(|pattern| matches!(pattern, Pattern::Glob(glob) if *glob == Glob::any())),
    }
}

/// The number of an int (beyond 2^53 its last digits are lost), a double, or a text that is a finite
/// decimal number (`12`, `-0.5`, `1e3`; no spaces, no unit).
pub(super) fn number(value: AnyValue<'_>) -> Option<f64> {
    match value {
        AnyValue::Int(number) => Some(number as f64),
        AnyValue::Double(number) => Some(number),
        AnyValue::String(text) => number_of(text),
        _ => None,
    }
}

/// The number that a text is, if it is one.
pub fn number_of(text: &str) -> Option<f64> {
    // Rust reads words such as `inf`, too.
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Longest text of a double: 5e-324 in full has 326 characters, one more for its sign.
const LONGEST: usize = 336;

/// A short text on the stack.
struct Text {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Text {
    fn of(value: impl fmt::Display) -> Text {
        let mut text = Text {
            bytes: [0; LONGEST],
            length: 0,
        };
        // Every number fits; what did not would be cut and match nothing it should not.
        let _ = write!(text, "{value}");
        text
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl Write for Text {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let end = self.length + piece.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(piece.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn holds(pattern: &str, value: AnyValue<'_>) -> bool {
        matches(&[Pattern::parse(pattern).unwrap()], value)
    }

    #[test]
    fn values_match_by_their_text() {
        assert!(holds("nginx", AnyValue::String("nginx")));
        assert!(holds("42", AnyValue::Int(42)));
        assert!(holds("-9223372036854775808", AnyValue::Int(i64::MIN)));
        assert!(holds("5*", AnyValue::Int(503)));
        assert!(holds("true", AnyValue::Bool(true)));
        assert!(holds("1.5", AnyValue::Double(1.5)));
        assert!(holds("1", AnyValue::Double(1.0)));
        assert!(!holds("42", AnyValue::String("421")));
    }

    #[test]
    fn the_longest_numbers_have_a_text() {
        for number in [f64::MIN_POSITIVE, -5e-324, f64::MAX, f64::MIN] {
            assert_eq!(Text::of(number).as_str(), number.to_string());
        }
    }

    #[test]
    fn ints_doubles_and_numeric_texts_are_numbers() {
        for (value, expected) in [
            (AnyValue::Int(-3), Some(-3.0)),
            (AnyValue::Double(0.5), Some(0.5)),
            (AnyValue::String("12"), Some(12.0)),
            (AnyValue::String("-1.5e3"), Some(-1500.0)),
            (AnyValue::String("12 "), None),
            (AnyValue::String("12ms"), None),
            (AnyValue::String("inf"), None),
            (AnyValue::String("NaN"), None),
            (AnyValue::String(""), None),
            (AnyValue::Bool(true), None),
            (AnyValue::Bytes(b"1"), None),
            (AnyValue::Empty, None),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn what_has_no_text_is_matched_only_by_any() {
        assert!(holds("*", AnyValue::Bytes(b"x")));
        assert!(holds("*", AnyValue::Empty));
        assert!(!holds("", AnyValue::Empty));
        assert!(!holds("?*", AnyValue::Array(b"")));
    }
}
