//! Scalars of OTLP/JSON: 64-bit numbers as strings or numbers, doubles by name, hex and base64.

use super::lexer::{Fault, Kind, Lexer, Result};
use std::borrow::Cow;

impl<'a> Lexer<'a> {
    /// The text of a number, written as a number or in quotes.
    fn number_text(&mut self) -> Result<Cow<'a, str>> {
        match self.kind()? {
            Kind::Number => self.number().map(Cow::Borrowed),
            Kind::String => self.string(),
            _ => self.wrong("expected a number"),
        }
    }

    fn integer<T: std::str::FromStr + TryFrom<i128>>(&mut self, name: &str) -> Result<T> {
        let mark = self.mark();
        let text = self.number_text()?;
        if let Ok(value) = text.parse() {
            return Ok(value);
        }
        // JavaScript may write whole numbers as 1.0 or 1e3.
        let whole = text
            .parse::<f64>()
            .ok()
            .filter(|f| f.fract() == 0.0 && f.abs() < 1e19 && text.contains(['.', 'e', 'E']));
        if let Some(value) = whole.and_then(|f| T::try_from(f as i128).ok()) {
            return Ok(value);
        }
        self.back_to(mark);
        self.wrong(format!("expected {name}, found `{}`", short(&text)))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.integer("an unsigned 64-bit number")
    }

    pub(super) fn i64(&mut self) -> Result<i64> {
        self.integer("a signed 64-bit number")
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.integer("an unsigned 32-bit number")
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        self.integer("a signed 32-bit number")
    }

    pub(super) fn f64(&mut self) -> Result<f64> {
        let mark = self.mark();
        let text = self.number_text()?;
        let value = match &*text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            // Rust would also take `inf` and `nan`, which the format does not know.
            other if other.ends_with(|c: char| c.is_ascii_digit() || c == '.') => {
                other.parse::<f64>().ok().filter(|f| f.is_finite())
            }
            _ => None,
        };
        match value {
            Some(value) => Ok(value),
            None => {
                self.back_to(mark);
                self.wrong(format!("expected a number, found `{}`", short(&text)))
            }
        }
    }

    /// `AggregationTemporality`, as its number or its name. Numbers of later versions pass.
    pub(super) fn temporality(&mut self) -> Result<i32> {
        let mark = self.mark();
        if self.kind()? == Kind::String {
            let name = self.string()?;
            let number = match &*name {
                "AGGREGATION_TEMPORALITY_UNSPECIFIED" => 0,
                "AGGREGATION_TEMPORALITY_DELTA" => 1,
                "AGGREGATION_TEMPORALITY_CUMULATIVE" => 2,
                _ => {
                    self.back_to(mark);
                    return self.wrong(format!(
                        "expected an aggregation temporality (0, 1 or 2), found `{}`",
                        short(&name)
                    ));
                }
            };
            return Ok(number);
        }
        self.i32()
    }

    /// A trace or span id: hex of `length` bytes, or nothing.
    pub(super) fn hex(&mut self, length: usize) -> Result<Vec<u8>> {
        let mark = self.mark();
        let text = self.string()?;
        let bytes = from_hex(&text).filter(|b| b.is_empty() || b.len() == length);
        match bytes {
            Some(bytes) => Ok(bytes),
            None => {
                self.back_to(mark);
                self.wrong(format!("expected {} hex digits", 2 * length))
            }
        }
    }

    /// Bytes in base64, either alphabet, padded or not.
    pub(super) fn base64(&mut self) -> Result<Vec<u8>> {
        let mark = self.mark();
        let text = self.string()?;
        match from_base64(&text) {
            Some(bytes) => Ok(bytes),
            None => {
                self.back_to(mark);
                self.wrong("expected base64")
            }
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            u8::try_from(high << 4 | low).ok()
        })
        .collect()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    if digits.len() % 4 == 1 || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

/// Standard base64 with padding, appended to JSON text.
pub(super) fn to_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let mut group = [0u8; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for place in 0..4 {
            if place > chunk.len() {
                out.push(b'=');
            } else {
                out.push(DIGITS[(bits >> (18 - 6 * place) & 63) as usize]);
            }
        }
    }
}

/// Lower-case hex, appended to JSON text.
pub(super) fn to_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

impl Fault {
    /// Whether only the point or metric is at fault, not the request.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Fault::Type { .. })
    }
}
