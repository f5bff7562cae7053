//! The two messages. Field numbers as in Prometheus' `prompb/types.proto`, `prompb/remote.proto` and
//! `prompb/io/prometheus/write/v2/types.proto`.

use super::{Buckets, Exemplar, Family, Native, Sample, Series};
use phoenix_engine::wire::write::{
    begin, end, put_double, put_packed_varint, put_sint, put_str, put_uint,
};
use std::collections::HashMap;

/// `prometheus.WriteRequest`, with the metadata of `told` families.
pub fn one<'a>(
    series: impl Iterator<Item = &'a Series>,
    told: impl Iterator<Item = &'a Family>,
) -> Vec<u8> {
    let mut out = Vec::new();
    for series in series {
        let message = begin(&mut out, 1);
        put_labels_one(&mut out, &series.labels);
        for sample in &series.samples {
            put_sample(&mut out, sample, false);
        }
        for exemplar in &series.exemplars {
            let message = begin(&mut out, 3);
            put_labels_one(&mut out, &exemplar.labels);
            put_exemplar(&mut out, exemplar);
            end(&mut out, message);
        }
        for histogram in &series.histograms {
            put_histogram(&mut out, 4, histogram, false);
        }
        end(&mut out, message);
    }
    for family in told {
        let message = begin(&mut out, 3);
        put_uint(&mut out, 1, family.kind as u64);
        put_str(&mut out, 2, &family.name);
        put_text(&mut out, 4, &family.help);
        put_text(&mut out, 5, &family.unit);
        end(&mut out, message);
    }
    out
}

/// `io.prometheus.write.v2.Request`.
pub fn two<'a>(series: impl Iterator<Item = &'a Series>, families: &'a [Family]) -> Vec<u8> {
    let mut symbols = Symbols::default();
    // Symbols stand before the series in the message and are known only after them.
    let mut body = Vec::new();
    for series in series {
        let message = begin(&mut body, 5);
        put_packed_varint(&mut body, 1, &symbols.of(&series.labels));
        for sample in &series.samples {
            put_sample(&mut body, sample, true);
        }
        for histogram in &series.histograms {
            put_histogram(&mut body, 3, histogram, true);
        }
        for exemplar in &series.exemplars {
            let message = begin(&mut body, 4);
            put_packed_varint(&mut body, 1, &symbols.of(&exemplar.labels));
            put_exemplar(&mut body, exemplar);
            end(&mut body, message);
        }
        if let Some(family) = families.get(series.family) {
            let metadata = begin(&mut body, 5);
            put_uint(&mut body, 1, family.kind as u64);
            for (number, text) in [(3, &family.help), (4, &family.unit)] {
                if !text.is_empty() {
                    put_uint(&mut body, number, symbols.number(text));
                }
            }
            end(&mut body, metadata);
        }
        end(&mut body, message);
    }
    let mut out = Vec::with_capacity(body.len() + symbols.bytes);
    // The first is empty: what a reference that is not given means.
    put_str(&mut out, 4, "");
    for symbol in &symbols.list {
        put_str(&mut out, 4, symbol);
    }
    out.extend_from_slice(&body);
    out
}

/// Texts, each once, numbered from 1.
#[derive(Default)]
struct Symbols<'a> {
    numbers: HashMap<&'a str, u64>,
    list: Vec<&'a str>,
    bytes: usize,
}

impl<'a> Symbols<'a> {
    fn number(&mut self, text: &'a str) -> u64 {
        let next = self.list.len() as u64 + 1;
        let number = *self.numbers.entry(text).or_insert(next);
        if number == next {
            self.list.push(text);
            self.bytes += text.len() + 4;
        }
        number
    }

    fn of(&mut self, labels: &'a [(String, String)]) -> Vec<u64> {
        labels
            .iter()
            .flat_map(|(name, text)| [self.number(name), self.number(text)])
            .collect()
    }
}

fn put_labels_one(out: &mut Vec<u8>, labels: &[(String, String)]) {
    for (name, text) in labels {
        let label = begin(out, 1);
        put_str(out, 1, name);
        put_str(out, 2, text);
        end(out, label);
    }
}

fn put_text(out: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        put_str(out, number, text);
    }
}

fn put_sample(out: &mut Vec<u8>, sample: &Sample, started: bool) {
    let message = begin(out, 2);
    put_double(out, 1, sample.value);
    put_uint(out, 2, sample.time.cast_unsigned());
    if started && sample.start != 0 {
        put_uint(out, 3, sample.start.cast_unsigned());
    }
    end(out, message);
}

fn put_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    put_double(out, 2, exemplar.value);
    put_uint(out, 3, exemplar.time.cast_unsigned());
}

/// The same in both messages, but for the field that it stands in and its start.
fn put_histogram(out: &mut Vec<u8>, number: u32, histogram: &Native, started: bool) {
    let message = begin(out, number);
    put_uint(out, 1, histogram.count);
    put_double(out, 3, histogram.sum);
    put_sint(out, 4, i64::from(histogram.schema));
    put_double(out, 5, histogram.zero_threshold);
    put_uint(out, 6, histogram.zero_count);
    put_buckets(out, (8, 9), &histogram.negative);
    put_buckets(out, (11, 12), &histogram.positive);
    put_uint(out, 15, histogram.time.cast_unsigned());
    if started && histogram.start != 0 {
        put_uint(out, 17, histogram.start.cast_unsigned());
    }
    end(out, message);
}

fn put_buckets(out: &mut Vec<u8>, numbers: (u32, u32), buckets: &Buckets) {
    for (offset, length) in &buckets.spans {
        let span = begin(out, numbers.0);
        put_sint(out, 1, i64::from(*offset));
        put_uint(out, 2, u64::from(*length));
        end(out, span);
    }
    let zigzag = |n: &i64| ((n << 1) ^ (n >> 63)).cast_unsigned();
    let deltas: Vec<u64> = buckets.deltas.iter().map(zigzag).collect();
    put_packed_varint(out, numbers.1, &deltas);
}
