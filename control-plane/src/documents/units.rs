//! Durations and ratios as people write them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
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
        let text = String::deserialize(deserializer)?;
        let span = humantime::parse_duration(&text)
            .map_err(|_| D::Error::custom(format!("{text:?} is no duration: write 10s, 5m, 1h")))?;
        u64::try_from(span.as_millis())
            .map(Span)
            .map_err(|_| D::Error::custom(format!("{text:?} is too long")))
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
