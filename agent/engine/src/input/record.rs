//! Observations of a whole request, kept until each arm takes it. Reused: what histograms add changes
//! places with an older one, nothing is copied.

use super::{Increment, Notes, Observation, Scratch};
use crate::Nanos;
use crate::aggregate::explicit::Explicit;
use crate::aggregate::exponential::Exponential;
use crate::aggregate::number::Total;

/// An observation, by number.
#[derive(Debug, Clone, Copy)]
struct Recorded {
    adds: Adds,
    notes: Notes,
    advanced: bool,
    new_epoch: bool,
    gap: Nanos,
}

#[derive(Debug, Clone, Copy)]
enum Adds {
    None,
    Number(Total),
    Summary(Total, Total),
    Explicit(usize),
    Exponential(usize),
    NotANumber,
    Unfit,
}

/// Observations of one request.
#[derive(Debug, Default)]
pub struct Records {
    list: Vec<Recorded>,
    explicit: Vec<Explicit>,
    exponential: Vec<Exponential>,
    /// How many of both are of this request.
    used: (usize, usize),
}

impl Records {
    /// Begins with another request.
    pub fn clear(&mut self) {
        self.list.clear();
        self.used = (0, 0);
    }

    /// Keeps what was observed; its number. `scratch` is the one that was observed with.
    pub fn keep(&mut self, seen: Seen, scratch: &mut Scratch) -> u32 {
        let adds = match seen.0.adds {
            Adds::Explicit(_) => {
                let place = self.used.0;
                self.explicit
                    .resize_with(self.explicit.len().max(place + 1), Explicit::default);
                std::mem::swap(&mut self.explicit[place], &mut scratch.explicit);
                self.used.0 += 1;
                Adds::Explicit(place)
            }
            Adds::Exponential(_) => {
                let place = self.used.1;
                let room = self.exponential.len().max(place + 1);
                self.exponential.resize_with(room, Exponential::default);
                std::mem::swap(&mut self.exponential[place], &mut scratch.exponential);
                self.used.1 += 1;
                Adds::Exponential(place)
            }
            adds => adds,
        };
        self.list.push(Recorded { adds, ..seen.0 });
        (self.list.len() - 1) as u32
    }

    /// The observation of this number.
    pub fn get(&self, number: u32) -> Option<Observation<'_>> {
        let kept = self.list.get(number as usize)?;
        let increment = match kept.adds {
            Adds::None => Increment::None,
            Adds::Number(total) => Increment::Number(total),
            Adds::Summary(sum, count) => Increment::Summary(sum, count),
            Adds::Explicit(place) => Increment::Explicit(self.explicit.get(place)?),
            Adds::Exponential(place) => Increment::Exponential(self.exponential.get(place)?),
            Adds::NotANumber => Increment::NotANumber,
            Adds::Unfit => Increment::Unfit,
        };
        Some(Observation {
            increment,
            notes: kept.notes,
            advanced: kept.advanced,
            new_epoch: kept.new_epoch,
            gap: kept.gap,
        })
    }
}

/// An observation without what lies in the scratch.
#[derive(Debug, Clone, Copy)]
pub struct Seen(Recorded);

impl From<Observation<'_>> for Seen {
    fn from(seen: Observation<'_>) -> Seen {
        let adds = match seen.increment {
            Increment::None => Adds::None,
            Increment::Number(total) => Adds::Number(total),
            Increment::Summary(sum, count) => Adds::Summary(sum, count),
            Increment::Explicit(_) => Adds::Explicit(0),
            Increment::Exponential(_) => Adds::Exponential(0),
            Increment::NotANumber => Adds::NotANumber,
            Increment::Unfit => Adds::Unfit,
        };
        Seen(Recorded {
            adds,
            notes: seen.notes,
            advanced: seen.advanced,
            new_epoch: seen.new_epoch,
            gap: seen.gap,
        })
    }
}
