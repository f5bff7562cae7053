//! A filter of whole entities as the engine runs it.

use crate::Nanos;
use crate::document::{self, Comparison, How, Matcher, Problem};
use crate::identity::entity_seed;
use crate::stage::entity::{By, Term};

/// Entities are dropped while they meet every condition.
#[derive(Debug)]
pub struct Entities {
    /// Which series of an entity are dropped.
    pub matcher: Matcher,
    /// Attribute keys that make an entity, sorted.
    pub entity: Vec<String>,
    /// Seed of the entity hash.
    pub seed: u64,
    /// What is measured, by condition.
    pub terms: Vec<Term>,
    /// What must hold of it, by condition.
    pub bounds: Vec<Comparison>,
    /// Windows in a row, > 0.
    pub windows: u32,
    /// Length of a window, > 0.
    pub interval: Nanos,
    /// How long after its end a window waits.
    pub lateness: Nanos,
}

impl Entities {
    pub(super) fn compile(
        filter: &document::Entities,
        id: &str,
        path: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Entities> {
        let matcher = Matcher::compile(&filter.matches, &format!("{path}.filter.match"), problems);
        let mut terms = Vec::with_capacity(filter.drop_when.len());
        for (index, when) in filter.drop_when.iter().enumerate() {
            let path = format!("{path}.filter.drop_when[{index}]");
            terms.extend(Some(Term {
                matcher: Matcher::compile(&when.series, &path, problems)?,
                by: match when.by {
                    How::Value => By::Value,
                    How::Rate => By::Rate,
                },
                weight: 1.0,
            }));
        }
        let mut entity = filter.entity.clone();
        entity.sort_unstable();
        let interval = filter.interval.0.max(1);
        Some(Entities {
            matcher: matcher?,
            entity,
            seed: entity_seed(id),
            terms,
            bounds: filter
                .drop_when
                .iter()
                .map(|when| when.comparison())
                .collect(),
            windows: u32::try_from(filter.lasting.0 / interval)
                .unwrap_or(u32::MAX)
                .max(1),
            interval,
            lateness: document::Aggregate::lateness().0,
        })
    }
}
