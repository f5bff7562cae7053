//! The envelope: resources, scopes and metrics, with what is rejected on the way.

use super::lexer::{Fault, Kind, Lexer, Result};
use super::{Decoded, JsonError, Limits, wire};
use bytes::Bytes;
use std::fmt::Write;

/// Decodes one OTLP/JSON metrics request (or one line of a capture, which has the same shape).
///
/// # Errors
/// The request is refused whole: not JSON, not of OTLP's shape, or past a limit.
pub fn decode(body: &[u8], limits: Limits) -> std::result::Result<Decoded, JsonError> {
    let text = std::str::from_utf8(body).map_err(|e| JsonError::Syntax {
        offset: e.valid_up_to(),
        what: "not UTF-8".into(),
    })?;
    let mut walker = Walker {
        lex: Lexer::new(text),
        out: Vec::with_capacity((body.len() / 4).min(limits.bytes)),
        path: Vec::new(),
        elements: 0,
        limits,
        rejected: 0,
        reason: None,
    };
    match walker.request() {
        Ok(()) => Ok(Decoded {
            bytes: Bytes::from(walker.out),
            rejected: walker.rejected,
            reason: walker.reason,
        }),
        Err(fault) => Err(walker.refusal(fault)),
    }
}

/// One step of the way to a field.
#[derive(Debug, Clone, Copy)]
enum Step {
    Field(&'static str),
    Item(usize),
}

/// Reads JSON and writes protobuf at the same time.
pub(super) struct Walker<'a> {
    pub(super) lex: Lexer<'a>,
    pub(super) out: Vec<u8>,
    path: Vec<Step>,
    elements: usize,
    limits: Limits,
    rejected: u64,
    reason: Option<String>,
}

impl<'a> Walker<'a> {
    fn refusal(&self, fault: Fault) -> JsonError {
        match fault {
            Fault::Syntax { offset, what } => JsonError::Syntax {
                offset,
                what: what.into(),
            },
            Fault::Type { offset, what } => JsonError::Type {
                place: self.place(),
                offset,
                what,
            },
            Fault::Elements => JsonError::TooManyElements {
                limit: self.limits.elements,
            },
            Fault::Bytes => JsonError::TooLarge {
                limit: self.limits.bytes,
            },
        }
    }

