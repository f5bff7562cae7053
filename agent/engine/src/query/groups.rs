//! Groups of one innermost aggregation, and what was found in its open steps.

use super::partial::{Group, Labels, Partial, Step};
use hashbrown::HashMap;
use std::collections::VecDeque;

/// Groups by number, while a series is in them.
#[derive(Debug, Default)]
pub struct Groups {
    numbers: HashMap<Labels, u32>,
    list: Vec<(Labels, u32)>,
    free: Vec<u32>,
    /// Of sums over points: by step from the oldest open one, by group.
    open: VecDeque<HashMap<u32, Partial>>,
}

impl Groups {
    /// The group with these labels, for one more series. `None`: there are `most` already.
    pub fn join(&mut self, labels: &Labels, most: usize) -> Option<u32> {
        if let Some(number) = self.numbers.get(labels) {
            if let Some((_, series)) = self.list.get_mut(*number as usize) {
                *series += 1;
            }
            return Some(*number);
        }
        if self.numbers.len() >= most {
            return None;
        }
        let entry = (labels.clone(), 1);
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(place) = self.list.get_mut(number as usize) {
                    *place = entry;
                }
                number
            }
            None => {
                self.list.push(entry);
                self.list.len() as u32 - 1
            }
        };
        self.numbers.insert(labels.clone(), number);
        Some(number)
    }

    /// One series less. Nothing of the group is open: it has been silent for longer than a step is.
    pub fn leave(&mut self, number: u32) {
        let Some((labels, series)) = self.list.get_mut(number as usize) else {
            return;
        };
        *series = series.saturating_sub(1);
        if *series == 0 {
            self.numbers.remove(labels);
            self.free.push(number);
        }
    }

    /// Adds to a group's sum, `ahead` steps after the oldest open one.
    pub fn add(&mut self, ahead: usize, group: u32, adds: f64) {
        if self.open.len() <= ahead {
            self.open.resize_with(ahead + 1, HashMap::new);
        }
        if let Some(step) = self.open.get_mut(ahead) {
            step.entry(group).or_default().merge(&Partial::of(adds));
        }
    }

    /// Ends the oldest open step.
    pub fn close(&mut self) -> HashMap<u32, Partial> {
        self.open.pop_front().unwrap_or_default()
    }

    /// What was found, with labels; sorted by them.
    pub fn step(&self, inner: u32, end_ms: u64, found: &HashMap<u32, Partial>) -> Step {
        let mut groups: Vec<Group> = found
            .iter()
            .filter_map(|(number, value)| {
                let (labels, _) = self.list.get(*number as usize)?;
                Some(Group {
                    labels: labels.clone(),
                    value: *value,
                })
            })
            .collect();
        groups.sort_by(|a, b| a.labels.cmp(&b.labels));
        Step {
            inner,
            end_ms,
            groups,
        }
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        /// A label's name and value with their places in a map, twice.
        const LABELS: usize = 2 * 200;
        let open: usize = self.open.iter().map(HashMap::capacity).sum();
        self.list.len() * LABELS + open * size_of::<(u32, Partial)>()
    }
}
