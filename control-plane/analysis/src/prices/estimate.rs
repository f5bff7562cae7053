//! A month's bill before and after, under one book.

use super::book::{Bills, Charge, Counts, PriceBook};
use super::usage::{Usage, Use};
use serde::{Deserialize, Serialize};

/// Minutes of a month of 730 hours.
const MONTH_MINUTES: f64 = super::MONTH_HOURS * 60.0;

/// What a saving is worth in a month under one book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// The book.
    pub book: String,
    /// Of the amounts.
    pub currency: String,
    /// Date of the list prices.
    pub date: String,
    /// Bill of a month without it; `None`: not known.
    pub before: Option<Range>,
    /// Saved in a month; negative: it costs more. `None`: not known, see `unknown`.
    pub saved: Option<Range>,
    /// The same as a share of the bill: what a goal in money asks for. `None`: not known, or nothing is
    /// paid without it.
    pub share: Option<Range>,
    /// The charge that decides: of which the largest is the bill, the largest without it; of which the sum
    /// is, the one that saves most, or the largest where none saves. `None`: nothing is paid without it.
    pub binds: Option<String>,
    /// The same with it, where another one decides then.
    pub binds_after: Option<String>,
    /// Why nothing is saved, where nothing is.
    #[serde(default)]
    pub nothing: Option<String>,
    /// Charge by charge.
    pub charges: Vec<Charged>,
    /// Why there is no amount.
    pub unknown: Option<String>,
    /// Hours that it was extrapolated from.
    pub hours: f64,
}

/// One charge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charged {
    /// Its name.
    pub name: String,
    /// What the quantities are of.
    pub unit: String,
    /// Quantity of a month without it, in `unit`; `None`: not measured.
    pub before: Option<Range>,
    /// With it.
    pub after: Option<Range>,
    /// Saved; `None`: not known.
    pub saved: Option<Range>,
    /// Why not.
    pub unknown: Option<String>,
}

/// From the least to the most that it may be. An end that is not known is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// At least.
    pub low: Option<f64>,
    /// At most.
    pub high: Option<f64>,
}

impl Range {
    fn over(values: impl Iterator<Item = Option<f64>>) -> Range {
        let mut range = Range {
            low: Some(f64::INFINITY),
            high: Some(f64::NEG_INFINITY),
        };
        for value in values {
            range.low = range.low.zip(value).map(|(a, b)| a.min(b));
            range.high = range.high.zip(value).map(|(a, b)| a.max(b));
        }
        range
    }
}

/// A way in which what is not known exactly may be: how much is saved, how the vendor counts.
#[derive(Debug, Clone, Copy)]
struct Corner {
    saving: Bound,
    counting: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Low,
    High,
}

const fn corner(saving: Bound, counting: Bound) -> Corner {
    Corner { saving, counting }
}

const CORNERS: [Corner; 4] = [
    corner(Bound::Low, Bound::Low),
    corner(Bound::Low, Bound::High),
    corner(Bound::High, Bound::Low),
    corner(Bound::High, Bound::High),
];

/// Estimates.
pub fn estimate(book: &PriceBook, usage: &Usage) -> Estimate {
    let spec = &book.spec;
    let charges: Vec<Charged> = spec.charges.iter().map(|c| charged(c, usage)).collect();
    let mut unknown: Vec<&str> = charges
        .iter()
        .filter_map(|c| c.unknown.as_deref())
        .collect();
    unknown.dedup();
    let mut made = Estimate {
        book: book.name.clone(),
        currency: spec.currency.clone(),
        date: spec.date.clone(),
        before: None,
        saved: None,
        share: None,
        binds: None,
        binds_after: None,
        nothing: None,
        unknown: (!unknown.is_empty()).then(|| unknown.join("; ")),
        hours: usage.hours,
        charges,
    };
    if made.unknown.is_some() {
        return made;
    }
    let bills: Vec<(Option<f64>, Option<f64>)> = CORNERS
        .iter()
        .map(|corner| {
            let before = spec.charges.iter().map(|c| cost(c, usage, *corner, false));
            let after = spec.charges.iter().map(|c| cost(c, usage, *corner, true));
            (bill(spec.bills, before), bill(spec.bills, after))
        })
        .collect();
    made.before = Some(Range::over(bills.iter().map(|(before, _)| *before)));
    let saved = bills
        .iter()
        .map(|(before, after)| Some((*before)? - (*after)?));
    made.saved = Some(Range::over(saved));
    if bills
        .iter()
        .all(|(before, _)| before.is_some_and(|b| b > 0.0))
    {
        let share = bills
            .iter()
            .map(|(before, after)| Some(1.0 - (*after)? / (*before)?));
        made.share = Some(Range::over(share));
    }
    (made.binds, made.binds_after) = binds(book, usage);
    made.nothing = nothing(book, usage, &made);
    made
}

/// Why nothing is saved; `None`: something is or may be, or it costs more.
fn nothing(book: &PriceBook, usage: &Usage, made: &Estimate) -> Option<String> {
    let zero = |range: &Option<Range>| {
        let range = range.as_ref();
        range.is_some_and(|r| r.low == Some(0.0) && r.high == Some(0.0))
    };
    if !zero(&made.saved) {
        return None;
    }
    let corner = corner(Bound::High, Bound::High);
    let charges = || book.spec.charges.iter();
    let used = |c: &Charge, after| quantity(c, usage, corner, after).unwrap_or(0.0);
    if charges().all(|c| used(c, false) <= 0.0) {
        return Some("nothing was sent that it counts".to_owned());
    }
    if charges().all(|c| used(c, false) <= c.included && used(c, true) <= c.included) {
        return Some("within what is included".to_owned());
    }
    match &made.binds {
        None => Some("what it counts costs nothing".to_owned()),
        Some(name) => Some(format!("{name} decides it and stays the same")),
    }
}