    fn place(&self) -> String {
        let mut place = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if place.is_empty() => place.push_str(name),
                Step::Field(name) => {
                    place.push('.');
                    place.push_str(name);
                }
                Step::Item(index) => {
                    let _ = write!(place, "[{index}]");
                }
            }
        }
        if place.is_empty() {
            place.push_str("the request");
        }
        place
    }

    fn count(&mut self) -> Result<()> {
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(Fault::Elements);
        }
        if self.out.len() > self.limits.bytes {
            return Err(Fault::Bytes);
        }
        Ok(())
    }

    /// Walks an object: `on` is called for each known member that is not null; unknown ones are
    /// ignored, as OTLP says. The path is left as it is on a fault, so that it names the place.
    pub(super) fn object(
        &mut self,
        known: &'static [&'static str],
        mut on: impl FnMut(&mut Self, &'static str) -> Result<()>,
    ) -> Result<()> {
        self.lex.open(Kind::Object)?;
        self.count()?;
        let (mut first, mut seen) = (true, 0u32);
        while let Some(name) = self.lex.member(&mut first)? {
            let Some(index) = known.iter().position(|k| *k == name) else {
                self.lex.skip()?;
                continue;
            };
            if self.lex.null()? {
                continue;
            }
            self.path.push(Step::Field(known[index]));
            if seen & (1 << index) != 0 {
                return self.lex.wrong("given twice");
            }
            seen |= 1 << index;
            on(self, known[index])?;
            self.path.pop();
        }
        Ok(())
    }

    /// Walks an array.
    pub(super) fn array(&mut self, mut on: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.lex.open(Kind::Array)?;
        let (mut first, mut index) = (true, 0);
        while self.lex.item(&mut first)? {
            self.path.push(Step::Item(index));
            on(self)?;
            self.path.pop();
            index += 1;
        }
        Ok(())
    }

    /// Writes a sub-message whose content `on` writes.
    pub(super) fn message(
        &mut self,
        tag: u32,
        on: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let body = wire::open(&mut self.out, tag);
        on(self)?;
        wire::close(&mut self.out, body);
        Ok(())
    }

    /// A repeated sub-message field.
    pub(super) fn messages(
        &mut self,
        tag: u32,
        mut on: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.array(|w| w.message(tag, &mut on))
    }

    /// A string field; an empty one is protobuf's default and not written.
    pub(super) fn text(&mut self, tag: u32) -> Result<()> {
        let value = self.lex.string()?;
        if !value.is_empty() {
            wire::bytes(&mut self.out, tag, value.as_bytes());
        }
        Ok(())
    }

    fn request(&mut self) -> Result<()> {
        self.object(&["resourceMetrics"], |w, _| {
            w.messages(1, Self::resource_metrics)
        })?;
        self.lex.end()?;
        if self.out.len() > self.limits.bytes {
            return Err(Fault::Bytes);
        }
        Ok(())
    }

    fn resource_metrics(&mut self) -> Result<()> {
        self.object(
            &["resource", "scopeMetrics", "schemaUrl"],
            |w, name| match name {
                "resource" => w.message(1, Self::resource),
                "scopeMetrics" => w.messages(2, Self::scope_metrics),
                _ => w.text(3),
            },
        )
    }

    fn scope_metrics(&mut self) -> Result<()> {
        self.object(&["scope", "metrics", "schemaUrl"], |w, name| match name {
            "scope" => w.message(1, Self::scope),
            "metrics" => w.array(Self::metric_or_rejection),
            _ => w.text(3),
        })
    }

    /// A metric with a wrong field outside its points is left out with all of its points.
    fn metric_or_rejection(&mut self) -> Result<()> {
        if self.lex.kind()? != Kind::Object {
            return self.lex.wrong("expected an object (a metric)");
        }
        let (mark, start, depth) = (self.lex.mark(), self.out.len(), self.path.len());
        let before = self.rejected;
        match self.message(2, Self::metric) {
            Err(fault) if fault.is_local() => {
                self.reject(fault);
                self.path.truncate(depth);
                self.out.truncate(start);
                self.lex.back_to(mark);
                let points = self.points_of_metric()?;
                // One, where there is nothing that could be counted.
                self.rejected = before + points.max(1);
                Ok(())
            }
            other => other,
        }
    }

    /// A point with a wrong field is left out alone.
    pub(super) fn point_or_rejection(
        &mut self,
        tag: u32,
        on: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let (mark, start, depth) = (self.lex.mark(), self.out.len(), self.path.len());
        match self.message(tag, on) {
            Err(fault) if fault.is_local() => {
                self.reject(fault);
                self.path.truncate(depth);
                self.out.truncate(start);
                self.lex.back_to(mark);
                self.lex.skip()?;
                self.rejected += 1;
                Ok(())
            }
            other => other,
        }
    }

    fn reject(&mut self, fault: Fault) {
        if self.reason.is_none()
            && let Fault::Type { what, .. } = fault
        {
            self.reason = Some(format!("{}: {what}", self.place()));
        }
    }

    /// How many data points the metric that comes next has, whatever is wrong with it.
    fn points_of_metric(&mut self) -> Result<u64> {
        let (mut points, mut first) = (0, true);
        self.lex.open(Kind::Object)?;
        while let Some(name) = self.lex.member(&mut first)? {
            if !DATA.contains(&&*name) || self.lex.kind()? != Kind::Object {
                self.lex.skip()?;
                continue;
            }
            let mut first = true;
            self.lex.open(Kind::Object)?;
            while let Some(name) = self.lex.member(&mut first)? {
                if name != "dataPoints" || self.lex.kind()? != Kind::Array {
                    self.lex.skip()?;
                    continue;
                }
                let mut first = true;
                self.lex.open(Kind::Array)?;
                while self.lex.item(&mut first)? {
                    self.lex.skip()?;
                    points += 1;
                }
            }
        }
        Ok(points)
    }
}

/// The members of a metric that hold points.
const DATA: [&str; 5] = [
    "gauge",
    "sum",
    "histogram",
    "exponentialHistogram",
    "summary",
];
