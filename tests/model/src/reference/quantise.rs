//! The stage that rounds gauges: by the decimal digits of the number's exact value.

use super::Counts;
use super::document;
use super::identity::Kind;
use super::matcher;
use super::number::Num;
use super::point::{Data, Point};

/// The point as the stage writes it.
pub fn quantise(spec: &document::Quantise, point: &Point, counts: &mut Counts) -> Point {
    let mut point = point.clone();
    if !matcher::matches(&spec.matching, &point.identity) {
        return point;
    }
    if point.identity.kind != Kind::Gauge {
        *counts.entry("not_a_gauge").or_insert(0) += 1;
        return point;
    }
    let digits = spec.digits.unwrap_or(3);
    if let Data::Number(n) = point.data {
        point.data = Data::Number(match n {
            Num::Int(i) => Num::Int(int(i, digits)),
            Num::Double(d) => Num::Double(double(d, digits)),
        });
    }
    point
}

fn int(value: i64, digits: usize) -> i64 {
    let text = value.unsigned_abs().to_string();
    let rounded = round(&text, digits);
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{rounded}").parse().unwrap_or(value)
}

fn double(value: f64, digits: usize) -> f64 {
    if !value.is_finite() || value == 0.0 {
        return value;
    }
    // All digits that a double can have before and behind the point.
    let text = format!("{:.1100}", value.abs());
    let (whole, part) = text.split_once('.').expect("a decimal point");
    let all = format!("{whole}{part}");
    let rounded = round(&all, digits);
    let result: f64 = format!("{rounded}e-1100").parse().expect("a number");
    if result.is_infinite() {
        return value;
    }
    result.copysign(value)
}

/// A row of decimal digits with only the first `digits` significant ones, half to even.
fn round(text: &str, digits: usize) -> String {
    let mut all: Vec<u8> = text.bytes().map(|b| b - b'0').collect();
    let Some(first) = all.iter().position(|d| *d != 0) else {
        return text.to_string();
    };
    let end = first + digits;
    if end >= all.len() {
        return text.to_string();
    }
    let cut: Vec<u8> = all.drain(end..).collect();
    let places = cut.len();
    let (next, rest) = (cut[0], &cut[1..]);
    let above = next > 5 || (next == 5 && rest.iter().any(|d| *d != 0));
    let tie = next == 5 && rest.iter().all(|d| *d == 0);
    if above || (tie && all[end - 1] % 2 == 1) {
        all.insert(0, 0);
        let mut at = all.len() - 1;
        while all[at] == 9 {
            all[at] = 0;
            at -= 1;
        }
        all[at] += 1;
    }
    all.extend(std::iter::repeat_n(0, places));
    all.iter().map(|d| char::from(b'0' + d)).collect()
}
