//! A real Prometheus behind TLS and a password. Where there is none, its test says so and passes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::witness::Backends;
use rcgen::{CertificateParams, KeyPair};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// bcrypt of `secret`
const PASSWORD: &str = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn start(folder: &Path, port: u16) -> Option<Server> {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    write("cert.pem", &certificate.pem());
    write("key.pem", &key.serialize_pem());
    write("password", "secret\n");
    write("prometheus.yml", "");
    let web = format!(
        "tls_server_config: {{ cert_file: cert.pem, key_file: key.pem }}\nbasic_auth_users: {{ phoenix: '{PASSWORD}' }}\n"
    );
    write("web.yml", &web);
    let at = |name: &str| folder.join(name).display().to_string();
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", at("prometheus.yml")))
        .arg(format!("--web.config.file={}", at("web.yml")))
        .arg(format!("--storage.tsdb.path={}", at("data")))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match child {
        Ok(child) => Some(Server(child)),
        Err(_) => {
            eprintln!("SKIPPED: no prometheus on this machine (scripts/prepare)");
            None
        }
    }
}

fn client(url: &str, backends: &str) -> Client {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backends.yaml");
    std::fs::write(&path, backends).unwrap();
    let document: Prometheus = serde_json::from_value(serde_json::json!({ "url": url })).unwrap();
    let backends = Backends::open(&path).unwrap();
    Client::new(&document, &backends.of(url)).unwrap()
}

/// The version, once the server is up and answers queries: it tells its version before it has opened its storage.
async fn up(client: &Client) -> Result<Option<String>, Silence> {
    let began = Instant::now();
    loop {
        let version = client.version().await;
        let why = match &version {
            Ok(_) => match client.ask("vector(1)", (0, 0), 10_000, Named::No).await {
                Err(Silence::Away(why)) => why,
                _ => return version,
            },
            Err(Silence::Away(why)) => why.clone(),
            Err(_) => return version,
        };
        let starting = why.contains("refused") || why.contains("503");
        if !starting || began.elapsed() > Duration::from_secs(60) {
            return version;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn certificates_and_passwords_are_the_servers_and_every_other_answer_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let Some(_server) = start(folder.path(), port) else {
        return;
    };
    let url = format!("https://localhost:{port}");
    let (ca, password) = (
        folder.path().join("cert.pem"),
        folder.path().join("password"),
    );
    let known = format!(
        "- {{ url: '{url}', username: phoenix, password: 'file:{}', ca_file: '{}' }}",
        password.display(),
        ca.display()
    );
    let client_of = |text: &str| client(&url, text);
    let known = client_of(&known);
    let version = up(&known).await.unwrap().unwrap();
    assert!(version.contains('.'), "{version}");
    let at = 1_700_000_000_000;
    let answer = known
        .ask("vector(2.5)", (at, at + 20_000), 10_000, Named::No)
        .await
        .unwrap();
    let values: Vec<(u64, f64)> = answer
        .iter()
        .flat_map(|(end, values)| values.values().map(|v| (*end, *v)))
        .collect();
    assert_eq!(values, [(at, 2.5), (at + 10_000, 2.5), (at + 20_000, 2.5)]);
    let Err(Silence::Refused(why)) = known.ask("sum(", (at, at), 10_000, Named::No).await else {
        panic!("it is no PromQL");
    };
    assert!(why.contains("parse error"), "{why}");

    // Of this address nothing is known: neither authority nor password.
    let Err(Silence::Away(why)) = client_of("[]").version().await else {
        panic!("nobody vouches for it");
    };
    assert!(why.contains("certificate"), "{why}");
    let open = format!("- {{ url: '{url}', ca_file: '{}' }}", ca.display());
    let Err(Silence::Away(why)) = client_of(&open).version().await else {
        panic!("it wants a password");
    };
    assert!(why.contains("credentials"), "{why}");
}

#[test]
fn what_agents_or_the_backend_add_is_left_out_and_two_values_of_one_group_are_no_answer() {
    let document = serde_json::json!({ "url": "http://127.0.0.1:1", "ignore": ["cluster"] });
    let document: Prometheus = serde_json::from_value(document).unwrap();
    let client = Client::new(&document, &Default::default()).unwrap();
    let series = |cluster: &str, value: &str| {
        serde_json::json!({
            "metric": { "__name__": "x", "k": "a", "phoenix_arm": "baseline", "phoenix_run": "e/1", "cluster": cluster },
            "values": [[1700000000.5, value]],
        })
    };
    let read = |all: Vec<serde_json::Value>| {
        let matrix = serde_json::from_value(serde_json::json!({ "result": all })).unwrap();
        client.read(matrix, Named::No)
    };
    let answer = read(vec![series("one", "NaN")]).unwrap();
    let (end, values) = answer.first_key_value().unwrap();
    let (labels, value) = values.first_key_value().unwrap();
    assert_eq!(*end, 1_700_000_000_500);
    assert_eq!(format!("{labels:?}"), r#"{"k": "a"}"#);
    assert!(value.is_nan());
    let Err(Silence::Refused(why)) = read(vec![series("one", "1"), series("two", "1")]) else {
        panic!("two values");
    };
    assert!(why.contains("two values"), "{why}");
}

/// Answers one request with this.
async fn answering(status: &str, body: String) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        let (mut asked, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(asked.read(&mut request).await.unwrap() > 0);
        asked.write_all(answer.as_bytes()).await.unwrap();
    });
    client(&url, "[]")
}

#[tokio::test]
async fn of_what_a_backend_says_so_much_is_kept_and_that_it_was_cut() {
    let long = || "\u{e4}".repeat(100_000);
    let said = async |status: &str, body: serde_json::Value| {
        let client = answering(status, body.to_string()).await;
        match client.ask("x", (0, 0), 1000, Named::No).await {
            Err(Silence::Away(why) | Silence::Refused(why)) => why,
            Ok(answer) => panic!("{answer:?}"),
        }
    };
    let series = |metric: serde_json::Value, value: String| {
        let one = serde_json::json!({ "metric": metric, "values": [[1.0, value]] });
        serde_json::json!({ "data": { "result": [one.clone(), one] } })
    };
    let warnings = vec![long(); 3];
    for (status, body, begins) in [
        ("422 no", serde_json::json!({ "error": long() }), "422 "),
        ("500 no", serde_json::json!({ "error": long() }), "500 "),
        ("503 no", serde_json::json!(long()), "503 "),
        (
            "200 OK",
            serde_json::json!({ "warnings": warnings, "data": {} }),
            "the backend warns (the first of 3): ",
        ),
        (
            "200 OK",
            serde_json::json!({ "data": { "result": long() } }),
            "not the answer",
        ),
        ("200 OK", series(serde_json::json!({}), long()), "no number"),
        (
            "200 OK",
            series(serde_json::json!({ "a": long() }), "1".into()),
            "two values",
        ),
    ] {
        let why = said(status, body).await;
        assert!(why.starts_with(begins), "{why}");
        assert!(why.ends_with("... (cut)"), "{why}");
        assert!(why.chars().count() <= SHOWN + 9, "{why}");
    }
    let info = serde_json::json!({ "data": { "version": long() } });
    let client = answering("200 OK", info.to_string()).await;
    let version = client.version().await.unwrap().unwrap();
    assert_eq!(version, "\u{e4}".repeat(VERSION) + "... (cut)");
}
