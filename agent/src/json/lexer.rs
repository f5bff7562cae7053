//! A pull reader of JSON text: no tree, no copy of strings without escapes, bounded depth.
//!
//! A wrong type is told apart from broken syntax, because the first may concern one point only and
//! the second always refuses the request.

use std::borrow::Cow;

/// Nesting deeper than this refuses the request; OTLP itself needs about 15, values may nest.
const MAX_DEPTH: usize = 128;

/// What is wrong and where.
#[derive(Debug)]
pub(super) enum Fault {
    /// Not JSON (or a limit): the whole request is refused.
    Syntax { offset: usize, what: &'static str },
    /// Valid JSON, but not what the field takes.
    Type { offset: usize, what: String },
    /// More objects than the limit allows.
    Elements,
    /// More protobuf bytes than the limit allows.
    Bytes,
}

pub(super) type Result<T> = std::result::Result<T, Fault>;

/// Kind of the value that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Object => "an object",
            Kind::Array => "an array",
            Kind::String => "a string",
            Kind::Number => "a number",
            Kind::Bool => "a boolean",
            Kind::Null => "null",
        }
    }
}

/// A place to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    at: usize,
    depth: usize,
}

/// The reader.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer {
            text,
            at: 0,
            depth: 0,
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            at: self.at,
            depth: self.depth,
        }
    }

    pub(super) fn back_to(&mut self, mark: Mark) {
        self.at = mark.at;
        self.depth = mark.depth;
    }

    fn syntax<T>(&self, what: &'static str) -> Result<T> {
        Err(Fault::Syntax {
            offset: self.at,
            what,
        })
    }

    /// A fault of type at the value that comes next.
    pub(super) fn wrong<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Fault::Type {
            offset: self.at,
            what: what.into(),
        })
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    pub(super) fn kind(&mut self) -> Result<Kind> {
        self.space();
        Ok(match self.byte() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            Some(_) => return self.syntax("expected a value"),
            None => return self.syntax("the text ends where a value should be"),
        })
    }

    fn want(&mut self, kind: Kind) -> Result<()> {
        let found = self.kind()?;
        if found != kind {
            return self.wrong(format!("expected {}, found {}", kind.name(), found.name()));
        }
        Ok(())
    }

    /// Enters an object or an array.
    pub(super) fn open(&mut self, kind: Kind) -> Result<()> {
        self.want(kind)?;
        if self.depth == MAX_DEPTH {
            return self.syntax("nested too deeply");
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn between(&mut self, first: &mut bool, end: u8) -> Result<bool> {
        self.space();
        match self.byte() {
            Some(b) if b == end => {
                self.at += 1;
                self.depth -= 1;
                return Ok(false);
            }
            Some(b',') if !*first => {
                self.at += 1;
                self.space();
                if self.byte() == Some(end) {
                    return self.syntax("a comma before the end");
                }
            }
            Some(_) if *first => {}
            Some(_) => return self.syntax("expected a comma or the end"),
            None => return self.syntax("the text ends inside an object or array"),
        }
        *first = false;
        Ok(true)
    }

    /// Whether the array has a further item; leaves the array where not.
    pub(super) fn item(&mut self, first: &mut bool) -> Result<bool> {
        self.between(first, b']')
    }

    /// The next member's name; leaves the object where there is none.
    pub(super) fn member(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>> {
        if !self.between(first, b'}')? {
            return Ok(None);
        }
        if self.byte() != Some(b'"') {
            return self.syntax("expected a member's name in quotes");
        }
        let name = self.string()?;
        self.space();
        if self.byte() != Some(b':') {
            return self.syntax("expected a colon");
        }
        self.at += 1;
        Ok(Some(name))
    }

    /// Takes a `null` if that is what comes next.
    pub(super) fn null(&mut self) -> Result<bool> {
        if self.kind()? != Kind::Null {
            return Ok(false);
        }
        self.literal("null")?;
        Ok(true)
    }

    fn literal(&mut self, word: &'static str) -> Result<()> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        self.syntax("expected a value")
    }

    pub(super) fn boolean(&mut self) -> Result<bool> {
        self.want(Kind::Bool)?;
        let value = self.byte() == Some(b't');
        self.literal(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// The text of a number, checked against JSON's grammar.
    pub(super) fn number(&mut self) -> Result<&'a str> {
        self.want(Kind::Number)?;
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let leading = self.byte();
        let whole = self.digits();
        if whole == 0 || (whole > 1 && leading == Some(b'0')) {
            return self.syntax("not a number");
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return self.syntax("not a number");
            }
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return self.syntax("not a number");
            }
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    /// A string; borrowed unless it has escapes.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.want(Kind::String)?;
        self.at += 1;
        let start = self.at;
        let run = self.plain_run();
        match self.byte() {
            Some(b'"') => {
                self.at += 1;
                Ok(Cow::Borrowed(run))
            }
            Some(b'\\') => self.escaped(start).map(Cow::Owned),
            Some(_) => self.syntax("a control character in a string"),
            None => self.syntax("the text ends inside a string"),
        }
    }

    fn plain_run(&mut self) -> &'a str {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let length = rest
            .iter()
            .position(|b| *b == b'"' || *b == b'\\' || *b < 0x20)
            .unwrap_or(rest.len());
        self.at += length;
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn escaped(&mut self, start: usize) -> Result<String> {
        let mut value = String::from(self.text.get(start..self.at).unwrap_or_default());
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(value);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    value.push(c);
                }
                Some(b) if b < 0x20 => return self.syntax("a control character in a string"),
                Some(_) => value.push_str(self.plain_run()),
                None => return self.syntax("the text ends inside a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let code = self.byte();
        self.at += 1;
        Ok(match code {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return self.syntax("an unknown escape in a string"),
        })
    }

    fn unicode(&mut self) -> Result<char> {
        let unit = self.hex4()?;
        let code = if (0xd800..0xdc00).contains(&unit) {
            if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                return self.syntax("half of a surrogate pair in a string");
            }
            self.at += 2;
            let low = self.hex4()?;
            if !(0xdc00..0xe000).contains(&low) {
                return self.syntax("half of a surrogate pair in a string");
            }
            0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
        } else {
            unit
        };
        match char::from_u32(code) {
            Some(c) => Ok(c),
            None => self.syntax("half of a surrogate pair in a string"),
        }
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let mut value = 0;
        for digit in digits.unwrap_or_default() {
            match char::from(*digit).to_digit(16) {
                Some(d) => value = value * 16 + d,
                None => return self.syntax("four hex digits expected after \\u"),
            }
        }
        if digits.is_none() {
            return self.syntax("the text ends inside a string");
        }
        self.at += 4;
        Ok(value)
    }

    /// Passes over one value of any kind, checking its syntax.
    pub(super) fn skip(&mut self) -> Result<()> {
        match self.kind()? {
            Kind::Object => {
                self.open(Kind::Object)?;
                let mut first = true;
                while self.member(&mut first)?.is_some() {
                    self.skip()?;
                }
                Ok(())
            }
            Kind::Array => {
                self.open(Kind::Array)?;
                let mut first = true;
                while self.item(&mut first)? {
                    self.skip()?;
                }
                Ok(())
            }
            Kind::String => self.string().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Bool => self.boolean().map(drop),
            Kind::Null => self.null().map(drop),
        }
    }

    /// Only white space may follow.
    pub(super) fn end(&mut self) -> Result<()> {
        self.space();
        if self.at < self.text.len() {
            return self.syntax("text after the end of the request");
        }
        Ok(())
    }
}
