//! `maxExportErrors`: left out, `null`, or a number are three things.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How failed exports are held against the candidate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExportErrors {
    /// Nothing is written: the judge compares them with the baseline's, and agents do not act on them.
    #[default]
    Compared,
    /// `null`: nobody looks at them.
    NotJudged,
    /// A number: each agent ends the candidate beyond it, whatever the baseline's do.
    AtMost(u64),
}

impl ExportErrors {
    /// The number that is written.
    pub fn limit(self) -> Option<u64> {
        match self {
            ExportErrors::AtMost(limit) => Some(limit),
            ExportErrors::Compared | ExportErrors::NotJudged => None,
        }
    }

    /// Nothing is written.
    pub fn is_compared(&self) -> bool {
        *self == ExportErrors::Compared
    }
}

impl Serialize for ExportErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.limit().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ExportErrors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ExportErrors, D::Error> {
        let written = Option::<u64>::deserialize(deserializer)?;
        Ok(written.map_or(ExportErrors::NotJudged, ExportErrors::AtMost))
    }
}
