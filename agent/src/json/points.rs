//! What the envelope holds: resource, scope, metric, points, exemplars, attributes, values.

use super::decode::Walker;
use super::lexer::Result;
use super::wire;

impl Walker<'_> {
    pub(super) fn resource(&mut self) -> Result<()> {
        self.object(
            &["attributes", "droppedAttributesCount", "entityRefs"],
            |w, name| match name {
                "attributes" => w.attributes(1),
                "droppedAttributesCount" => w.uint32(2),
                _ => w.messages(3, Self::entity_ref),
            },
        )
    }

    fn entity_ref(&mut self) -> Result<()> {
        self.object(
            &["schemaUrl", "type", "idKeys", "descriptionKeys"],
            |w, name| match name {
                "schemaUrl" => w.text(1),
                "type" => w.text(2),
                "idKeys" => w.texts(3),
                _ => w.texts(4),
            },
        )
    }

    pub(super) fn scope(&mut self) -> Result<()> {
        self.object(
            &["name", "version", "attributes", "droppedAttributesCount"],
            |w, name| match name {
                "name" => w.text(1),
                "version" => w.text(2),
                "attributes" => w.attributes(3),
                _ => w.uint32(4),
            },
        )
    }

    pub(super) fn metric(&mut self) -> Result<()> {
        let mut data = false;
        self.object(
            &[
                "name",
                "description",
                "unit",
                "metadata",
                "gauge",
                "sum",
                "histogram",
                "exponentialHistogram",
                "summary",
            ],
            |w, name| match name {
                "name" => w.text(1),
                "description" => w.text(2),
                "unit" => w.text(3),
                "metadata" => w.attributes(12),
                _ if std::mem::replace(&mut data, true) => w
                    .lex
                    .wrong("a metric has one kind of data; this is the second"),
                "gauge" => w.message(5, |w| w.data(Self::number_point)),
                "sum" => w.message(7, |w| w.data(Self::number_point)),
                "histogram" => w.message(9, |w| w.data(Self::histogram_point)),
                "exponentialHistogram" => w.message(10, |w| w.data(Self::exponential_point)),
                _ => w.message(11, |w| w.data(Self::summary_point)),
            },
        )
    }

    /// The five kinds share their shape; members that a kind lacks are unknown to it, and harmless.
    fn data(&mut self, point: fn(&mut Self) -> Result<()>) -> Result<()> {
        self.object(
            &["dataPoints", "aggregationTemporality", "isMonotonic"],
            |w, name| match name {
                "dataPoints" => w.array(|w| w.point_or_rejection(1, point)),
                "aggregationTemporality" => {
                    let value = w.lex.temporality()?;
                    w.varint(2, value as u64)
                }
                _ => {
                    let value = w.lex.boolean()?;
                    w.varint(3, u64::from(value))
                }
            },
        )
    }

    fn number_point(&mut self) -> Result<()> {
        let mut value = false;
        self.object(
            &[
                "attributes",
                "startTimeUnixNano",
                "timeUnixNano",
                "asDouble",
                "asInt",
                "exemplars",
                "flags",
            ],
            |w, name| match name {
                "attributes" => w.attributes(7),
                "startTimeUnixNano" => w.fixed(2),
                "timeUnixNano" => w.fixed(3),
                "exemplars" => w.messages(5, Self::exemplar),
                "flags" => w.uint32(8),
                _ => w.value(name, &mut value, 4),
            },
        )
    }

    /// `asDouble` (as field `double`) or `asInt` (always field 6), not both.
    fn value(&mut self, name: &str, given: &mut bool, double: u32) -> Result<()> {
        if std::mem::replace(given, true) {
            return self.lex.wrong("both asInt and asDouble are given");
        }
        if name == "asInt" {
            let value = self.lex.i64()?;
            wire::fixed64(&mut self.out, 6, value as u64);
        } else {
            let value = self.lex.f64()?;
            wire::fixed64(&mut self.out, double, value.to_bits());
        }
        Ok(())
    }

    fn histogram_point(&mut self) -> Result<()> {
        self.object(
            &[
                "attributes",
                "startTimeUnixNano",
                "timeUnixNano",
                "count",
                "sum",
                "bucketCounts",
                "explicitBounds",
                "exemplars",
                "flags",
                "min",
                "max",
            ],
            |w, name| match name {
                "attributes" => w.attributes(9),
                "startTimeUnixNano" => w.fixed(2),
                "timeUnixNano" => w.fixed(3),
                "count" => w.fixed(4),
                "sum" => w.optional_double(5),
                "bucketCounts" => w.packed(6, |w| {
                    let value = w.lex.u64()?;
                    w.out.extend_from_slice(&value.to_le_bytes());
                    Ok(())
                }),
                "explicitBounds" => w.packed(7, |w| {
                    let value = w.lex.f64()?;
                    w.out.extend_from_slice(&value.to_le_bytes());
                    Ok(())
                }),
                "exemplars" => w.messages(8, Self::exemplar),
                "flags" => w.uint32(10),
                "min" => w.optional_double(11),
                _ => w.optional_double(12),
            },
        )
    }

    fn exponential_point(&mut self) -> Result<()> {
        self.object(
            &[
                "attributes",
                "startTimeUnixNano",
                "timeUnixNano",
                "count",
                "sum",
                "scale",
                "zeroCount",
                "positive",
                "negative",
                "flags",
                "exemplars",
                "min",
                "max",
                "zeroThreshold",
            ],
            |w, name| match name {
                "attributes" => w.attributes(1),
                "startTimeUnixNano" => w.fixed(2),
                "timeUnixNano" => w.fixed(3),
                "count" => w.fixed(4),
                "sum" => w.optional_double(5),
                "scale" => w.sint32(6),
                "zeroCount" => w.fixed(7),
                "positive" => w.message(8, Self::buckets),
                "negative" => w.message(9, Self::buckets),
                "flags" => w.uint32(10),
                "exemplars" => w.messages(11, Self::exemplar),
                "min" => w.optional_double(12),
                "max" => w.optional_double(13),
                _ => w.double(14),
            },
        )
    }

    fn buckets(&mut self) -> Result<()> {
        self.object(&["offset", "bucketCounts"], |w, name| match name {
            "offset" => w.sint32(1),
            _ => w.packed(2, |w| {
                let value = w.lex.u64()?;
                wire::varint(&mut w.out, value);
                Ok(())
            }),
        })
    }

    fn summary_point(&mut self) -> Result<()> {
        self.object(
            &[
                "attributes",
                "startTimeUnixNano",
                "timeUnixNano",
                "count",
                "sum",
                "quantileValues",
                "flags",
            ],
            |w, name| match name {
                "attributes" => w.attributes(7),
                "startTimeUnixNano" => w.fixed(2),
                "timeUnixNano" => w.fixed(3),
                "count" => w.fixed(4),
                "sum" => w.double(5),
                "quantileValues" => w.messages(6, |w| {
                    w.object(&["quantile", "value"], |w, name| match name {
                        "quantile" => w.double(1),
                        _ => w.double(2),
                    })
                }),
                _ => w.uint32(8),
            },
        )
    }

    fn exemplar(&mut self) -> Result<()> {
        let mut value = false;
        self.object(
            &[
                "filteredAttributes",
                "timeUnixNano",
                "asDouble",
                "asInt",
                "spanId",
                "traceId",
            ],
            |w, name| match name {
                "filteredAttributes" => w.attributes(7),
                "timeUnixNano" => w.fixed(2),
                "spanId" => w.id(4, 8),
                "traceId" => w.id(5, 16),
                _ => w.value(name, &mut value, 3),
            },
        )
    }

    fn id(&mut self, tag: u32, length: usize) -> Result<()> {
        let id = self.lex.hex(length)?;
        if !id.is_empty() {
            wire::bytes(&mut self.out, tag, &id);
        }
        Ok(())
    }

    fn attributes(&mut self, tag: u32) -> Result<()> {
        self.messages(tag, Self::key_value)
    }

    fn key_value(&mut self) -> Result<()> {
        self.object(&["key", "value"], |w, name| match name {
            "key" => w.text(1),
            _ => w.message(2, Self::any_value),
        })
    }

    fn any_value(&mut self) -> Result<()> {
        let mut given = false;
        self.object(
            &[
                "stringValue",
                "boolValue",
                "intValue",
                "doubleValue",
                "arrayValue",
                "kvlistValue",
                "bytesValue",
            ],
            |w, name| {
                if std::mem::replace(&mut given, true) {
                    return w.lex.wrong("a value has one type; this is the second");
                }
                w.typed_value(name)
            },
        )
    }

    /// Written even where it is zero or empty: the choice of type is part of the value.
    fn typed_value(&mut self, name: &str) -> Result<()> {
        match name {
            "stringValue" => {
                let value = self.lex.string()?;
                wire::bytes(&mut self.out, 1, value.as_bytes());
            }
            "boolValue" => {
                let value = self.lex.boolean()?;
                wire::number(&mut self.out, 2, u64::from(value));
            }
            "intValue" => {
                let value = self.lex.i64()?;
                wire::number(&mut self.out, 3, value as u64);
            }
            "doubleValue" => {
                let value = self.lex.f64()?;
                wire::fixed64(&mut self.out, 4, value.to_bits());
            }
            "bytesValue" => {
                let value = self.lex.base64()?;
                wire::bytes(&mut self.out, 7, &value);
            }
            "arrayValue" => self.message(5, |w| {
                w.object(&["values"], |w, _| w.messages(1, Self::any_value))
            })?,
            _ => self.message(6, |w| {
                w.object(&["values"], |w, _| w.messages(1, Self::key_value))
            })?,
        }
        Ok(())
    }

    fn texts(&mut self, tag: u32) -> Result<()> {
        self.array(|w| {
            let value = w.lex.string()?;
            wire::bytes(&mut w.out, tag, value.as_bytes());
            Ok(())
        })
    }

    fn varint(&mut self, tag: u32, value: u64) -> Result<()> {
        if value != 0 {
            wire::number(&mut self.out, tag, value);
        }
        Ok(())
    }

    fn uint32(&mut self, tag: u32) -> Result<()> {
        let value = self.lex.u32()?;
        self.varint(tag, u64::from(value))
    }

    fn sint32(&mut self, tag: u32) -> Result<()> {
        let value = self.lex.i32()?;
        self.varint(tag, wire::zigzag(value))
    }

    fn fixed(&mut self, tag: u32) -> Result<()> {
        let value = self.lex.u64()?;
        if value != 0 {
            wire::fixed64(&mut self.out, tag, value);
        }
        Ok(())
    }

    fn double(&mut self, tag: u32) -> Result<()> {
        let bits = self.lex.f64()?.to_bits();
        if bits != 0 {
            wire::fixed64(&mut self.out, tag, bits);
        }
        Ok(())
    }

    /// A field with presence: zero is not the same as absent.
    fn optional_double(&mut self, tag: u32) -> Result<()> {
        let value = self.lex.f64()?;
        wire::fixed64(&mut self.out, tag, value.to_bits());
        Ok(())
    }

    fn packed(&mut self, tag: u32, on: fn(&mut Self) -> Result<()>) -> Result<()> {
        let start = self.out.len();
        let body = wire::open(&mut self.out, tag);
        self.array(on)?;
        if self.out.len() == body {
            self.out.truncate(start);
        } else {
            wire::close(&mut self.out, body);
        }
        Ok(())
    }
}
