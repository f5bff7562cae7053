//! What a saving is worth: price books, and estimates of the saving of a month under each.
//!
//! A book is a dated YAML document (`prices/*.yaml`) that says what a vendor counts and what it asks
//! for it. Nothing is priced that a book has no figure for: it says so instead. Every estimate is one,
//! by list prices of a date, extrapolated from what was seen.

mod book;
mod estimate;
mod shipped;
mod usage;

pub use book::{Bills, Charge, Counts, PriceBook, Tier, Times, read};
pub use estimate::{Charged, Estimate, Range, estimate};
pub use shipped::{find, shipped};
pub use usage::{Usage, Use};

/// Hours of a month.
pub const MONTH_HOURS: f64 = 730.0;

/// Less than that, in hours, says little about a month.
const SHORT_HOURS: f64 = 1.0 / 6.0;

/// Hours that an estimate stands on, as a person reads them: `8 s (too short for a bill)`, `25 min`, `3.5 h`.
pub fn seen(hours: f64) -> String {
    let minutes = hours * 60.0;
    let span = match hours {
        h if h >= 1.0 => format!("{h:.1} h"),
        _ if minutes >= 10.0 => format!("{minutes:.0} min"),
        _ if minutes >= 1.0 => format!("{minutes:.1} min"),
        h => format!("{:.0} s", h * 3600.0),
    };
    match hours < SHORT_HOURS {
        true => format!("{span} (too short for a bill)"),
        false => span,
    }
}
