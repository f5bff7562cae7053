//! Validation of what the walk does not read: texts, attributes, exemplars, buckets.
//!
//! As strict as prost: a wrong wire type or a string that is no UTF-8 is malformed. Shapes that are
//! legal but rare (a singular message twice, unpacked buckets) are told apart: the walk sends their
//! resource through the generated types.

use super::cursor::{Cursor, Field, Value, WireError};
use super::index::{Reject, Span};
use super::otlp::{any_value, buckets, entity_ref, exemplar, key_value, metric, resource, scope};

/// So deep below a request lies an attribute of a resource, a scope or a metric's metadata, a point, an exemplar.
const OF_RESOURCE: u32 = 3;
const OF_SCOPE: u32 = 4;
const OF_POINT: u32 = 6;
const OF_EXEMPLAR: u32 = 7;

/// What a check found beside errors.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found {
    /// A shape that only the generated types read rightly.
    pub rare: bool,
    /// A limit that was passed.
    pub reject: Reject,
}

impl Found {
    fn reject(&mut self, reject: Reject) {
        if self.reject == Reject::No {
            self.reject = reject;
        }
    }
}

/// Limits on attributes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Attributes of one point, resource or scope.
    pub attributes: usize,
    /// Bytes of one value.
    pub value_bytes: usize,
    /// Messages inside each other below a request.
    pub depth: u32,
}

type Checked = Result<(), WireError>;

fn wrong(field: &Field<'_>, what: &'static str) -> WireError {
    WireError {
        offset: field.start,
        what,
    }
}

/// The field's bytes.
#[inline]
pub fn bytes<'a>(field: &Field<'a>) -> Result<&'a [u8], WireError> {
    field
        .value
        .bytes()
        .ok_or_else(|| wrong(field, "a length-delimited field"))
}

/// A varint field.
#[inline]
pub fn varint(field: &Field<'_>) -> Result<u64, WireError> {
    match field.value {
        Value::Varint(n) => Ok(n),
        _ => Err(wrong(field, "a varint field")),
    }
}

/// A fixed64 field.
#[inline]
pub fn fixed64(field: &Field<'_>) -> Result<u64, WireError> {
    match field.value {
        Value::Fixed64(n) => Ok(n),
        _ => Err(wrong(field, "a fixed64 field")),
    }
}

/// A string field.
pub fn utf8(field: &Field<'_>) -> Checked {
    match std::str::from_utf8(bytes(field)?) {
        Ok(_) => Ok(()),
        Err(e) => Err(WireError {
            offset: field.body + e.valid_up_to(),
            what: "UTF-8",
        }),
    }
}

fn inside<'a>(data: &'a [u8], field: &Field<'a>) -> Result<Cursor<'a>, WireError> {
    bytes(field)?;
    Ok(Cursor::within(data, field.body, field.end))
}

/// Checks a `Resource` body.
pub fn resource(data: &[u8], at: Span, bounds: &Bounds, found: &mut Found) -> Checked {
    let mut cursor = Cursor::within(data, at.start as usize, at.end as usize);
    let mut attributes = 0;
    while let Some(field) = cursor.next()? {
        match field.number {
            resource::ATTRIBUTES => {
                attributes += 1;
                attribute(data, &field, OF_RESOURCE, bounds, found)?;
            }
            resource::DROPPED_ATTRIBUTES_COUNT => drop(varint(&field)?),
            resource::ENTITY_REFS => entity(inside(data, &field)?)?,
            _ => {}
        }
    }
    if attributes > bounds.attributes {
        found.reject(Reject::Attributes);
    }
    Ok(())
}

fn entity(mut cursor: Cursor<'_>) -> Checked {
    while let Some(field) = cursor.next()? {
        if (entity_ref::SCHEMA_URL..=entity_ref::DESCRIPTION_KEYS).contains(&field.number) {
            utf8(&field)?;
        }
    }
    Ok(())
}

