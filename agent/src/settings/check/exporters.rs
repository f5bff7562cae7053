//! `exporters`: keys, defaults and rules.

use super::super::reader::Section;
use super::super::*;
use super::{MIB, endpoint, required, tls};
use crate::exporters::headers::Header;
use phoenix_engine::prometheus::label_name;

/// A histogram is a dozen samples, and receivers refuse requests that are large.
const REMOTE_WRITE_POINTS: usize = 2000;

pub fn exporters(root: &Section, memory: usize) -> Exporters {
    let Some(section) = root.section("exporters") else {
        return Exporters::default();
    };
    let exporters = Exporters {
        otlp: section
            .section("otlp")
            .and_then(|s| otlp_exporter(&s, memory)),
        remote_write: section
            .section("remote_write")
            .and_then(|s| remote_write_exporter(&s, memory)),
        file: section.section("file").and_then(|s| file_exporter(&s)),
        shadow: section.section("shadow").and_then(|s| shadow(&s, memory)),
        witness: section.section("witness").and_then(|s| witness(&s, memory)),
    };
    if !["otlp", "remote_write", "file"]
        .iter()
        .any(|k| section.has(k))
    {
        root.wrong(
            "exporters",
            "has no `otlp`, no `remote_write` and no `file`, so every point would be lost; add one",
        );
    }
    section.finish();
    exporters
}

fn shadow(s: &Section, memory: usize) -> Option<ShadowExporter> {
    let otlp = s.section("otlp").map(|s| otlp_exporter(&s, memory));
    let remote = s
        .section("remote_write")
        .map(|s| remote_write_exporter(&s, memory));
    let file = s.section("file").map(|s| file_exporter(&s));
    s.finish();
    match (otlp, remote, file) {
        (Some(otlp), None, None) => Some(ShadowExporter::Otlp(Box::new(otlp?))),
        (None, Some(remote), None) => Some(ShadowExporter::RemoteWrite(Box::new(remote?))),
        (None, None, Some(file)) => Some(ShadowExporter::File(file?)),
        _ => {
            s.wrong("", "needs exactly one of `otlp`, `remote_write` and `file`");
            None
        }
    }
}

/// What cannot be delivered to a witness for so long is given up: nothing waits for it.
const WITNESS_GIVES_UP: Duration = Duration::from_secs(60);

fn witness(s: &Section, memory: usize) -> Option<WitnessExporter> {
    let remote = s.section("remote_write");
    if remote.is_none() {
        s.wrong("remote_write", "is missing; write where both arms go to");
    }
    let name = |key: &str, default: &str| {
        let name = s.text(key).unwrap_or_else(|| default.to_owned());
        check_label(s, key, &name);
        name
    };
    let arm_label = name("arm_label", "phoenix_arm");
    let run_label = name("run_label", "phoenix_run");
    if arm_label == run_label {
        s.wrong("run_label", "is the same as `arm_label`; two are needed");
    }
    s.finish();
    let mut remote_write = remote_write_exporter(&remote?, memory)?;
    remote_write.retry.give_up.get_or_insert(WITNESS_GIVES_UP);
    Some(WitnessExporter {
        remote_write,
        arm_label,
        run_label,
    })
}

fn remote_write_exporter(s: &Section, memory: usize) -> Option<RemoteWriteExporter> {
    let version = s.parsed("version", |t| match t {
        "auto" => Ok(RemoteWriteVersion::Auto),
        "1" | "1.0" => Ok(RemoteWriteVersion::One),
        "2" | "2.0" => Ok(RemoteWriteVersion::Two),
        _ => Err(format!("{t:?} must be auto, 1.0 or 2.0")),
    });
    let endpoint = endpoint(s, "endpoint", "http://127.0.0.1:9090/api/v1/write");
    if endpoint.as_ref().is_some_and(|e| e.path() == "/") {
        s.wrong(
            "endpoint",
            "has no path; write the whole URL, like http://127.0.0.1:9090/api/v1/write",
        );
    }
    let exporter = RemoteWriteExporter {
        version: version.unwrap_or(RemoteWriteVersion::Auto),
        timeout: s.duration("timeout").unwrap_or(Duration::from_secs(10)),
        headers: headers(s),
        tls: tls(s, endpoint.as_ref()),
        naming: Naming {
            promote: s.texts("promote").unwrap_or_default(),
            scope: s.flag("scope_labels").unwrap_or(true),
        },
        labels: external_labels(s),
        target_info: s.flag("target_info").unwrap_or(true),
        batch: batch(s, REMOTE_WRITE_POINTS),
        queue_bytes: queue(s, memory),
        retry: retry(s),
        endpoint: endpoint.clone().unwrap_or_default(),
    };
    s.finish();
    endpoint.map(|_| exporter)
}

