//! `quantise`: values of gauges rounded to a number of significant decimal digits.
//!
//! The rule: the exact decimal value of the number is rounded half to even at its last significant
//! digit, and the result is the number nearest to that. Ints stay ints. What would not fit (an int
//! beyond 64 bits, an infinite double) stays as it is, as do zero, NaN and infinity.

use super::Verdict;
use crate::view::{Number, PointView};
use crate::wire::fields;
use crate::wire::otlp::number_point;
use std::fmt::Write;

/// Appends the body of a gauge's point with its value rounded.
pub(super) fn put(point: &PointView<'_>, digits: u8, out: &mut Vec<u8>) -> Verdict {
    let at = out.len();
    out.extend_from_slice(point.body);
    let Some(number) = point.number else {
        return Verdict::Written;
    };
    let bits = match number {
        Number::Int(value) => int(value, digits).cast_unsigned(),
        Number::Double(value) => double(value, digits).to_bits(),
    };
    for field in fields(point.body) {
        if matches!(field.number, number_point::AS_INT | number_point::AS_DOUBLE) {
            // Both are fixed64: the value is the last eight bytes of the field.
            let place = at + field.end - 8..at + field.end;
            if let Some(value) = out.get_mut(place) {
                value.copy_from_slice(&bits.to_le_bytes());
            }
        }
    }
    Verdict::Written
}

/// An int rounded to `digits` significant digits, half to even.
pub fn int(value: i64, digits: u8) -> i64 {
    let magnitude = value.unsigned_abs();
    let length = magnitude.checked_ilog10().map_or(1, |n| n + 1);
    let Some(cut) = length.checked_sub(u32::from(digits)).filter(|n| *n > 0) else {
        return value;
    };
    let unit = 10u64.pow(cut);
    let (kept, rest) = (magnitude / unit, magnitude % unit);
    let half = unit / 2;
    let up = rest > half || (rest == half && kept % 2 == 1);
    let rounded = i128::from(kept + u64::from(up)) * i128::from(unit);
    let signed = if value < 0 { -rounded } else { rounded };
    i64::try_from(signed).unwrap_or(value)
}

/// Powers of ten that doubles hold exactly.
const EXACT: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A double rounded to `digits` (1 to 15) significant digits, half to even.
pub fn double(value: f64, digits: u8) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let magnitude = value.abs();
    let rounded = scaled(magnitude, digits).unwrap_or_else(|| exact(magnitude, digits));
    if rounded.is_finite() {
        rounded.copysign(value)
    } else {
        value
    }
}

/// By one multiplication or division whose error is known; `None` where the power of ten is not
/// exact, or the number at the very edge of doubles.
fn scaled(value: f64, digits: u8) -> Option<f64> {
    let digits = i32::from(digits);
    // log10(2) = 0.30103: at most one too small here, made right below.
    let binary = (value.to_bits() >> 52) as i32 - 1023;
    let mut shift = digits - 1 - ((binary * 78_913) >> 18);
    let most = power(digits)?;
    for _ in 0..2 {
        let factor = power(shift.abs())?;
        let scaled = if shift >= 0 {
            value * factor
        } else {
            value / factor
        };
        if scaled >= most {
            shift -= 1;
            continue;
        }
        let whole = nearest(value, scaled, (shift, factor));
        // A whole number below 2^53 and an exact power: one rounding, to the nearest.
        return Some(if shift >= 0 {
            whole / factor
        } else {
            whole * factor
        });
    }
    None
}

fn power(of: i32) -> Option<f64> {
    EXACT.get(usize::try_from(of).ok()?).copied()
}

/// The whole number nearest to the exact value of which `scaled` is the nearest double.
fn nearest(value: f64, scaled: f64, (shift, factor): (i32, f64)) -> f64 {
    let floor = scaled.floor();
    let rest = scaled - floor;
    if rest != 0.5 {
        // Doubles of this size are finer than a half: the error cannot cross it.
        return if rest > 0.5 { floor + 1.0 } else { floor };
    }
    // The sign of what the multiplication or division left out tells the side.
    let error = if shift >= 0 {
        value.mul_add(factor, -scaled)
    } else {
        (-scaled).mul_add(factor, value)
    };
    if error > 0.0 || (error == 0.0 && floor % 2.0 == 1.0) {
        floor + 1.0
    } else {
        floor
    }
}

