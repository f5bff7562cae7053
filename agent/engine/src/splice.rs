//! The edit of a request: kept ranges are copied, dropped ones skipped, lengths fixed, empty parents
//! removed. Everything that is not a dropped point survives byte for byte, unknown fields included.

pub mod assemble;
pub mod ruler;
pub mod runs;

use crate::wire::index::{Index, Nested, Span};
use crate::wire::otlp::{data, request, resource_metrics, scope_metrics};
use crate::wire::write::{self, field_len};

/// One bit a point of the request: whether it stays. Reused.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept {
    words: Vec<u64>,
    /// Points that stay.
    pub count: usize,
}

impl Kept {
    /// All points go.
    pub fn clear(&mut self, points: usize) {
        self.words.clear();
        self.words.resize(points.div_ceil(64), 0);
        self.count = 0;
    }

    /// Point `index` stays.
    #[inline]
    pub fn keep(&mut self, index: usize) {
        if let Some(word) = self.words.get_mut(index / 64) {
            *word |= 1 << (index % 64);
            self.count += 1;
        }
    }

    /// The points of `all` that are not among `others`.
    pub fn set_without(&mut self, all: &Kept, others: &Kept) {
        let words = all.words.iter().zip(&others.words);
        self.words.clear();
        self.words.extend(words.map(|(all, others)| all & !others));
        let ones = self.words.iter().map(|word| word.count_ones() as usize);
        self.count = ones.sum();
    }

    /// Whether point `index` stays.
    #[inline]
    pub fn has(&self, index: usize) -> bool {
        self.words
            .get(index / 64)
            .is_some_and(|word| word & (1 << (index % 64)) != 0)
    }
}

/// New lengths, bottom up; reused.
#[derive(Debug, Default)]
pub struct Lengths {
    resources: Vec<Size>,
    scopes: Vec<Size>,
    metrics: Vec<Size>,
}

/// What becomes of one message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Size {
    /// Nothing in it stays.
    #[default]
    Gone,
    /// All of it stays.
    Whole,
    /// Body length; for a metric also that of its data message.
    Cut { body: usize, data: usize },
}

impl Size {
    /// Length of the whole field, tag included.
    fn field(self, at: Nested) -> usize {
        match self {
            Size::Gone => 0,
            Size::Whole => at.field.len(),
            Size::Cut { body, .. } => field_len(body),
        }
    }
}

