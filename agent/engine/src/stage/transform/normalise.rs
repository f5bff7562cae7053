//! Texts to patterns: `/users/123` to `/users/{id}`. The built-in patterns are scanned by hand, in one
//! pass; docs/stages/transform.md defines them and its table of examples is the test below.

use crate::compile::{Normalise, Piece, Replace};
use crate::document::NamedPattern;
use std::borrow::Cow;

impl Normalise {
    /// The text with what varies replaced; `None` where nothing is.
    pub fn apply(&self, text: &str) -> Option<String> {
        let mut now = Cow::Borrowed(text);
        for rule in &self.rules {
            if let Some(new) = rule.apply(&now) {
                now = Cow::Owned(new);
            }
        }
        if let Some(new) = scan(&now, &self.patterns) {
            now = Cow::Owned(new);
        }
        (*now != *text).then(|| now.into_owned())
    }
}

impl Replace {
    fn apply(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut copied = 0;
        for found in self.expression.captures_iter(text) {
            let Some(whole) = found.get(0) else { continue };
            out.push_str(text.get(copied..whole.start()).unwrap_or_default());
            for piece in &self.with {
                out.push_str(match piece {
                    Piece::Text(text) => text,
                    Piece::Group(number) => found.get(*number).map_or("", |group| group.as_str()),
                });
            }
            copied = whole.end();
        }
        if copied == 0 && out.is_empty() {
            return None;
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        Some(out)
    }
}

/// One pass from left to right; `patterns` are sorted by precedence.
fn scan(text: &str, patterns: &[NamedPattern]) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut at, mut copied) = (0, 0);
    while at < bytes.len() {
        let found = patterns
            .iter()
            .find_map(|pattern| Some((pattern, length(*pattern, bytes, at)?)));
        let Some((pattern, length)) = found else {
            at += 1;
            continue;
        };
        // Only whole runs of ASCII are replaced: the cuts lie between characters.
        out.push_str(text.get(copied..at).unwrap_or_default());
        out.push_str(pattern.placeholder());
        at += length;
        copied = at;
    }
    if copied == 0 {
        return None;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Some(out)
}

/// How much the pattern takes here; `None` where it does not fit.
fn length(pattern: NamedPattern, bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied();
    let touches = before.is_some_and(is_letter_or_digit);
    match pattern {
        NamedPattern::Uuids => (!touches && is_uuid(rest) && ends(rest, UUID)).then_some(UUID),
        NamedPattern::Versions => {
            let inside =
                before == Some(b'.') && at > 1 && bytes.get(at - 2).is_some_and(u8::is_ascii_digit);
            let digit = before.is_some_and(|b| b.is_ascii_digit());
            if inside || digit {
                return None;
            }
            version(rest, touches)
        }
        NamedPattern::Ids => {
            if before.is_some_and(|b| !parts(b)) {
                return None;
            }
            let end = rest.iter().position(|b| parts(*b)).unwrap_or(rest.len());
            is_id(rest.get(..end)?).then_some(end)
        }
        NamedPattern::Hex => word(rest, touches).filter(|n| rest.get(..*n).is_some_and(is_hex)),
        NamedPattern::Numbers => {
            let digits = |word: &[u8]| word.iter().all(u8::is_ascii_digit);
            word(rest, touches).filter(|n| rest.get(..*n).is_some_and(digits))
        }
    }
}

/// Letters are those of ASCII, and everything beyond it.
fn is_letter_or_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

/// Whether a byte parts two segments.
fn parts(byte: u8) -> bool {
    matches!(
        byte,
        b'/' | b'?' | b'#' | b'&' | b'=' | b':' | b';' | b',' | b' ' | b'\t' | b'\n' | b'\r'
    )
}

/// Whether what begins here ends after `length` bytes, touching nothing.
fn ends(rest: &[u8], length: usize) -> bool {
    !rest.get(length).copied().is_some_and(is_letter_or_digit)
}

/// Length of the word that begins here.
fn word(rest: &[u8], touches: bool) -> Option<usize> {
    if touches {
        return None;
    }
    let length = rest
        .iter()
        .position(|b| !is_letter_or_digit(*b))
        .unwrap_or(rest.len());
    (length > 0).then_some(length)
}

const UUID: usize = 36;

