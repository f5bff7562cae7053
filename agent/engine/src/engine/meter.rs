//! What the arms of an experiment cost. The engine has no clock: the node lends it one, and without one
//! nothing is measured. It is read where one arm ends and another begins, a few times a request, and only
//! while there are two arms.

use crate::report::Latency;

/// Two clocks, read at one moment, nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// CPU time of the calling thread.
    pub cpu: u64,
    /// Time that passes.
    pub wall: u64,
}

/// A clock.
pub type Clock = fn() -> Reading;

/// Reads the clock from boundary to boundary.
#[derive(Debug)]
pub struct Meter {
    clock: Option<Clock>,
    /// There are two arms.
    runs: bool,
    last: Reading,
    /// CPU time since the last cut that is no arm's own.
    shared: u64,
}

impl Meter {
    /// A meter that reads this clock.
    pub fn new(clock: Option<Clock>) -> Meter {
        Meter {
            clock,
            runs: false,
            last: Reading::default(),
            shared: 0,
        }
    }

    /// Measures from here on, or not.
    pub fn run(&mut self, runs: bool) {
        (self.runs, self.shared) = (runs && self.clock.is_some(), 0);
    }

    /// Whether anything is measured.
    pub fn runs(&self) -> bool {
        self.runs
    }

    /// What follows begins here.
    #[inline]
    pub fn start(&mut self) {
        if self.runs {
            self.lap();
        }
    }

    /// What went before was an arm's.
    #[inline]
    pub fn charge(&mut self, cost: &mut Cost) {
        if self.runs {
            let spent = self.lap();
            cost.cpu += spent.cpu;
            cost.request += spent.wall;
        }
    }

    /// What went before was for both.
    #[inline]
    pub fn share(&mut self) {
        if self.runs {
            self.shared += self.lap().cpu;
        }
    }

    fn lap(&mut self) -> Reading {
        let Some(clock) = self.clock else {
            return Reading::default();
        };
        let now = clock();
        let last = std::mem::replace(&mut self.last, now);
        Reading {
            cpu: now.cpu.saturating_sub(last.cpu),
            wall: now.wall.saturating_sub(last.wall),
        }
    }

    /// CPU time since the last cut that is no arm's own; `None` where it is not measured.
    pub fn shared(&self) -> Option<u64> {
        self.runs.then_some(self.shared)
    }

    /// Begins to count anew.
    pub fn reset(&mut self) {
        self.shared = 0;
    }
}

/// What one arm cost since the last cut.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// CPU time, nanoseconds.
    pub cpu: u64,
    /// Of the request at hand: time that passed.
    pub request: u64,
    /// Of every request that reached the arm.
    pub latency: Latency,
}

impl Cost {
    /// The request at hand has left the arm. One that did not reach it is not counted.
    pub fn request_done(&mut self, reached: bool) {
        let spent = std::mem::take(&mut self.request);
        if reached {
            self.latency.add(spent);
        }
    }
}
