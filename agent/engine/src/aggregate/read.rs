//! Histogram points off the wire into accumulators, and what of a point an input has to keep.

use super::explicit::Explicit;
use super::exponential::{Exponential, LEAST_SCALE, Side};
use crate::view::MetricType;
use crate::wire::otlp::{
    buckets, exponential_point as exponential, histogram_point as explicit,
    summary_point as summary,
};
use crate::wire::{Cursor, Value, fields};

/// Reads an explicit histogram from a validated point body, reusing the memory of `into`.
pub fn read_explicit(body: &[u8], into: &mut Explicit) {
    into.count = 0;
    (into.sum, into.min, into.max) = (None, None, None);
    into.bounds.clear();
    into.counts.clear();
    for field in fields(body) {
        match field.number {
            explicit::COUNT => into.count = field.value.bits(),
            explicit::SUM => into.sum = Some(field.value.double()),
            explicit::MIN => into.min = Some(field.value.double()),
            explicit::MAX => into.max = Some(field.value.double()),
            explicit::BUCKET_COUNTS => each_fixed64(field.value, |n| into.counts.push(n)),
            explicit::EXPLICIT_BOUNDS => {
                each_fixed64(field.value, |n| into.bounds.push(f64::from_bits(n)));
            }
            _ => {}
        }
    }
}

/// Reads an exponential histogram from a validated point body, reusing the memory of `into`.
pub fn read_exponential(body: &[u8], into: &mut Exponential) {
    into.count = 0;
    (into.sum, into.min, into.max) = (None, None, None);
    (into.scale, into.zero_threshold, into.zero_count) = (0, 0.0, 0);
    for side in [&mut into.positive, &mut into.negative] {
        side.offset = 0;
        side.counts.clear();
    }
    for field in fields(body) {
        match field.number {
            exponential::COUNT => into.count = field.value.bits(),
            exponential::SUM => into.sum = Some(field.value.double()),
            exponential::MIN => into.min = Some(field.value.double()),
            exponential::MAX => into.max = Some(field.value.double()),
            exponential::SCALE => into.scale = sint32(field.value.bits()).max(LEAST_SCALE),
            exponential::ZERO_COUNT => into.zero_count = field.value.bits(),
            exponential::ZERO_THRESHOLD => into.zero_threshold = field.value.double().max(0.0),
            exponential::POSITIVE => read_side(field.value, &mut into.positive),
            exponential::NEGATIVE => read_side(field.value, &mut into.negative),
            _ => {}
        }
    }
}

/// Sum and count of a summary.
pub fn read_summary(body: &[u8]) -> (f64, u64) {
    let (mut sum, mut count) = (0.0, 0);
    for field in fields(body) {
        match field.number {
            summary::SUM => sum = field.value.double(),
            summary::COUNT => count = field.value.bits(),
            _ => {}
        }
    }
    (sum, count)
}

fn read_side(value: Value<'_>, into: &mut Side) {
    for field in fields(value.bytes().unwrap_or_default()) {
        match (field.number, field.value) {
            (buckets::OFFSET, value) => into.offset = sint32(value.bits()).into(),
            (buckets::BUCKET_COUNTS, Value::Varint(n)) => into.counts.push(n),
            (buckets::BUCKET_COUNTS, Value::Bytes(packed)) => {
                let mut cursor = Cursor::new(packed);
                while !cursor.is_empty() {
                    let Ok(n) = cursor.varint() else { break };
                    into.counts.push(n);
                }
            }
            _ => {}
        }
    }
}

