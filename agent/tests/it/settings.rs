//! Settings: every mistake at once, three layers, and no secret in any output.

use phoenix_agent::settings::{Protocol, SettingsError, environment, load};
use std::process::Command;
use std::time::Duration;

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

const GOOD: &str = "
node: { name: n1, labels: { env: prod } }
receivers: { otlp: { grpc: \"127.0.0.1:4317\", http: \"127.0.0.1:4318\" }, host: { every: 10s } }
exporters: { otlp: { endpoint: \"http://127.0.0.1:4319\", protocol: grpc, compression: none } }
pipeline: { file: p.yaml }
admin: \"127.0.0.1:8889\"
workers: 1
";

#[test]
fn the_settings_of_the_manual_are_valid() {
    let settings = load(Some(file(GOOD).path()), &[]).unwrap();
    assert_eq!(settings.node.name, "n1");
    assert_eq!(
        settings.receivers.host.unwrap().every,
        Duration::from_secs(10)
    );
    let otlp = settings.exporters.otlp.unwrap();
    assert_eq!((otlp.protocol, otlp.batch.points), (Protocol::Grpc, 8192));
}

#[test]
fn every_mistake_is_reported_with_its_path_and_a_remedy() {
    let wrong = "
node: { nam: x }
receivers: { otlp: { grpc: here, max_request: lots } }
exporters: { otlp: { endpoint: \"http://collector:4317\", protocol: thrift, compression: lz4, tls: { cert_file: c.pem } } }
control_plane: { endpoint: \"http://127.0.0.1:7070\" }
pipeline: { file: p.yaml }
workers: 4096
limits: { memory: 100MiB, in_flight: 90MiB, serie: 3 }
";
    let Err(SettingsError::Wrong(problems)) = load(Some(file(wrong).path()), &[]) else {
        panic!("must be refused");
    };
    let text: Vec<String> = problems
        .iter()
        .map(|p| format!("{}: {}", p.path, p.message))
        .collect();
    for (path, word) in [
        ("node.nam", "known are"),
        ("receivers.otlp.grpc", "127.0.0.1:4317"),
        ("receivers.otlp.max_request", "16MiB"),
        ("exporters.otlp.protocol", "grpc or http"),
        ("exporters.otlp.compression", "zstd"),
        ("exporters.otlp.endpoint", "insecure: true"),
        ("exporters.otlp.tls.cert_file", "key_file"),
        ("exporters.otlp.tls", "https://"),
        ("workers", "a worker is a core"),
        ("pipeline", "not from both"),
        ("state", "folder"),
        ("limits.in_flight", "half"),
        ("limits.serie", "known are"),
    ] {
        let prefix = format!("{path}: ");
        let found = text
            .iter()
            .any(|t| t.starts_with(&prefix) && t.contains(word));
        assert!(found, "{path} {word}: {text:#?}");
    }
    assert_eq!(problems.len(), 13, "{text:#?}");
}

#[test]
fn no_exporter_is_an_error() {
    let text = "receivers: { otlp: }";
    let message = load(Some(file(text).path()), &[]).unwrap_err().to_string();
    assert!(message.contains("every point would be lost"), "{message}");
}

#[test]
fn variables_override_the_file_and_flags_override_both() {
    let vars = [
        ("PHOENIX_NODE_NAME", "from-env"),
        ("PHOENIX_EXPORTERS_OTLP_COMPRESSION", "zstd"),
        // Made by Kubernetes for a service of that name.
        ("PHOENIX_SERVICE_HOST", "10.0.0.1"),
    ];
    let mut over = environment(vars.iter().map(|(k, v)| (k.to_string(), v.to_string())));
    assert_eq!(over.len(), 2);
    over.push(("node.name".into(), "from-flag".into()));
    let settings = load(Some(file(GOOD).path()), &over).unwrap();
    assert_eq!(settings.node.name, "from-flag");
    let compression = settings.exporters.otlp.unwrap().compression;
    assert_eq!(compression, phoenix_agent::settings::Compression::Zstd);
}

#[test]
fn the_agent_can_do_without_a_file() {
    let over = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let settings = load(
        None,
        &[
            over("receivers.otlp.grpc", "127.0.0.1:0"),
            over("exporters.file.path", "/tmp/out.binpb"),
        ],
    )
    .unwrap();
    assert!(!settings.node.name.is_empty());
}

#[test]
fn values_of_headers_are_never_printed() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("key");
    std::fs::write(&secret, "hush-from-file\n").unwrap();
    let text = format!(
        "receivers: {{ otlp: }}
exporters: {{ otlp: {{ endpoint: \"http://127.0.0.1:1\", headers: {{ x-a: hush-literal, x-b: \"file:{}\" }} }} }}",
        secret.display()
    );
    let settings = load(Some(file(&text).path()), &[]).unwrap();
    let shown = format!("{settings:?}");
    assert!(!shown.contains("hush") && shown.contains("x-a"), "{shown}");
    let headers = settings.exporters.otlp.unwrap().headers.resolve().unwrap();
    assert_eq!(headers["x-b"], "hush-from-file");
    assert!(!format!("{headers:?}").contains("hush"));
    let missing = text.replace("hush-literal", "env:PHOENIX_TEST_NOT_SET");
    let message = load(Some(file(&missing).path()), &[])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("headers.x-a: names the variable PHOENIX_TEST_NOT_SET"),
        "{message}"
    );
}

#[test]
fn the_program_prints_the_mistakes_and_fails() {
    let settings = file("workers: 0");
    let out = Command::new(env!("CARGO_BIN_EXE_phoenix-agent"))
        .arg("--settings")
        .arg(settings.path())
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(
        said.contains("workers: \"0\" must be `auto` or a whole number from 1"),
        "{said}"
    );
    let help = Command::new(env!("CARGO_BIN_EXE_phoenix-agent"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(
        help.contains("PHOENIX_NODE_NAME") && help.contains("--settings"),
        "{help}"
    );
}

#[test]
fn the_settings_in_the_page_on_remote_write_are_valid_and_name_the_defaults() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/remote-write.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = page.split("```yaml").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let shown = load(
        Some(
            file(&format!(
                "receivers: {{ otlp: {{}} }}\nlimits: {{ memory: 1GiB }}\n{block}"
            ))
            .path(),
        ),
        &[],
    );
    let shown = shown.unwrap().exporters.remote_write.unwrap();
    let bare = "receivers: { otlp: {} }\nlimits: { memory: 1GiB }\nexporters: { remote_write: { endpoint: \"http://127.0.0.1:9090/api/v1/write\" } }";
    let default = load(Some(file(bare).path()), &[]).unwrap();
    let default = default.exporters.remote_write.unwrap();
    // What has no default, or an empty one.
    let mut expected = shown.clone();
    expected.headers = default.headers.clone();
    expected.naming.promote.clear();
    expected.labels.clear();
    assert_eq!(format!("{expected:?}"), format!("{default:?}"));
    assert_eq!(shown.naming.promote, ["k8s.namespace.name", "k8s.pod.name"]);
    assert_eq!(shown.labels["cluster"], "eu-1");
}

#[test]
fn mistakes_in_remote_write_are_reported_with_a_remedy() {
    let wrong = "
receivers: { otlp: {} }
exporters:
  remote_write:
    endpoint: \"http://127.0.0.1:9090\"
    version: 3
    labels: { a.b: x, __name__: y }
    headers: { x-prometheus-remote-write-version: 1 }
    compression: gzip
  shadow: { remote_write: {} }
  witness: { remote_write: {}, arm_label: a-b, run_label: a-b }
";
    let Err(SettingsError::Wrong(problems)) = load(Some(file(wrong).path()), &[]) else {
        panic!("must be refused");
    };
    for (path, word) in [
        ("exporters.remote_write.endpoint", "/api/v1/write"),
        ("exporters.remote_write.version", "auto, 1.0 or 2.0"),
        ("exporters.remote_write.labels.a.b", "letters, digits"),
        ("exporters.remote_write.labels.__name__", "letters, digits"),
        (
            "exporters.remote_write.headers.x-prometheus-remote-write-version",
            "remove it",
        ),
        ("exporters.remote_write.compression", "known are"),
        ("exporters.shadow.remote_write.endpoint", "is missing"),
        ("exporters.witness.remote_write.endpoint", "is missing"),
        ("exporters.witness.arm_label", "letters, digits"),
        ("exporters.witness.run_label", "letters, digits"),
    ] {
        let found = problems.iter().find(|p| p.path == path);
        let found = found.unwrap_or_else(|| panic!("{path} is not in {problems:?}"));
        assert!(found.message.contains(word), "{path}: {}", found.message);
    }
    let same = problems
        .iter()
        .filter(|p| p.message.contains("two are needed"));
    assert_eq!(same.count(), 1, "{problems:?}");
}
