//! Captures of every format are read back as they were written; broken ones say what and where.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use phoenix_proto::otlp::metrics::v1::{
    Gauge, Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric,
    number_data_point,
};
use prost::Message as _;
use std::io::Cursor;
use std::path::Path;

fn messages() -> Vec<Vec<u8>> {
    (0..3)
        .map(|n: u32| {
            let point = NumberDataPoint {
                time_unix_nano: 1_000 + u64::from(n),
                value: Some(number_data_point::Value::AsInt(n.into())),
                ..Default::default()
            };
            let metric = Metric {
                name: format!("m{n}").repeat(50),
                data: Some(metric::Data::Gauge(Gauge {
                    data_points: vec![point],
                })),
                ..Default::default()
            };
            let scope = ScopeMetrics {
                metrics: vec![metric],
                ..Default::default()
            };
            MetricsData {
                resource_metrics: vec![ResourceMetrics {
                    scope_metrics: vec![scope],
                    ..Default::default()
                }],
            }
            .encode_to_vec()
        })
        .collect()
}

fn write(format: Format, compression: Compression) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), format, compression).unwrap();
    for message in messages() {
        writer.write(&message).unwrap();
    }
    writer.write(&[]).unwrap();
    writer.finish().unwrap()
}

fn open(bytes: impl Into<Vec<u8>>) -> Result<Reader, CaptureError> {
    Reader::new(Path::new("c.binpb"), Cursor::new(bytes.into()))
}

fn read(bytes: impl Into<Vec<u8>>) -> Result<Vec<Message>, CaptureError> {
    open(bytes)?.collect()
}

fn all_formats() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for format in [Format::Proto, Format::Json] {
        for compression in [Compression::None, Compression::Messages, Compression::Whole] {
            files.push(write(format, compression));
        }
    }
    files
}

#[test]
fn every_format_is_told_by_its_content() {
    for (index, file) in all_formats().into_iter().enumerate() {
        let found = read(file).unwrap();
        let bytes: Vec<Vec<u8>> = found.iter().map(|m| m.bytes.to_vec()).collect();
        assert_eq!(bytes, messages(), "format {index}");
        assert_eq!(found[0].offset, 0);
        assert!(found.windows(2).all(|w| w[0].offset < w[1].offset));
    }
}

#[test]
fn a_cut_file_says_where_it_ends() {
    for (index, file) in all_formats().into_iter().enumerate() {
        let cut = file.len() - 7;
        let error = match open(&file[..cut]) {
            // A small zstd file has nothing to give before it is cut.
            Err(error) => error,
            Ok(mut reader) => {
                let last = reader.by_ref().last().unwrap();
                assert!(reader.next().is_none(), "nothing comes after an error");
                last.expect_err("a cut file")
            }
        };
        assert!(
            matches!(error, CaptureError::Truncated { .. }),
            "format {index}: {error}"
        );
        assert!(
            error
                .to_string()
                .contains("ends in the middle of a message at byte")
        );
    }
    let file = write(Format::Proto, Compression::None);
    let end = file.len() as u64 - 7;
    let error = read(&file[..file.len() - 7]).unwrap_err();
    assert!(
        matches!(&error, CaptureError::Truncated { end: e, offset, .. } if *e == end && *offset > 0),
        "{error}"
    );
}

#[test]
fn a_file_cut_within_a_length_says_so() {
    let mut file = write(Format::Proto, Compression::None);
    file.extend([0, 0]);
    let error = read(file).unwrap_err().to_string();
    assert!(
        error.contains("4 bytes of its length were expected, 2 are there"),
        "{error}"
    );
    let error = read(vec![0, 0, 1]).unwrap_err();
    assert!(
        matches!(error, CaptureError::Truncated { end: 3, .. }),
        "{error}"
    );
}

#[test]
fn an_empty_file_is_no_capture() {
    assert!(matches!(read(vec![]), Err(CaptureError::Empty { .. })));
    let packed = zstd::encode_all(&[][..], 1).unwrap();
    assert!(matches!(read(packed), Err(CaptureError::Empty { .. })));
}

#[test]
fn other_files_are_no_captures() {
    for file in [
        &b"#!/bin/sh\necho hello\n"[..],
        b"apiVersion: phoenix/v1\n",
        b"\x7fELF\x02\x01\x01\0\0\0\0\0",
        b"\x1f\x8b\x08\0\0\0\0\0",
        b"\0\0\0\x08hello wo",
        b"{\"not\": otlp}\n{}\n",
        b"{\n  \"name\": \"pretty\"\n}\n",
        b"{\"name\": \"other\"}\n",
    ] {
        let error = read(file).unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, CaptureError::NotACapture { .. }),
            "{file:?}: {text}"
        );
        assert!(
            text.contains("c.binpb") && text.contains("byte 0"),
            "{text}"
        );
    }
    assert!(matches!(
        Reader::open(Path::new("/nowhere/c.binpb")),
        Err(CaptureError::Open { .. })
    ));
}

#[test]
fn a_false_length_takes_no_memory() {
    let mut file = write(Format::Proto, Compression::None);
    let good = file.len() as u64;
    file.extend(u32::MAX.to_be_bytes());
    let error = read(file).unwrap_err();
    assert!(
        matches!(&error, CaptureError::Malformed { offset, .. } if *offset == good),
        "{error}"
    );
}

#[test]
fn a_bomb_in_a_message_is_refused() {
    let frame = zstd::encode_all(&vec![0_u8; MAX_LINE + 1][..], 1).unwrap();
    let mut file = (frame.len() as u32).to_be_bytes().to_vec();
    file.extend(frame);
    let error = read(file).unwrap_err().to_string();
    assert!(error.contains("unpacks to more than"), "{error}");
}

#[test]
fn points_left_out_of_json_are_counted() {
    let line = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"timeUnixNano":"1","asInt":"x"},{"timeUnixNano":"1","asInt":"2"}]}}]}]}]}"#;
    let found = read(&line[..]).unwrap();
    assert_eq!((found.len(), found[0].rejected), (1, 1));
    assert!(found[0].reason.is_some());
}