/// Of a longer varint the lower 32 bits count, as in the generated types.
fn sint32(raw: u64) -> i32 {
    let raw = raw as u32;
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

/// Packed or not: protobuf allows both.
fn each_fixed64(value: Value<'_>, mut each: impl FnMut(u64)) {
    match value {
        Value::Fixed64(n) => each(n),
        Value::Bytes(packed) => {
            for chunk in packed.chunks_exact(8) {
                each(u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
            }
        }
        _ => {}
    }
}

/// Observations of a histogram point of either kind.
pub fn count(body: &[u8]) -> u64 {
    // COUNT has the same number in both kinds.
    fields(body)
        .filter(|field| field.number == explicit::COUNT)
        .last()
        .map_or(0, |field| field.value.bits())
}

/// Whether a histogram point's sum can be added; also where it has none.
pub fn sum_is_finite(body: &[u8]) -> bool {
    // SUM has the same number in both kinds.
    fields(body).all(|field| field.number != explicit::SUM || field.value.double().is_finite())
}

/// Appends the fields of a histogram point that increments need: no attributes, no exemplars, no
/// times, no extremes.
pub fn keep_content(kind: MetricType, body: &[u8], out: &mut Vec<u8>) {
    let numbers: &[u32] = match kind {
        MetricType::Histogram => &[
            explicit::COUNT,
            explicit::SUM,
            explicit::BUCKET_COUNTS,
            explicit::EXPLICIT_BOUNDS,
        ],
        _ => &[
            exponential::COUNT,
            exponential::SUM,
            exponential::SCALE,
            exponential::ZERO_COUNT,
            exponential::POSITIVE,
            exponential::NEGATIVE,
            exponential::ZERO_THRESHOLD,
        ],
    };
    let wanted = numbers.iter().fold(0u32, |all, number| all | 1 << number);
    // What lies side by side is copied at once. The cursor is used as it is: behind an iterator its
    // fields go through memory, for every point of a histogram that passes.
    let mut run = 0..0;
    let mut cursor = Cursor::new(body);
    while let Ok(Some(field)) = cursor.next() {
        if field.number > 31 || wanted & 1 << field.number == 0 {
            continue;
        }
        if run.end != field.start {
            out.extend_from_slice(body.get(run).unwrap_or_default());
            run = field.start..field.start;
        }
        run.end = field.end;
    }
    out.extend_from_slice(body.get(run).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::metrics::v1 as pb;
    use prost::Message;

    #[test]
    fn histograms_are_read_as_prost_wrote_them_and_what_is_kept_reads_the_same() {
        let point = pb::HistogramDataPoint {
            start_time_unix_nano: 1,
            time_unix_nano: 2,
            count: 6,
            sum: Some(4.5),
            bucket_counts: vec![1, 2, 3],
            explicit_bounds: vec![1.0, 2.5],
            min: Some(0.5),
            max: Some(9.0),
            ..Default::default()
        };
        let body = point.encode_to_vec();
        let mut read = Explicit::default();
        read_explicit(&body, &mut read);
        let expected = Explicit {
            count: 6,
            sum: Some(4.5),
            min: Some(0.5),
            max: Some(9.0),
            bounds: vec![1.0, 2.5],
            counts: vec![1, 2, 3],
        };
        assert_eq!(read, expected);
        let mut kept = Vec::new();
        keep_content(MetricType::Histogram, &body, &mut kept);
        assert!(kept.len() < body.len());
        read_explicit(&kept, &mut read);
        assert_eq!(
            read,
            Explicit {
                min: None,
                max: None,
                ..expected
            }
        );
    }

    #[test]
    fn buckets_are_added_up_at_the_least_scale_that_a_point_can_name() {
        use pb::exponential_histogram_data_point::Buckets;
        let point = pb::ExponentialHistogramDataPoint {
            count: 400,
            scale: i32::MIN,
            positive: Some(Buckets {
                offset: -200,
                bucket_counts: vec![1; 400],
            }),
            ..Default::default()
        };
        let mut read = Exponential::default();
        read_exponential(&point.encode_to_vec(), &mut read);
        read.bound();
        assert!(read.widest() <= 160, "{}", read.widest());
        assert_eq!(read.positive.counts.iter().sum::<u64>(), 400);
    }

    #[test]
    fn of_a_number_that_is_longer_than_its_field_the_lower_bits_count() {
        // scale (6): 3 in zigzag, and a bit above 32; positive (8) with offset (1): 13, the same.
        let long = |low: u8| [low | 0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
        let mut body = vec![0x30];
        body.extend(long(3));
        body.extend([0x42, 7, 0x08]);
        body.extend(long(13));
        let point = pb::ExponentialHistogramDataPoint::decode(&body[..]).unwrap_or_default();
        let mut read = Exponential::default();
        read_exponential(&body, &mut read);
        let offset = point.positive.map(|buckets| buckets.offset);
        assert_eq!((point.scale, offset), (-2, Some(-7)));
        assert_eq!((read.scale, read.positive.offset), (-2, -7));
    }

    #[test]
    fn exponential_histograms_are_read_as_prost_wrote_them() {
        use pb::exponential_histogram_data_point::Buckets;
        let point = pb::ExponentialHistogramDataPoint {
            count: 307,
            sum: Some(-4.5),
            scale: -2,
            zero_count: 1,
            zero_threshold: 0.25,
            positive: Some(Buckets {
                offset: -7,
                bucket_counts: vec![300, 0, 4],
            }),
            negative: Some(Buckets {
                offset: 3,
                bucket_counts: vec![2],
            }),
            ..Default::default()
        };
        let body = point.encode_to_vec();
        let mut kept = Vec::new();
        keep_content(MetricType::ExponentialHistogram, &body, &mut kept);
        let mut read = Exponential::default();
        read_exponential(&kept, &mut read);
        assert_eq!((read.count, read.sum, read.scale), (307, Some(-4.5), -2));
        assert_eq!((read.zero_count, read.zero_threshold), (1, 0.25));
        assert_eq!(
            read.positive,
            Side {
                offset: -7,
                counts: vec![300, 0, 4]
            }
        );
        assert_eq!(
            read.negative,
            Side {
                offset: 3,
                counts: vec![2]
            }
        );
    }

    #[test]
    fn a_sum_that_is_not_finite_is_seen() {
        let of = |sum| {
            pb::HistogramDataPoint {
                sum,
                count: 1,
                ..Default::default()
            }
            .encode_to_vec()
        };
        assert!(sum_is_finite(&of(None)) && sum_is_finite(&of(Some(1.0))));
        assert!(!sum_is_finite(&of(Some(f64::NAN))) && !sum_is_finite(&of(Some(f64::INFINITY))));
    }
}
