//! The wall clock of the data path: it never goes back.

use phoenix_engine::Nanos;
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall clock time now, Unix nanoseconds.
pub fn wall() -> Nanos {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(Nanos::MAX))
}

/// A clock that stands still when the wall clock is set back.
#[derive(Debug, Default)]
pub struct Clock {
    last: Nanos,
}

impl Clock {
    /// Time now, never before an earlier answer.
    pub fn now(&mut self) -> Nanos {
        self.last = self.last.max(wall());
        self.last
    }
}
