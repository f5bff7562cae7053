//! What was told when: `target_info` and metadata need no repeating with every request.

use std::collections::HashMap;

/// They are repeated this often, in milliseconds of points' time; Prometheus itself repeats metadata
/// every minute, and looks back five for a series.
const REPEAT: i64 = 60_000;
/// Most resources and families that are remembered as told.
const REMEMBERED: usize = 100_000;

/// When a resource or family was last told of.
#[derive(Debug, Default)]
pub struct Told(HashMap<String, i64>);

impl Told {
    /// Whether it is time to tell.
    pub fn due(&self, key: &str, time: i64) -> bool {
        self.0.get(key).is_none_or(|last| time >= last + REPEAT)
    }

    /// It was told.
    pub fn tell(&mut self, key: String, time: i64) {
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, last| *last + REPEAT > time);
        }
        self.0.insert(key, time);
    }
}
