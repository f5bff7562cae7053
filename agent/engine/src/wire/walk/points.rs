//! One point: its fields are read once, its series is looked up by the memo's key.

use super::super::check::{self, Found};
use super::super::cursor::{Cursor, Field, WireError};
use super::super::index::{MetricEntry, PointEntry, Reject, Span, UNKNOWN};
use super::super::otlp::{exponential_point, histogram_point, number_point, point, summary_point};
use super::{Memo, Stop, Walk, usual};
use crate::view::{MetricType, Number};

impl<M: Memo> Walk<'_, M> {
    #[inline]
    pub(super) fn point(
        &mut self,
        mut entry: PointEntry,
        kind: MetricType,
        of: &MetricEntry,
    ) -> Result<(), Stop> {
        let mut found = Found::default();
        let numeric = matches!(kind, MetricType::Gauge | MetricType::Sum);
        let elements = if numeric {
            match usual::number_point(self.data, &mut entry) {
                Some(attributes) => attributes,
                None => self.number_point(&mut entry, &mut found)?,
            }
        } else {
            self.other_point(&mut entry, kind, &mut found)?
        };
        self.count(elements)?;
        entry.key = self.memo.key(6, of.key, entry.attributes.of(self.data));
        entry.series = self.memo.find(entry.key);
        if entry.series == UNKNOWN {
            self.check_metric(entry.metric)?;
            let number = kind.attributes_field();
            check::attributes(
                self.data,
                entry.attributes,
                number,
                &self.bounds,
                &mut found,
            )?;
            found.reject = self.inherited(of, found.reject);
        }
        if numeric && entry.number.is_none() && entry.flags & point::NO_RECORDED_VALUE == 0 {
            found.reject = Reject::NoValue;
        }
        if found.rare {
            self.rare_metric(of);
        }
        if found.reject != Reject::No {
            entry.reject = found.reject;
            self.reject(found.reject, of);
        }
        self.index.points.push(entry);
        Ok(())
    }

    #[inline]
    fn number_point(&self, entry: &mut PointEntry, found: &mut Found) -> Result<usize, Stop> {
        let mut elements = 0;
        let body = entry.at.body();
        let mut cursor = Cursor::within(self.data, body.start as usize, body.end as usize);
        while let Some(field) = cursor.next()? {
            match field.number {
                number_point::ATTRIBUTES => {
                    elements += 1;
                    extend(&mut entry.attributes, &field, found)?;
                }
                point::START => entry.start = check::fixed64(&field)?,
                point::TIME => entry.time = check::fixed64(&field)?,
                number_point::AS_DOUBLE => {
                    entry.number = Some(Number::Double(f64::from_bits(check::fixed64(&field)?)));
                }
                number_point::AS_INT => {
                    entry.number = Some(Number::Int(check::fixed64(&field)?.cast_signed()));
                }
                number_point::FLAGS => entry.flags = check::varint(&field)? as u32,
                number_point::EXEMPLARS => {
                    elements += 1;
                    entry.exemplars = true;
                    check::exemplar(self.data, &field, &self.bounds, found)?;
                }
                _ => {}
            }
        }
        Ok(elements)
    }

    /// Histograms and summaries: rarer, and with more in them.
    fn other_point(
        &self,
        entry: &mut PointEntry,
        kind: MetricType,
        found: &mut Found,
    ) -> Result<usize, Stop> {
        let mut elements = 0;
        let mut seen = [0u8; 16];
        let exemplars = match kind {
            MetricType::Histogram => histogram_point::EXEMPLARS,
            MetricType::ExponentialHistogram => exponential_point::EXEMPLARS,
            _ => 0,
        };
        let body = entry.at.body();
        let mut cursor = Cursor::within(self.data, body.start as usize, body.end as usize);
        while let Some(field) = cursor.next()? {
            if field.number == kind.attributes_field() {
                elements += 1;
                extend(&mut entry.attributes, &field, found)?;
                continue;
            }
            if let Some(times) = seen.get_mut(field.number as usize) {
                *times = times.saturating_add(1);
            }
            match field.number {
                point::START => entry.start = check::fixed64(&field)?,
                point::TIME => entry.time = check::fixed64(&field)?,
                n if n == kind.flags_field() => entry.flags = check::varint(&field)? as u32,
                _ => {
                    entry.exemplars |= field.number == exemplars;
                    elements += self.other_field(kind, &field, found)?;
                }
            }
        }
        let once: &[u32] = match kind {
            MetricType::Histogram => &[
                histogram_point::BUCKET_COUNTS,
                histogram_point::EXPLICIT_BOUNDS,
            ],
            MetricType::ExponentialHistogram => {
                &[exponential_point::POSITIVE, exponential_point::NEGATIVE]
            }
            _ => &[],
        };
        found.rare |= once
            .iter()
            .any(|n| seen.get(*n as usize).is_some_and(|times| *times > 1));
        Ok(elements)
    }

    /// A field that only one kind of point has; the number of elements in it.
    fn other_field(
        &self,
        kind: MetricType,
        field: &Field<'_>,
        found: &mut Found,
    ) -> Result<usize, Stop> {
        use exponential_point as e;
        use histogram_point as h;
        use summary_point as s;
        match (kind, field.number) {
            (MetricType::Histogram, h::COUNT | h::SUM | h::MIN | h::MAX)
            | (MetricType::Summary, s::COUNT | s::SUM)
            | (
                MetricType::ExponentialHistogram,
                e::COUNT | e::SUM | e::ZERO_COUNT | e::MIN | e::MAX | e::ZERO_THRESHOLD,
            ) => drop(check::fixed64(field)?),
            (MetricType::Histogram, h::BUCKET_COUNTS | h::EXPLICIT_BOUNDS) => {
                check::packed_fixed64(field, &self.bounds, found)?;
            }
            (MetricType::ExponentialHistogram, e::SCALE) => drop(check::varint(field)?),
            (MetricType::ExponentialHistogram, e::POSITIVE | e::NEGATIVE) => {
                check::buckets(self.data, field, &self.bounds, found)?;
            }
            (MetricType::Histogram, h::EXEMPLARS)
            | (MetricType::ExponentialHistogram, e::EXEMPLARS) => {
                check::exemplar(self.data, field, &self.bounds, found)?;
                return Ok(1);
            }
            (MetricType::Summary, s::QUANTILE_VALUES) => {
                check::quantile(self.data, field)?;
                return Ok(1);
            }
            _ => {}
        }
        Ok(0)
    }
}

/// Takes one more attribute into the run; a gap makes the shape rare.
#[inline]
fn extend(run: &mut Span, field: &Field<'_>, found: &mut Found) -> Result<(), WireError> {
    check::bytes(field)?;
    let (start, end) = (field.start as u32, field.end as u32);
    if run.end == 0 {
        run.start = start;
    } else if run.end != start {
        found.rare = true;
    }
    run.end = end;
    Ok(())
}
