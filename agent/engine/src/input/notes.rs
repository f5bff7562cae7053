//! Things worth counting about a point, as a set of bits.

/// A set of notes about one point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notes(u16);

/// Names of the notes, by bit; the reasons of a stage's `counts`.
pub const NAMES: [&str; 10] = [
    "duplicate",
    "out_of_order",
    "start_drift",
    "reset",
    "reset_anomaly",
    "baselined",
    "late",
    "future",
    "overflow",
    "negative",
];

impl Notes {
    /// Nothing to note.
    pub const NONE: Notes = Notes(0);
    /// Same time as the point before: adds 0.
    pub const DUPLICATE: Notes = Notes(1);
    /// Older than the point before: adds 0.
    pub const OUT_OF_ORDER: Notes = Notes(1 << 1);
    /// The start moved, but lies before the point before, and nothing fell: same epoch.
    pub const START_DRIFT: Notes = Notes(1 << 2);
    /// A value fell: the whole value is added.
    pub const RESET: Notes = Notes(1 << 3);
    /// A value fell although the start is known and unchanged.
    pub const RESET_ANOMALY: Notes = Notes(1 << 4);
    /// Nothing is known of what came before the point: it adds 0.
    pub const BASELINED: Notes = Notes(1 << 5);
    /// The point's window is closed: it counts in the one open now.
    pub const LATE: Notes = Notes(1 << 6);
    /// The point lies ahead of now: it counts in the window open now.
    pub const FUTURE: Notes = Notes(1 << 7);
    /// The point was folded into an overflow series.
    pub const OVERFLOW: Notes = Notes(1 << 8);
    /// A counter that begins below 0: its value would make a total fall, and adds 0.
    pub const NEGATIVE: Notes = Notes(1 << 9);

    /// Adds the other's notes.
    pub fn add(&mut self, other: Notes) {
        self.0 |= other.0;
    }

    /// These and the other's.
    pub const fn with(self, other: Notes) -> Notes {
        Notes(self.0 | other.0)
    }

    /// Whether any of the other's notes is among these.
    pub fn has(self, other: Notes) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The notes as positions in [`NAMES`].
    pub fn indices(self) -> impl Iterator<Item = usize> {
        (0..NAMES.len()).filter(move |i| self.0 & (1 << i) != 0)
    }
}
