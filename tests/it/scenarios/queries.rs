//! Protected queries with a real agent: a fold keeps the answers of dashboards and alerts; what corrupts a
//! counter is rejected, however much it saves.

use super::world::{World, pipeline};
use phoenix_tests::harness::Fleet;
use serde_json::Value;

/// Folds all processes of one executable.
const FOLD: &str = r#"  stages:
    - id: fold
      aggregate: { match: { metric: "process.*", type: sum }, without: [process.pid, process.parent_pid, process.command_line], interval: 1s, lateness: 1s }"#;

/// Keeps a few processes, and their counters stand for nobody else: sums of rates fall.
const THIN: &str = r#"  stages:
    - id: thin
      sample: { match: { metric: "process.*" }, fraction: 0.1, entity: [host.name, process.pid], weighted: false }"#;

const ALL: &str = "  stages: []";

fn experiment(candidate: &str) -> String {
    format!(
        r#"---
apiVersion: phoenix/v1
kind: Experiment
metadata: {{ name: {candidate} }}
spec:
  baseline: all
  candidate: {candidate}
  window: 1s
  maxDuration: 90s
  steps: [ {{ step: shadow, minWindows: 6 }} ]
  goal: {{ saving: points, target: 20% }}
  names: {{ promote: [host.name, process.executable.name] }}
  guardrails:
    queries:
      - {{ name: cpu, expr: "sum by (process_executable_name) (rate(process_cpu_time_seconds_total[3s]))", tolerance: 1% }}
      - {{ name: io, expr: "sum(increase(process_disk_io_bytes_total[2s])) / 2" }}
    rules: |
      groups:
        - name: processes
          rules:
            - alert: Busy
              expr: sum(rate(process_cpu_time_seconds_total{{state=~"user|system"}}[3s])) > 0
              for: 2s
"#
    )
}

/// Alerts instead of queries: what dashboards show is nobody's concern.
fn alerts(candidate: &str) -> String {
    let document = experiment(candidate);
    let (before, rest) = document.split_once("    queries:").expect("queries");
    let (_, rules) = rest.split_once("    rules:").expect("rules");
    let crowded = r#"
            - alert: Crowded
              expr: count by (host_name) (process_threads) > 12
              for: 2s"#;
    format!("{before}    rules:{}{crowded}\n", rules.trim_end())
}

async fn run(candidate: &str, document: &str) -> Value {
    let world = World::start().await;
    world
        .apply(&(pipeline("all", ALL) + &pipeline("fold", FOLD) + &pipeline("thin", THIN)))
        .await;
    world.assign("all").await;
    let args = [
        "--hosts",
        "3",
        "--processes",
        "16",
        "--services",
        "0",
        "--interval-ms",
        "150",
    ];
    let _fleet = Fleet::start(world.agent.grpc, &args).await;
    world.apply(document).await;
    let path = format!("/experiments/{candidate}/start");
    world.control.api.post(&path, None).await;
    let ended = world.ended(candidate).await;
    world.ledger().await;
    ended["verdict"].clone()
}

fn criterion<'a>(verdict: &'a Value, name: &str) -> &'a Value {
    let all = verdict["criteria"].as_array().expect("criteria");
    let found = all.iter().find(|c| c["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {verdict:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fold_that_keeps_every_sum_is_promoted_by_what_queries_say() {
    let verdict = run("fold", &experiment("fold")).await;
    assert_eq!(verdict["outcome"], "promote", "{verdict:#}");
    for name in ["query cpu", "query io", "alert Busy"] {
        let found = criterion(&verdict, name);
        assert_eq!(found["outcome"], "pass", "{found:#}");
    }
    let cpu = &criterion(&verdict, "query cpu")["figures"];
    assert!(cpu["steps"].as_u64() >= Some(3), "{cpu:#}");
    assert!(cpu["values"].as_u64() >= Some(6), "{cpu:#}");
    let alert = &criterion(&verdict, "alert Busy")["figures"];
    assert_eq!(alert["baseline"], 1, "{alert:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_corrupts_counters_is_rejected_although_it_saves_more() {
    let verdict = run("thin", &experiment("thin")).await;
    assert_eq!(verdict["outcome"], "reject", "{verdict:#}");
    let io = criterion(&verdict, "query io");
    assert_eq!(io["outcome"], "harm", "{io:#}");
    let worst = &io["figures"]["worst"];
    assert!(worst["atMs"].as_u64() > Some(0), "{io:#}");
    // Its range is longer, so that fewer of its steps may have been known by then.
    let cpu = criterion(&verdict, "query cpu");
    assert_ne!(cpu["outcome"], "pass", "{cpu:#}");
    assert!(cpu["figures"]["beyond"].as_u64() > Some(0), "{cpu:#}");
    assert!(
        verdict["savings"]["points"]["saving"].as_f64() > Some(0.6),
        "{verdict:#}"
    );
    assert_eq!(verdict["harm"], true, "the hash is not to be tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_under_which_an_alert_stays_silent_is_rejected_with_its_name() {
    let verdict = run("thin", &alerts("thin")).await;
    assert_eq!(verdict["outcome"], "reject", "{verdict:#}");
    let reason = verdict["reason"].as_str().expect("reason");
    assert!(reason.contains("Crowded"), "{reason}");
    let crowded = criterion(&verdict, "alert Crowded");
    assert_eq!(crowded["outcome"], "harm", "{crowded:#}");
    let figures = &crowded["figures"];
    assert_eq!(
        (&figures["baseline"], &figures["candidate"]),
        (&3.into(), &0.into()),
        "one a host: {figures:#}"
    );
    assert_eq!(figures["missed"].as_array().map(Vec::len), Some(3));
    // It needs less than what the candidate leaves.
    let busy = criterion(&verdict, "alert Busy");
    assert_ne!(busy["outcome"], "harm", "{busy:#}");
}
