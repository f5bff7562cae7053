//! Which attribute keys the series that an arm wrote carry, and with how many values.
//!
//! Counted in the window that warms an experiment up, which is compared with nothing: looking at every
//! series' attributes would otherwise be a cost of the arm that writes more of them.

use crate::identity::put_value;
use crate::report::AttributeFigures;
use crate::view::SeriesView;
use hashbrown::{HashMap, HashSet};
use xxhash_rust::xxh3::xxh3_64;

/// Most keys that are told apart.
const KEYS: usize = 1024;
/// Most values of all keys together that are told apart.
const VALUES: usize = 1 << 16;

/// Attribute keys since the last cut.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    keys: HashMap<Box<str>, Count>,
    values: usize,
    value: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
struct Count {
    series: u64,
    /// The last series that was counted: the same key may be on its resource, too.
    last: Option<u128>,
    /// Hashes; `None` once there was no room for another.
    values: Option<HashSet<u64>>,
}

impl Attributes {
    /// Counts the attributes of a series; each series once.
    pub fn add(&mut self, series: &SeriesView<'_>, identity: u128) {
        let point = series.point_attributes();
        let outer = series
            .scope_attributes()
            .chain(series.resource_attributes());
        for (key, value) in point.chain(outer) {
            if !self.keys.contains_key(key) {
                if self.keys.len() >= KEYS {
                    continue;
                }
                let count = Count {
                    values: Some(HashSet::new()),
                    ..Count::default()
                };
                self.keys.insert(key.into(), count);
            }
            let Some(count) = self.keys.get_mut(key) else {
                continue;
            };
            if count.last.replace(identity) == Some(identity) {
                continue;
            }
            count.series += 1;
            self.value.clear();
            put_value(&mut self.value, value);
            let hash = xxh3_64(&self.value);
            let Some(values) = count
                .values
                .as_mut()
                .filter(|values| !values.contains(&hash))
            else {
                continue;
            };
            if self.values < VALUES {
                values.insert(hash);
                self.values += 1;
            } else {
                count.values = None;
            }
        }
    }

    /// The keys, those on most series first. `shared`: other workers may have seen the same values.
    pub fn figures(&self, shared: bool) -> Vec<AttributeFigures> {
        let of = |key: &str, count: &Count| AttributeFigures {
            key: key.to_string(),
            series: count.series,
            values: count.values.as_ref().map(|values| values.len() as u64),
            seen: count.values.clone().filter(|_| shared),
        };
        let mut rows: Vec<AttributeFigures> = self
            .keys
            .iter()
            .map(|(key, count)| of(key, count))
            .collect();
        AttributeFigures::sort(&mut rows);
        rows
    }
}