/// By all decimal digits of the number: very large and very small ones.
#[cold]
fn exact(value: f64, digits: u8) -> f64 {
    // A double has at most 767 significant decimal digits; then a point, `e` and the exponent.
    let mut text = Text::default();
    if write!(text, "{value:.766e}").is_err() {
        return value;
    }
    let text = text.as_str();
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return value;
    };
    let mut all = mantissa.bytes().filter(u8::is_ascii_digit);
    let mut kept = 0u64;
    for digit in all.by_ref().take(usize::from(digits)) {
        kept = kept * 10 + u64::from(digit - b'0');
    }
    let next = all.next().unwrap_or(b'0');
    let more = all.any(|digit| digit != b'0');
    let up = next > b'5' || (next == b'5' && (more || kept % 2 == 1));
    let power = exponent.parse::<i32>().unwrap_or(0) - (i32::from(digits) - 1);
    let mut rounded = Text::default();
    if write!(rounded, "{}e{power}", kept + u64::from(up)).is_err() {
        return value;
    }
    rounded.as_str().parse().unwrap_or(value)
}

/// A text on the stack.
struct Text {
    bytes: [u8; 800],
    length: usize,
}

impl Default for Text {
    fn default() -> Text {
        Text {
            bytes: [0; 800],
            length: 0,
        }
    }
}

impl Text {
    fn as_str(&self) -> &str {
        let written = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(written).unwrap_or("")
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let place = self.bytes.get_mut(self.length..end);
        place
            .ok_or(std::fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_rounded_by_their_exact_value_half_to_even() {
        let cases = [
            (123_456.0, 3, 123_000.0),
            (0.001_234_56, 3, 0.001_23),
            (-98.76, 2, -99.0),
            (99.96, 3, 100.0),
            (9.999e-5, 3, 1e-4),
            // 0.125 is exact: a tie goes to the even digit; 0.15 lies a little below it.
            (0.125, 2, 0.12),
            (0.375, 2, 0.38),
            (0.15, 1, 0.1),
            (2.5, 1, 2.0),
            (3.5, 1, 4.0),
            (25_000.0, 1, 20_000.0),
            (1e300, 3, 1e300),
            (1.2345e300, 3, 1.23e300),
            (1.2355e-300, 4, 1.236e-300),
            (5e-324, 3, 5e-324),
            (1.0, 15, 1.0),
        ];
        for (value, digits, expected) in cases {
            assert_eq!(double(value, digits), expected, "{value} {digits}");
        }
        assert!(double(-0.0, 3).is_sign_negative());
        assert!(double(f64::NAN, 3).is_nan());
        assert_eq!(double(f64::INFINITY, 3), f64::INFINITY);
        // 1.8e308 is no double.
        assert_eq!(double(f64::MAX, 2), f64::MAX);
        assert_eq!(double(1.7777e308, 3), 1.78e308);
    }

    #[test]
    fn the_quick_way_and_the_exact_way_agree() {
        let mut bits = 0x9E37_79B9_7F4A_7C15u64;
        for _ in 0..200_000 {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            let digits = 1 + (bits % 15) as u8;
            let exponent = (bits >> 8) % 80;
            let magnitude = ((bits >> 20) as f64 / 1024.0) * (exponent as f64 - 40.0).exp2();
            let halves = ((bits >> 30) % 100_000) as f64 / 8.0;
            for value in [
                magnitude,
                halves,
                halves / 1000.0,
                10f64.powi(exponent as i32 - 40),
            ] {
                if value > 0.0
                    && let Some(quick) = scaled(value, digits)
                {
                    assert_eq!(quick, exact(value, digits), "{value:e} {digits}");
                }
            }
        }
    }

    #[test]
    fn ints_stay_ints_and_what_does_not_fit_stays() {
        let cases = [
            (123_456, 3, 123_000),
            (-123_500, 3, -124_000),
            (-122_500, 3, -122_000),
            (99_950, 3, 100_000),
            (7, 3, 7),
            (0, 1, 0),
            (i64::MAX, 3, 9_220_000_000_000_000_000),
            (i64::MAX, 5, i64::MAX),
            (i64::MIN, 4, -9_223_000_000_000_000_000),
        ];
        for (value, digits, expected) in cases {
            assert_eq!(int(value, digits), expected, "{value} {digits}");
        }
    }
}