fn external_labels(s: &Section) -> BTreeMap<String, String> {
    let mut labels = s.table("labels").unwrap_or_default();
    for name in labels.keys() {
        check_label(s, &format!("labels.{name}"), name);
    }
    labels.retain(|_, text| !text.is_empty());
    labels
}

fn check_label(s: &Section, key: &str, name: &str) {
    let valid = label_name(name).is_some_and(|valid| valid == *name);
    if !valid || name.starts_with("__") {
        s.wrong(
            key,
            "is no name of a label; use letters, digits and single underscores, with no digit first",
        );
    }
}

fn otlp_exporter(s: &Section, memory: usize) -> Option<OtlpExporter> {
    let protocol = s.parsed("protocol", |t| match t {
        "grpc" => Ok(Protocol::Grpc),
        "http" | "http/protobuf" => Ok(Protocol::Http),
        _ => Err(format!("{t:?} must be grpc or http")),
    });
    let endpoint = endpoint(s, "endpoint", "http://127.0.0.1:4317");
    let exporter = OtlpExporter {
        protocol: protocol.unwrap_or(Protocol::Grpc),
        compression: compression(s, true),
        timeout: s.duration("timeout").unwrap_or(Duration::from_secs(10)),
        headers: headers(s),
        tls: tls(s, endpoint.as_ref()),
        batch: batch(s, 8192),
        queue_bytes: queue(s, memory),
        retry: retry(s),
        endpoint: endpoint.clone().unwrap_or_default(),
    };
    s.finish();
    endpoint.map(|_| exporter)
}

fn batch(s: &Section, points: usize) -> Batch {
    let section = s.section("batch");
    let s = section.as_ref();
    let batch = Batch {
        points: s.and_then(|s| s.count("points", 1)).unwrap_or(points) as u64,
        bytes: s.and_then(|s| s.size("bytes")).unwrap_or(MIB),
        timeout: s
            .and_then(|s| s.duration("timeout"))
            .unwrap_or(Duration::from_millis(200)),
    };
    if let Some(s) = s {
        s.finish();
    }
    batch
}

fn queue(s: &Section, memory: usize) -> usize {
    let default = (64 * MIB).min(memory / 4);
    let Some(section) = s.section("queue") else {
        return default;
    };
    let bytes = section.size("bytes").unwrap_or(default);
    if bytes > memory / 2 {
        section.wrong(
            "bytes",
            format!(
                "{bytes} is more than half of limits.memory ({memory}); lower it or raise the memory"
            ),
        );
    }
    section.finish();
    bytes
}

fn retry(s: &Section) -> Retry {
    let section = s.section("retry");
    let s = section.as_ref();
    let retry = Retry {
        initial: s
            .and_then(|s| s.duration("initial"))
            .unwrap_or(Duration::from_secs(1)),
        max: s
            .and_then(|s| s.duration("max"))
            .unwrap_or(Duration::from_secs(30)),
        give_up: s.and_then(|s| s.duration("give_up")),
    };
    if let Some(s) = s {
        if retry.max < retry.initial {
            s.wrong("max", "must not be shorter than `initial`");
        }
        s.finish();
    }
    retry
}

fn headers(s: &Section) -> Headers {
    let mut headers = Vec::new();
    for (name, value) in s.table("headers").unwrap_or_default() {
        match Header::parse(&name, &value) {
            Ok(header) => headers.push(header),
            Err(message) => s.wrong(&format!("headers.{name}"), message),
        }
    }
    Headers(headers)
}

fn compression(s: &Section, gzip: bool) -> Compression {
    s.parsed("compression", |t| match t {
        "none" => Ok(Compression::None),
        "gzip" if gzip => Ok(Compression::Gzip),
        "zstd" => Ok(Compression::Zstd),
        _ if gzip => Err(format!("{t:?} must be none, gzip or zstd")),
        _ => Err(format!("{t:?} must be none or zstd")),
    })
    .unwrap_or(Compression::None)
}

fn file_exporter(s: &Section) -> Option<FileExporter> {
    let format = s.parsed("format", |t| match t {
        "proto" => Ok(FileFormat::Proto),
        "json" => Ok(FileFormat::Json),
        _ => Err(format!("{t:?} must be proto or json")),
    });
    let compression = compression(s, false);
    let path = required(s, "path", "the file to write");
    s.finish();
    Some(FileExporter {
        path: path?.into(),
        format: format.unwrap_or(FileFormat::Proto),
        compression,
    })
}
