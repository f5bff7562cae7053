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
