//! Lengths of time in documents: `10s`, `1m 30s`, `250ms`.

use crate::Nanos;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// A length of time, in nanoseconds; written in the largest unit up to seconds that divides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Nanos);

impl Span {
    /// A whole number of seconds.
    pub const fn seconds(seconds: u64) -> Span {
        Span(seconds * 1_000_000_000)
    }

    /// Reads `60s`, `1m`, `1m 30s`, `250ms`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Span, String> {
        let advice = "write a number and a unit, such as 250ms, 60s, 5m or 1h";
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("{text} has no unit: write {text}s for seconds"));
        }
        let duration = humantime::parse_duration(text)
            .map_err(|_| format!("`{text}` is not a length of time: {advice}"))?;
        // More than 64 bits hold is too long wherever a length is asked for.
        Ok(Span(
            Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX),
        ))
    }

    /// As a person says it: in the largest unit that divides it.
    pub(super) fn spoken(self) -> String {
        match self.0 / 1_000_000_000 {
            seconds if seconds == 0 || !self.0.is_multiple_of(1_000_000_000) => self.to_string(),
            seconds if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
            seconds if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
            seconds => format!("{seconds}s"),
        }
    }

    /// The same length for the clock and timers of the process around the engine.
    pub const fn duration(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
        match units.iter().find(|(unit, _)| self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}ns", self.0),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A length of time: a number and a unit, such as 250ms, 60s, 5m, 1h or 1m 30s.",
            "examples": ["60s", "5m", "1h"],
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn equal_lengths_are_written_alike() {
        for text in ["60s", "1m", "60000ms", "30s 30s"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), "60s", "{text}");
        }
        assert_eq!(Span::parse("1500ms").unwrap().to_string(), "1500ms");
        assert_eq!(Span::parse("0s").unwrap().to_string(), "0s");
        assert_eq!(Span(1).to_string(), "1ns");
    }

    #[test]
    fn a_number_without_unit_is_told_its_unit() {
        assert_eq!(
            Span::parse("60"),
            Err("60 has no unit: write 60s for seconds".into())
        );
        for text in ["", "abc", "-5s", "5 parsecs", "99999999999999999999h"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }
}
