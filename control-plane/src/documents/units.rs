//! Durations, sizes and ratios as people write them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::Value;
use std::time::Duration;

/// A duration: `10s`, `5m`, `1h 30m`. Milliseconds inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

impl Span {
    pub const fn from_secs(secs: u64) -> Span {
        Span(secs * 1000)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = humantime::format_duration(Duration::from_millis(self.0)).to_string();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let written = Value::deserialize(deserializer)?;
        let span = written.as_str().map(humantime::parse_duration);
        let Some(Ok(span)) = span else {
            let wrong = format!("{written} is no duration: write 10s, 5m, 1h");
            return Err(D::Error::custom(wrong));
        };
        u64::try_from(span.as_millis())
            .map(Span)
            .map_err(|_| D::Error::custom(format!("{written} is too long")))
    }
}

/// A size: `300MiB`, `1GiB`, or a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// From the largest on.
const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let unit = UNITS
            .iter()
            .find(|(_, n)| self.0 >= *n && self.0.is_multiple_of(*n));
        serializer.serialize_str(&match unit {
            Some((name, n)) => format!("{}{name}", self.0 / n),
            None => self.0.to_string(),
        })
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        let bytes = match Written::deserialize(deserializer) {
            Ok(Written::Number(n)) => Some(n),
            Ok(Written::Text(text)) => {
                let text = text.trim();
                let unit = UNITS
                    .iter()
                    .find_map(|(name, n)| Some((text.strip_suffix(name)?, *n)));
                let (number, unit) = unit.unwrap_or((text, 1));
                let number = number.trim().parse::<u64>().ok();
                number.and_then(|n| n.checked_mul(unit))
            }
            Err(_) => None,
        };
        let wrong = || D::Error::custom("not a size: write 300MiB, 1GiB, or a number of bytes");
        bytes.map(Bytes).ok_or_else(wrong)
    }
}

/// A share: `0.2` or `20%`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio(pub f64);

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ratio, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        let value = match Written::deserialize(deserializer) {
            Ok(Written::Number(n)) => Some(n),
            Ok(Written::Text(text)) => match text.trim().strip_suffix('%') {
                Some(percent) => percent.trim().parse::<f64>().ok().map(|p| p / 100.0),
                None => text.trim().parse().ok(),
            },
            Err(_) => None,
        };
        value
            .filter(|v| v.is_finite())
            .map(Ratio)
            .ok_or_else(|| D::Error::custom("not a ratio: write 0.2 or 20%"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for (text, bytes) in [
            ("\"300MiB\"", 300 << 20),
            ("\"1GiB\"", 1 << 30),
            ("\"1025\"", 1025),
        ] {
            let read: Bytes = serde_json::from_str(text).unwrap();
            assert_eq!(read, Bytes(bytes));
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        assert_eq!(serde_json::from_str::<Bytes>("4096").unwrap(), Bytes(4096));
        for text in ["\"300MB\"", "\"-1\"", "\"99999999999GiB\"", "1.5"] {
            assert!(serde_json::from_str::<Bytes>(text).is_err(), "{text}");
        }
    }
}