/// Checks an `InstrumentationScope` body.
pub fn scope(data: &[u8], at: Span, bounds: &Bounds, found: &mut Found) -> Checked {
    let mut cursor = Cursor::within(data, at.start as usize, at.end as usize);
    let mut attributes = 0;
    while let Some(field) = cursor.next()? {
        match field.number {
            scope::NAME | scope::VERSION => utf8(&field)?,
            scope::ATTRIBUTES => {
                attributes += 1;
                attribute(data, &field, OF_SCOPE, bounds, found)?;
            }
            scope::DROPPED_ATTRIBUTES_COUNT => drop(varint(&field)?),
            _ => {}
        }
    }
    if attributes > bounds.attributes {
        found.reject(Reject::Attributes);
    }
    Ok(())
}

/// Checks the texts and metadata in a part of a `Metric` body.
pub fn metric(data: &[u8], at: Span, bounds: &Bounds, found: &mut Found) -> Checked {
    let mut cursor = Cursor::within(data, at.start as usize, at.end as usize);
    while let Some(field) = cursor.next()? {
        match field.number {
            metric::NAME | metric::DESCRIPTION | metric::UNIT => utf8(&field)?,
            metric::METADATA => {
                // Metadata is no identity: a long value rejects nothing.
                let mut own = Found::default();
                attribute(data, &field, OF_SCOPE, bounds, &mut own)?;
                found.rare |= own.rare;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks a run of attribute fields.
pub fn attributes(
    data: &[u8],
    at: Span,
    number: u32,
    bounds: &Bounds,
    found: &mut Found,
) -> Checked {
    let mut cursor = Cursor::within(data, at.start as usize, at.end as usize);
    let mut count = 0;
    while let Some(field) = cursor.next()? {
        if field.number == number {
            count += 1;
            attribute(data, &field, OF_POINT, bounds, found)?;
        }
    }
    if count > bounds.attributes {
        found.reject(Reject::Attributes);
    }
    Ok(())
}

fn attribute(
    data: &[u8],
    field: &Field<'_>,
    at: u32,
    bounds: &Bounds,
    found: &mut Found,
) -> Checked {
    if bytes(field)?.len() > bounds.value_bytes {
        // Exact only for the long ones: the whole attribute is looked at, then its value.
        let long = |f: Field<'_>| {
            f.number == key_value::VALUE
                && f.value
                    .bytes()
                    .is_some_and(|v| payload(v) > bounds.value_bytes)
        };
        if super::fields(bytes(field)?).any(long) {
            found.reject(Reject::ValueBytes);
        }
    }
    pair(data, field, bounds.depth.saturating_sub(at), found)
}

/// Bytes of the value inside an `AnyValue` body.
fn payload(any_value: &[u8]) -> usize {
    super::fields(any_value)
        .map(|f| f.value.bytes().map_or(8, <[u8]>::len))
        .max()
        .unwrap_or(0)
}

/// `depth`: messages that may still lie inside each other in it.
fn pair(data: &[u8], field: &Field<'_>, depth: u32, found: &mut Found) -> Checked {
    let mut cursor = inside(data, field)?;
    let mut values = 0;
    while let Some(inner) = cursor.next()? {
        match inner.number {
            key_value::KEY => utf8(&inner)?,
            key_value::VALUE => {
                values += 1;
                any(data, &inner, deeper(&inner, depth)?, found)?;
            }
            key_value::KEY_STRINDEX => drop(varint(&inner)?),
            _ => {}
        }
    }
    found.rare |= values > 1;
    Ok(())
}

fn deeper(field: &Field<'_>, depth: u32) -> Result<u32, WireError> {
    let less = "attribute values less deeply nested";
    depth.checked_sub(1).ok_or_else(|| wrong(field, less))
}

fn any(data: &[u8], field: &Field<'_>, depth: u32, found: &mut Found) -> Checked {
    let mut cursor = inside(data, field)?;
    let mut values = 0;
    while let Some(inner) = cursor.next()? {
        values += 1;
        match inner.number {
            any_value::STRING => utf8(&inner)?,
            any_value::BOOL | any_value::INT | any_value::STRING_STRINDEX => drop(varint(&inner)?),
            any_value::DOUBLE => drop(fixed64(&inner)?),
            any_value::BYTES => drop(bytes(&inner)?),
            any_value::ARRAY => {
                let depth = deeper(&inner, depth)?;
                let mut items = inside(data, &inner)?;
                while let Some(item) = items.next()? {
                    if item.number == any_value::ITEMS {
                        any(data, &item, deeper(&item, depth)?, found)?;
                    }
                }
            }
            any_value::KVLIST => {
                let depth = deeper(&inner, depth)?;
                let mut items = inside(data, &inner)?;
                while let Some(item) = items.next()? {
                    if item.number == any_value::ITEMS {
                        pair(data, &item, deeper(&item, depth)?, found)?;
                    }
                }
            }
            _ => values -= 1,
        }
    }
    found.rare |= values > 1;
    Ok(())
}

/// Checks an `Exemplar` field.
pub fn exemplar(data: &[u8], field: &Field<'_>, bounds: &Bounds, found: &mut Found) -> Checked {
    let depth = bounds.depth.saturating_sub(OF_EXEMPLAR);
    let mut cursor = inside(data, field)?;
    while let Some(inner) = cursor.next()? {
        match inner.number {
            exemplar::TIME | exemplar::AS_DOUBLE | exemplar::AS_INT => drop(fixed64(&inner)?),
            exemplar::SPAN_ID | exemplar::TRACE_ID => drop(bytes(&inner)?),
            exemplar::FILTERED_ATTRIBUTES => pair(data, &inner, depth, found)?,
            _ => {}
        }
    }
    Ok(())
}

/// Checks a `ValueAtQuantile` field.
pub fn quantile(data: &[u8], field: &Field<'_>) -> Checked {
    let mut cursor = inside(data, field)?;
    while let Some(inner) = cursor.next()? {
        if inner.number == 1 || inner.number == 2 {
            fixed64(&inner)?;
        }
    }
    Ok(())
}

/// Checks a repeated fixed64 or double field; unpacked is rare.
pub fn packed_fixed64(field: &Field<'_>, bounds: &Bounds, found: &mut Found) -> Checked {
    match field.value {
        Value::Bytes(raw) if raw.len() % 8 == 0 => {
            if raw.len() > bounds.value_bytes {
                found.reject(Reject::Buckets);
            }
            Ok(())
        }
        Value::Fixed64(_) => {
            found.rare = true;
            Ok(())
        }
        _ => Err(wrong(field, "packed fixed64 values")),
    }
}

/// Checks a `Buckets` field of an exponential histogram; unpacked or split counts are rare.
pub fn buckets(data: &[u8], field: &Field<'_>, bounds: &Bounds, found: &mut Found) -> Checked {
    let mut cursor = inside(data, field)?;
    let mut runs = 0;
    while let Some(inner) = cursor.next()? {
        match (inner.number, inner.value) {
            (buckets::OFFSET, _) => drop(varint(&inner)?),
            (buckets::BUCKET_COUNTS, Value::Bytes(packed)) => {
                runs += 1;
                if packed.len() > bounds.value_bytes {
                    found.reject(Reject::Buckets);
                }
                let mut counts = inside(data, &inner)?;
                while !counts.is_empty() {
                    counts.varint()?;
                }
            }
            (buckets::BUCKET_COUNTS, Value::Varint(_)) => found.rare = true,
            (buckets::BUCKET_COUNTS, _) => return Err(wrong(&inner, "packed varints")),
            _ => {}
        }
    }
    found.rare |= runs > 1;
    Ok(())
}