/// Which charge decides, taken where the vendor counts most.
fn binds(book: &PriceBook, usage: &Usage) -> (Option<String>, Option<String>) {
    let corner = corner(Bound::High, Bound::High);
    let costs = |after| -> Vec<f64> {
        let charges = book.spec.charges.iter();
        charges
            .map(|c| cost(c, usage, corner, after).unwrap_or(0.0))
            .collect()
    };
    let (before, after) = (costs(false), costs(true));
    match book.spec.bills {
        Bills::Sum => {
            let saved = before
                .iter()
                .zip(&after)
                .map(|(before, after)| before - after);
            let saves = largest(book, &saved.collect::<Vec<_>>());
            (saves.or_else(|| largest(book, &before)), None)
        }
        Bills::Max => {
            let (before, after) = (largest(book, &before), largest(book, &after));
            let other = after.filter(|after| Some(after) != before.as_ref());
            (before, other)
        }
    }
}

/// The name of the charge with the largest amount above 0.
fn largest(book: &PriceBook, amounts: &[f64]) -> Option<String> {
    let mut largest = (None, 0.0);
    for (charge, amount) in book.spec.charges.iter().zip(amounts) {
        if *amount > largest.1 {
            largest = (Some(charge.name.clone()), *amount);
        }
    }
    largest.0
}

fn bill(bills: Bills, mut costs: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    costs.try_fold(0.0_f64, |sum, cost| {
        let cost = cost?;
        Some(match bills {
            Bills::Sum => sum + cost,
            Bills::Max => sum.max(cost),
        })
    })
}

fn charged(charge: &Charge, usage: &Usage) -> Charged {
    let unit = |after| {
        let at = |corner: &Corner| quantity(charge, usage, *corner, after).map(|q| q / charge.per);
        measured(charge, usage).map(|()| Range::over(CORNERS.iter().map(at)))
    };
    let unknown = if !charge.unknown.is_empty() {
        Some(charge.unknown.clone())
    } else if measured(charge, usage).is_none() {
        Some(format!("{} was not measured", counted(charge.counts)))
    } else if charge.tiers.is_empty() {
        Some(format!("the book has no price for {}", charge.name))
    } else if CORNERS.iter().any(|c| beyond(charge, usage, *c)) {
        Some(format!(
            "{} goes beyond the last price of the book",
            charge.name
        ))
    } else {
        None
    };
    let saved = unknown.is_none().then(|| {
        let at = |corner: &Corner| {
            Some(cost(charge, usage, *corner, false)? - cost(charge, usage, *corner, true)?)
        };
        Range::over(CORNERS.iter().map(at))
    });
    // A factor that is not known makes a quantity that is not.
    let known = charge.unknown.is_empty();
    Charged {
        name: charge.name.clone(),
        unit: charge.unit.clone(),
        before: unit(false).filter(|_| known),
        after: unit(true).filter(|_| known),
        saved,
        unknown,
    }
}

fn counted(counts: Counts) -> &'static str {
    match counts {
        Counts::Series => "the number of series",
        Counts::Samples | Counts::SamplesPerMinute | Counts::SamplesAtMost => {
            "the number of Prometheus samples"
        }
        Counts::Points => "the number of points",
        Counts::Bytes => "the number of bytes",
    }
}

fn measured(charge: &Charge, usage: &Usage) -> Option<()> {
    let points = usage.points.map(|_| ());
    match charge.counts {
        Counts::Series => usage.series.map(|_| ()),
        Counts::Samples | Counts::SamplesPerMinute => usage.samples.map(|_| ()),
        Counts::SamplesAtMost => usage.samples.and(points),
        Counts::Points => points,
        Counts::Bytes => usage.bytes.map(|_| ()),
    }
}

/// What the vendor counts in a month.
fn quantity(charge: &Charge, usage: &Usage, corner: Corner, after: bool) -> Option<f64> {
    let of = match charge.counts {
        Counts::Series => usage.series?,
        Counts::Samples => usage.samples?,
        Counts::SamplesPerMinute => usage.samples?.times(1.0 / MONTH_MINUTES),
        Counts::SamplesAtMost if corner.counting == Bound::Low => usage.points?,
        Counts::SamplesAtMost => usage.samples?,
        Counts::Points => usage.points?,
        Counts::Bytes => usage.bytes?,
    };
    let factor = match corner.counting {
        Bound::Low => charge.times.from,
        Bound::High => charge.times.to,
    };
    let Use {
        before,
        least,
        most,
        ..
    } = of;
    let count = match (after, corner.saving) {
        (false, _) => Some(before),
        (true, Bound::Low) => most,
        (true, Bound::High) => least,
    };
    count.map(|count| count * factor)
}

fn beyond(charge: &Charge, usage: &Usage, corner: Corner) -> bool {
    let last = charge.tiers.last().and_then(|tier| tier.up_to);
    let over = |after| {
        quantity(charge, usage, corner, after)
            .zip(last)
            .is_some_and(|(q, l)| q > l)
    };
    over(false) || over(true)
}

/// What a month of it costs: each tier's price for what lies in it, what is included left out.
fn cost(charge: &Charge, usage: &Usage, corner: Corner, after: bool) -> Option<f64> {
    let quantity = quantity(charge, usage, corner, after)?;
    let (mut from, mut cost) = (charge.included, 0.0);
    for tier in &charge.tiers {
        let to = tier.up_to.unwrap_or(f64::INFINITY).min(quantity);
        if to > from {
            cost += (to - from) / charge.per * tier.price;
            from = to;
        }
    }
    Some(cost)
}
