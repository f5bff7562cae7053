//! PromQL as words.

use super::Fault;

/// One word, and where it begins (in bytes).
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Byte in the text.
    pub at: usize,
    /// What it is.
    pub word: Word,
}

/// What a word is.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// A name or keyword.
    Name(String),
    /// A number.
    Number(f64),
    /// A length of time, milliseconds.
    Span(u64),
    /// A text, quotes and escapes resolved.
    Text(String),
    /// Everything else: `(`, `==`, `=~`, ...
    Sign(&'static str),
    /// There is nothing more.
    End,
}

/// Longest first, so that `>=` is not `>` and `=`.
const SIGNS: [&str; 27] = [
    "==", "!=", ">=", "<=", "=~", "!~", "(", ")", "{", "}", "[", "]", ",", "+", "-", "*", "/", "%",
    "^", "=", ">", "<", ":", "@", "!", "$", ";",
];

/// Longest text that is read.
pub const LONGEST: usize = 16 * 1024;

/// Divides a query into words.
///
/// # Errors
/// A character or a text that PromQL does not have.
pub fn words(text: &str) -> Result<Vec<Token>, Fault> {
    if text.len() > LONGEST {
        return Err(Fault::Syntax(format!("more than {LONGEST} bytes")));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or(' ');
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if first == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let (word, length) = match first {
            '"' | '\'' | '`' => quoted(rest, first, at)?,
            '0'..='9' | '.' => number(rest, at)?,
            c if c.is_ascii_alphabetic() || c == '_' => name(rest),
            _ => sign(rest, at)?,
        };
        tokens.push(Token { at, word });
        at += length;
    }
    tokens.push(Token {
        at: text.len(),
        word: Word::End,
    });
    Ok(tokens)
}

fn wrong(at: usize, what: &str) -> Fault {
    Fault::Syntax(format!("at byte {at}: {what}"))
}

fn sign(rest: &str, at: usize) -> Result<(Word, usize), Fault> {
    let found = SIGNS.iter().find(|sign| rest.starts_with(**sign));
    let sign = found.ok_or_else(|| wrong(at, "a character that PromQL does not have"))?;
    Ok((Word::Sign(sign), sign.len()))
}

fn name(rest: &str) -> (Word, usize) {
    let own = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let length = rest.find(|c| !own(c)).unwrap_or(rest.len());
    let text = &rest[..length];
    let word = match text.to_ascii_lowercase().as_str() {
        "inf" => Word::Number(f64::INFINITY),
        "nan" => Word::Number(f64::NAN),
        _ => Word::Name(text.to_owned()),
    };
    (word, length)
}

fn number(rest: &str, at: usize) -> Result<(Word, usize), Fault> {
    if let Some(found) = span(rest) {
        return Ok(found);
    }
    let mut length = 0;
    let bytes = rest.as_bytes();
    while let Some(byte) = bytes.get(length) {
        let before = length.checked_sub(1).and_then(|n| bytes.get(n));
        let exponent = matches!(before, Some(b'e' | b'E'));
        let own = byte.is_ascii_alphanumeric()
            || *byte == b'.'
            || (exponent && matches!(byte, b'+' | b'-'));
        if !own {
            break;
        }
        length += 1;
    }
    let text = &rest[..length];
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(|n| n as f64),
        None => text.parse().ok(),
    };
    let number = parsed.ok_or_else(|| wrong(at, &format!("`{text}` is no number")))?;
    Ok((Word::Number(number), length))
}

/// `1h30m`, `500ms`.
fn span(rest: &str) -> Option<(Word, usize)> {
    const UNITS: [(&str, u64); 7] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
        ("y", 31_536_000_000),
    ];
    let (mut all, mut length) = (0_u64, 0);
    loop {
        let here = rest.get(length..)?;
        let digits = here
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(here.len());
        if digits == 0 {
            break;
        }
        let (count, unit) = (
            here.get(..digits)?.parse::<u64>().ok()?,
            here.get(digits..)?,
        );
        let (text, ms) = UNITS.iter().find(|(text, _)| unit.starts_with(text))?;
        all = all.checked_add(count.checked_mul(*ms)?)?;
        length += digits + text.len();
    }
    let next = rest.get(length..)?.chars().next();
    let ends = !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    (length > 0 && ends).then_some((Word::Span(all), length))
}

fn quoted(rest: &str, quote: char, at: usize) -> Result<(Word, usize), Fault> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((place, c)) = chars.next() {
        if c == quote {
            return Ok((Word::Text(text), place + 1));
        }
        if c != '\\' || quote == '`' {
            text.push(c);
            continue;
        }
        let escaped = chars.next().map(|(_, c)| c);
        text.push(match escaped {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some(c @ ('\\' | '"' | '\'')) => c,
            _ => return Err(wrong(at + place, "an escape that is not read here")),
        });
    }
    Err(wrong(at, "a text that does not end"))
}

/// A length of time as PromQL and rule files write it, milliseconds; `0` without a unit too.
pub fn duration(text: &str) -> Option<u64> {
    match span(text) {
        Some((Word::Span(ms), length)) if length == text.len() => Some(ms),
        _ => (text == "0").then_some(0),
    }
}
