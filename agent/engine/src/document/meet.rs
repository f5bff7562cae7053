//! Whether a series can meet two conditions, and whether some text surely does.

use super::{Condition, Match, Patterns};
use crate::matcher::pattern::Pattern;
use crate::matcher::value::number_of;

impl Match {
    /// Whether some series may meet both rules. The answer can be a false yes, never a false no.
    pub(crate) fn may_meet(&self, other: &Match) -> bool {
        let both = self.types.iter().filter(|t| other.types.contains(t));
        let kinds = Match {
            types: match (self.types.is_empty(), other.types.is_empty()) {
                (true, _) => other.types.clone(),
                (_, true) => self.types.clone(),
                _ => both.copied().collect(),
            },
            temporality: self.temporality.or(other.temporality),
            monotonic: self.monotonic.or(other.monotonic),
            ..Match::default()
        };
        let apart = kinds.types.is_empty() && !self.types.is_empty() && !other.types.is_empty();
        let texts = |a: &Option<Patterns>, b: &Option<Patterns>| {
            a.as_ref()
                .zip(b.as_ref())
                .is_none_or(|(a, b)| a.may_meet(b))
        };
        !apart
            && kinds.never().is_none()
            && same(self.temporality, other.temporality)
            && same(self.monotonic, other.monotonic)
            && texts(&self.metric, &other.metric)
            && texts(&self.unit, &other.unit)
            && self.attributes.iter().all(|(key, condition)| {
                let other = other.attributes.get(key);
                other.is_none_or(|other| condition.may_meet(other))
            })
    }
}

/// Whether both can be, where nothing is anything.
pub(crate) fn same<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
    a.is_none() || b.is_none() || a == b
}

impl Condition {
    /// Whether one attribute may meet both conditions.
    pub(crate) fn may_meet(&self, other: &Condition) -> bool {
        match (self, other) {
            (Condition::Presence(a), Condition::Presence(b)) => a == b,
            (Condition::Presence(presence), _) | (_, Condition::Presence(presence)) => {
                presence.exists
            }
            (Condition::Number(a), Condition::Number(b)) => a.meets(b),
            (Condition::Text(a), Condition::Text(b)) => a.may_meet(b),
            (Condition::Text(texts), Condition::Number(comparison))
            | (Condition::Number(comparison), Condition::Text(texts)) => {
                texts.texts().iter().any(|text| match Pattern::parse(text) {
                    Ok(Pattern::Exact(text)) => {
                        number_of(&text).is_some_and(|number| comparison.holds(number))
                    }
                    _ => true,
                })
            }
        }
    }
}

impl Patterns {
    fn parsed(&self) -> Vec<Pattern> {
        let texts = self.texts().iter();
        texts.filter_map(|text| Pattern::parse(text).ok()).collect()
    }

    /// Whether one of them matches this text.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.parsed().iter().any(|pattern| pattern.matches(text))
    }

    /// Whether some text may match both. Of regular expressions the answer can be a false yes.
    pub(crate) fn may_meet(&self, other: &Patterns) -> bool {
        let (a, b) = (self.parsed(), other.parsed());
        a.iter().any(|a| b.iter().any(|b| a.may_intersect(b)))
    }

    /// Whether some text surely matches both. Of regular expressions the answer can be a false no.
    pub(crate) fn surely_meet(&self, other: &Patterns) -> bool {
        let sure = |a: &str, b: &str| match (Pattern::parse(a), Pattern::parse(b)) {
            (Ok(Pattern::Exact(text)), Ok(pattern)) | (Ok(pattern), Ok(Pattern::Exact(text))) => {
                pattern.matches(&text)
            }
            (Ok(Pattern::Glob(a)), Ok(Pattern::Glob(b))) => a.intersects(&b),
            _ => a == b || a == "*" || b == "*",
        };
        let texts = self.texts().iter();
        texts.into_iter().any(|a| {
            let mut others = other.texts().iter();
            others.any(|b| sure(a, b))
        })
    }
}