fn is_uuid(rest: &[u8]) -> bool {
    rest.len() >= UUID
        && rest.iter().take(UUID).enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

fn is_hex(word: &[u8]) -> bool {
    if let [b'0', b'x' | b'X', digits @ ..] = word {
        return !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    }
    word.len() >= 8
        && word.iter().all(u8::is_ascii_hexdigit)
        && word.iter().any(u8::is_ascii_digit)
        && word.iter().any(u8::is_ascii_alphabetic)
}

fn is_id(segment: &[u8]) -> bool {
    let digits = segment.iter().filter(|b| b.is_ascii_digit()).count();
    let plain = segment.iter().all(u8::is_ascii_alphanumeric);
    (digits > 0 && digits == segment.len())
        || (segment.len() == UUID && is_uuid(segment))
        || is_hex(segment)
        || (plain && segment.len() >= 16 && digits >= 2)
}

/// What may follow a version behind a dash; the longer of two with one beginning first.
const SUFFIXES: [&[u8]; 8] = [
    b"alpha",
    b"beta",
    b"rc",
    b"dev",
    b"pre",
    b"snapshot",
    b"final",
    b"release",
];

/// Length of a version: `v1.2.3-rc.1`.
fn version(rest: &[u8], touches: bool) -> Option<usize> {
    let mut at = match rest.first()? {
        b'v' | b'V' if !touches => 1,
        _ => 0,
    };
    let mut numbers = 0;
    loop {
        let digits = rest
            .get(at..)?
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        if digits == 0 {
            // Only the first number can be missing: a dot is taken with the digit behind it.
            return None;
        }
        at += digits;
        numbers += 1;
        let more = rest.get(at) == Some(&b'.') && rest.get(at + 1).is_some_and(u8::is_ascii_digit);
        if !more {
            break;
        }
        at += 1;
    }
    if numbers < 2 || !ends(rest, at) {
        return None;
    }
    Some(suffix(rest, at).unwrap_or(at))
}

/// Where a suffix that begins at `at` ends.
fn suffix(rest: &[u8], at: usize) -> Option<usize> {
    let name = rest.get(at..)?.strip_prefix(b"-")?;
    let known = SUFFIXES.iter().find(|known| {
        name.get(..known.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(known))
    })?;
    let mut end = at + 1 + known.len();
    loop {
        let dot = usize::from(rest.get(end) == Some(&b'.'));
        if !rest.get(end + dot).is_some_and(u8::is_ascii_digit) {
            break;
        }
        end += dot + 1;
    }
    ends(rest, end).then_some(end)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn patterns(names: &str) -> Vec<NamedPattern> {
        let mut all: Vec<NamedPattern> = names
            .split(", ")
            .map(|name| match name {
                "uuids" => NamedPattern::Uuids,
                "versions" => NamedPattern::Versions,
                "ids" => NamedPattern::Ids,
                "hex" => NamedPattern::Hex,
                "numbers" => NamedPattern::Numbers,
                other => panic!("no pattern {other}"),
            })
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_table_of_the_documentation_is_right() {
        let page = include_str!("../../../../../docs/stages/transform.md");
        let rows = page
            .lines()
            .skip_while(|line| !line.starts_with("| value |"));
        let mut examples = 0;
        for row in rows.skip(2).take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row
                .trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect();
            let [value, names, expected] = cells.as_slice() else {
                panic!("{row}");
            };
            let got = scan(value, &patterns(names)).unwrap_or_else(|| (*value).to_string());
            assert_eq!(got, *expected, "{row}");
            examples += 1;
        }
        assert!(examples >= 25, "{examples}");
    }

    #[test]
    fn every_text_is_scanned_quickly_and_stays_a_text() {
        let all = patterns("uuids, versions, ids, hex, numbers");
        for text in [
            "1.".repeat(50_000),
            "é1.".repeat(10_000),
            "a-".repeat(50_000),
            "a".repeat(1_000_000),
            "7".repeat(1_000_000) + "é",
        ] {
            let _ = scan(&text, &all);
        }
        for (text, expected) in [
            ("", ""),
            ("1.2x", "{n}.2x"),
            ("1.2.3x", "{n}.{n}.3x"),
            ("v", "v"),
            ("v1.2", "{version}"),
            ("rev2.1", "rev{version}"),
            ("1.2-rc", "{version}"),
            ("1.2-rcx", "{version}-rcx"),
            ("1.2.", "{version}."),
            ("//1//2/", "//{id}//{id}/"),
            ("0x", "0x"),
            ("7é", "7é"),
            ("日本/12/本", "日本/{id}/本"),
        ] {
            let got = scan(text, &all).unwrap_or_else(|| text.to_string());
            assert_eq!(got, expected, "{text}");
        }
    }
}
