//! The container image: FROM scratch, static, does the main job, drains on SIGTERM.

use super::world::{balances, counts, sink};
use phoenix_tests::harness::{Fleet, eventually, project};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

fn run(program: &str, args: &[&str], containers: &Path) -> Output {
    Command::new(program)
        .args(args)
        .env("CONTAINERS_CONF", containers)
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"))
}

fn has(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_image_does_the_main_job() {
    if !has("buildah") || !has("podman") || !has("runc") {
        eprintln!("SKIPPED: buildah, podman and runc are needed");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let conf = folder.path().join("containers.conf");
    let text = "[containers]\ndefault_ulimits=[\"nofile=20000:20000\",\"nproc=4096:4096\"]\n[engine]\nruntime=\"runc\"\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\n";
    std::fs::write(&conf, text).expect("written");
    let tag = format!("localhost/phoenix-agent:test-{}", std::process::id());
    let built = Command::new(project("scripts/image"))
        .args([&tag, "dev"])
        .env("CARGO_TARGET_DIR", target())
        .output()
        .expect("scripts/image");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );

    let sink = sink().await;
    let [grpc, http, admin] = [free(), free(), free()];
    let settings = folder.path().join("agent.yaml");
    std::fs::write(folder.path().join("p.yaml"), "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: p }\nspec: { stages: [ { id: no-threads, filter: { drop: [ { metric: process.threads } ] } } ] }\n").expect("written");
    std::fs::write(&settings, format!(
        "node: {{ name: n1 }}\nreceivers: {{ otlp: {{ grpc: \"{grpc}\", http: \"{http}\" }} }}\nexporters: {{ otlp: {{ endpoint: \"http://{}\", protocol: grpc }} }}\npipeline: {{ file: /etc/phoenix/p.yaml }}\nadmin: \"{admin}\"\nworkers: 1\n", sink.otlp)).expect("written");
    let name = format!("phoenix-test-{}", std::process::id());
    let volume = format!("{}:/etc/phoenix:ro", folder.path().display());
    let started = run(
        "podman",
        &[
            "--storage-driver",
            "vfs",
            "run",
            "-d",
            "--name",
            &name,
            "--network",
            "host",
            "--memory",
            "128m",
            "-v",
            &volume,
            &tag,
        ],
        &conf,
    );
    if !started.status.success() {
        let why = String::from_utf8_lossy(&started.stderr).into_owned();
        run(
            "podman",
            &["--storage-driver", "vfs", "rmi", "-f", &tag],
            &conf,
        );
        eprintln!("SKIPPED: podman cannot run containers here: {why}");
        return;
    }
    let fleet = Fleet::start(grpc, &["--rounds", "10", "--interval-ms", "50"]).await;
    let sent = fleet.done().await;
    let ledger: serde_json::Value = reqwest_get(admin, "/debug/ledger").await;
    balances(&ledger["baseline"]);
    let stopped = run(
        "podman",
        &["--storage-driver", "vfs", "stop", "-t", "20", &name],
        &conf,
    );
    let logs = run("podman", &["--storage-driver", "vfs", "logs", &name], &conf);
    let code = run(
        "podman",
        &[
            "--storage-driver",
            "vfs",
            "inspect",
            "-f",
            "{{.State.ExitCode}}",
            &name,
        ],
        &conf,
    );
    run(
        "podman",
        &["--storage-driver", "vfs", "rm", "-f", &name],
        &conf,
    );
    run(
        "podman",
        &["--storage-driver", "vfs", "rmi", "-f", &tag],
        &conf,
    );
    assert!(stopped.status.success());
    let logs =
        String::from_utf8_lossy(&logs.stdout).into_owned() + &String::from_utf8_lossy(&logs.stderr);
    assert_eq!(
        String::from_utf8_lossy(&code.stdout).trim(),
        "0",
        "drained and left with 0: {logs}"
    );
    let filtered = ledger["baseline"]["filtered"].as_u64().expect("filtered");
    assert!(filtered > 0, "{ledger}");
    assert_eq!(
        counts(&sink, |s| s.totals().points),
        sent - filtered,
        "{logs}"
    );
}

async fn reqwest_get(admin: SocketAddr, path: &str) -> serde_json::Value {
    let client = phoenix_tests::harness::http_client();
    eventually("the admin page", async || {
        client
            .get(format!("http://{admin}{path}"))
            .send()
            .await
            .ok()?
            .json()
            .await
            .ok()
    })
    .await
}

/// The target folder that this test was built in.
fn target() -> std::path::PathBuf {
    let exe = std::env::current_exe().expect("own path");
    exe.ancestors().nth(3).expect("target folder").to_owned()
}

/// A loopback port that is free now. A container cannot tell which one it got.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a free port")
}