/// Appends the request with only the kept points. At least one point is not kept (else the caller
/// forwards the buffer as it is).
pub fn splice(index: &Index, bytes: &[u8], kept: &Kept, lengths: &mut Lengths, out: &mut Vec<u8>) {
    if kept.count == 0 {
        return;
    }
    out.reserve_exact(length(index, bytes.len(), kept, lengths));
    let mut copied = 0;
    for (entry, size) in index.resources.iter().zip(&lengths.resources) {
        gap(bytes, &mut copied, entry.at, out);
        match size {
            Size::Gone => {}
            Size::Whole => out.extend_from_slice(entry.at.field.of(bytes)),
            Size::Cut { body, .. } => {
                open(request::RESOURCE_METRICS, *body, out);
                write_resource(
                    index,
                    bytes,
                    kept,
                    lengths,
                    entry.at.body(),
                    entry.scopes,
                    out,
                );
            }
        }
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
}

/// How long a request of `bytes` becomes with only the kept points, of which there are some.
pub fn length(index: &Index, bytes: usize, kept: &Kept, lengths: &mut Lengths) -> usize {
    measure(index, kept, lengths);
    let sizes = index.resources.iter().zip(&lengths.resources);
    let gone = sizes.fold(0, |gone, (entry, size)| {
        gone + entry.at.field.len() - size.field(entry.at)
    });
    bytes - gone
}

fn open(number: u32, body: usize, out: &mut Vec<u8>) {
    write::put_tag(out, number, 2);
    write::put_varint(out, body as u64);
}

/// Copies what lies between the child before and this one.
fn gap(bytes: &[u8], copied: &mut usize, child: Nested, out: &mut Vec<u8>) {
    let start = child.field.start as usize;
    if start > *copied {
        out.extend_from_slice(bytes.get(*copied..start).unwrap_or_default());
    }
    *copied = child.field.end as usize;
}

fn rest(bytes: &[u8], copied: usize, body: Span, out: &mut Vec<u8>) {
    out.extend_from_slice(bytes.get(copied..body.end as usize).unwrap_or_default());
}

fn write_resource(
    index: &Index,
    bytes: &[u8],
    kept: &Kept,
    lengths: &Lengths,
    body: Span,
    scopes: (u32, u32),
    out: &mut Vec<u8>,
) {
    let mut copied = body.start as usize;
    for number in range(scopes) {
        let (Some(entry), Some(size)) = (index.scopes.get(number), lengths.scopes.get(number))
        else {
            continue;
        };
        gap(bytes, &mut copied, entry.at, out);
        match size {
            Size::Gone => {}
            Size::Whole => out.extend_from_slice(entry.at.field.of(bytes)),
            Size::Cut { body, .. } => {
                open(resource_metrics::SCOPE_METRICS, *body, out);
                write_scope(
                    index,
                    bytes,
                    kept,
                    lengths,
                    entry.at.body(),
                    entry.metrics,
                    out,
                );
            }
        }
    }
    rest(bytes, copied, body, out);
}

fn write_scope(
    index: &Index,
    bytes: &[u8],
    kept: &Kept,
    lengths: &Lengths,
    body: Span,
    metrics: (u32, u32),
    out: &mut Vec<u8>,
) {
    let mut copied = body.start as usize;
    for number in range(metrics) {
        let (Some(entry), Some(size)) = (index.metrics.get(number), lengths.metrics.get(number))
        else {
            continue;
        };
        gap(bytes, &mut copied, entry.at, out);
        match size {
            Size::Gone => {}
            Size::Whole => out.extend_from_slice(entry.at.field.of(bytes)),
            Size::Cut { body, data } => {
                open(scope_metrics::METRICS, *body, out);
                out.extend_from_slice(entry.head().of(bytes));
                open(entry.kind.map_or(0, |kind| kind.field()), *data, out);
                write_points(index, bytes, kept, entry.data.body(), entry.points, out);
                out.extend_from_slice(entry.tail().of(bytes));
            }
        }
    }
    rest(bytes, copied, body, out);
}

/// Runs of kept points are copied in one piece.
fn write_points(
    index: &Index,
    bytes: &[u8],
    kept: &Kept,
    body: Span,
    points: (u32, u32),
    out: &mut Vec<u8>,
) {
    let mut from = body.start as usize;
    for number in range(points) {
        let Some(entry) = index.points.get(number) else {
            continue;
        };
        if !kept.has(number) {
            out.extend_from_slice(
                bytes
                    .get(from..entry.at.field.start as usize)
                    .unwrap_or_default(),
            );
            from = entry.at.field.end as usize;
        }
    }
    rest(bytes, from, body, out);
}

fn range((first, last): (u32, u32)) -> std::ops::Range<usize> {
    first as usize..last as usize
}

fn measure(index: &Index, kept: &Kept, lengths: &mut Lengths) {
    lengths.metrics.clear();
    for entry in &index.metrics {
        let (mut dropped, mut left) = (0, 0);
        for number in range(entry.points) {
            if kept.has(number) {
                left += 1;
            } else {
                dropped += index.points.get(number).map_or(0, |p| p.at.field.len());
            }
        }
        let size = if left == 0 {
            Size::Gone
        } else if dropped == 0 {
            Size::Whole
        } else {
            let data = entry.data.body().len() - dropped;
            Size::Cut {
                body: entry.head().len() + field_len(data) + entry.tail().len(),
                data,
            }
        };
        lengths.metrics.push(size);
    }
    lengths.scopes.clear();
    for entry in &index.scopes {
        let children = range(entry.metrics).filter_map(|number| {
            Some((index.metrics.get(number)?.at, *lengths.metrics.get(number)?))
        });
        lengths.scopes.push(parent(entry.at, children));
    }
    lengths.resources.clear();
    for entry in &index.resources {
        let children = range(entry.scopes).filter_map(|number| {
            Some((index.scopes.get(number)?.at, *lengths.scopes.get(number)?))
        });
        lengths.resources.push(parent(entry.at, children));
    }
}

fn parent(at: Nested, children: impl Iterator<Item = (Nested, Size)>) -> Size {
    let mut body = at.body().len();
    let (mut whole, mut gone) = (true, true);
    for (child, size) in children {
        whole &= size == Size::Whole;
        gone &= size == Size::Gone;
        body = body + size.field(child) - child.field.len();
    }
    match (gone, whole) {
        (true, _) => Size::Gone,
        (_, true) => Size::Whole,
        _ => Size::Cut { body, data: 0 },
    }
}

const _: () = assert!(data::DATA_POINTS < 16 && scope_metrics::METRICS < 16);
