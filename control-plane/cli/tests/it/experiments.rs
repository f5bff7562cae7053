//! Experiments from start to verdict through the command, with a played agent.

use crate::actor::{Actor, Manner};
use crate::server::{Server, assignment, experiment, pipeline};
use crate::support::gauge;
use serde_json::Value;
use std::time::Duration;

/// A server with a baseline assigned, an agent, and an experiment that was applied.
async fn begin(manner: Manner, rest: &str) -> (Server, Actor) {
    let server = Server::start();
    server.apply(
        &(pipeline("base", "")
            + &pipeline("cut", "a.*")
            + &assignment("all", "base")
            + &experiment("e", rest)),
    );
    let token = server.enrol_token();
    let actor = Actor::start(server.address, &token, "n1", manner).await;
    loop {
        let agents = server.phoenix(&["agents", "-o", "json"]).json();
        if agents[0]["activeHash"].is_string() {
            return (server, actor);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn assigned(server: &Server) -> Value {
    let found = server.phoenix(&["get", "assignment", "all", "-o", "json"]);
    found.json()["spec"]["pipeline"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_candidate_is_promoted_and_wait_exits_with_0() {
    let (server, _actor) = begin(
        Manner::default(),
        "steps: [{ step: shadow, minWindows: 4 }], onSuccess: promote",
    )
    .await;
    server.phoenix(&["experiment", "start", "e"]).good();
    let run = server.phoenix(&["experiment", "wait", "e", "--timeout", "60"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(assigned(&server), "cut");
    let e = server
        .phoenix(&["get", "experiment", "e", "-o", "json"])
        .json();
    assert_eq!(e["verdict"]["outcome"], "promote");
    assert_eq!(e["verdict"]["savings"]["points"]["baseline"], 500);
    assert_eq!(e["verdict"]["savings"]["points"]["candidate"], 200);
    let shown = server.phoenix(&["experiment", "status", "e"]).good();
    // The played agent counts no samples.
    for part in [
        "what it is worth",
        "datadog-custom-metrics",
        "No amount",
        "azure-managed-prometheus",
        "extrapolated from",
    ] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    let explained = server.phoenix(&["experiment", "explain", "e"]).good();
    assert!(explained.contains("was not measured"), "{explained}");
    assert_eq!(e["money"].as_array().map(Vec::len), Some(12));
    assert_eq!(e["promotedTo"], "all");
    let shown = server.phoenix(&["experiment", "status", "e"]).good();
    for part in ["Completed", "60.00 %", "protected points", "goal"] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    let windows = server.phoenix(&["experiment", "windows", "e"]).good();
    assert_eq!(windows.lines().count(), 6);
    // What was stored can be judged again, with the same answer.
    let windows: Vec<phoenix_analysis::Window> = windows
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let verdict: phoenix_analysis::Verdict = serde_json::from_value(e["verdict"].clone()).unwrap();
    let again = phoenix_analysis::judge(&verdict.asked, &windows).priced();
    assert_eq!(again, verdict);
    offline_is_the_same(
        &server,
        "steps: [{ step: shadow, minWindows: 4 }]",
        &e["verdict"],
    );
    let shown = server.phoenix(&["experiment", "explain", "e"]).good();
    for part in [
        "step shadow",
        "at least 20 %, counted",
        "missingShare=0",
        "judge version",
    ] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    let history = server.phoenix(&["history", "all"]).good();
    assert!(history.contains("promoted"), "{history}");
    let hash = &e["candidateHash"].as_str().unwrap()[..12];
    let named = format!("cut ({hash})");
    let listed = server.phoenix(&["get", "assignments"]).good();
    assert!(
        history.contains(&named) && listed.contains(&named),
        "{history}{listed}"
    );
    events_are_the_newest_and_their_times_can_be_read(&server);
}

fn events_are_the_newest_and_their_times_can_be_read(server: &Server) {
    let of = |arguments: &[&str]| {
        let all = [&["get", "events", "-o", "json"], arguments].concat();
        let list = server.phoenix(&all).json();
        list.as_array().unwrap().clone()
    };
    let windows = |list: &[Value]| {
        let kinds = list.iter().map(|e| e["kind"].as_str().unwrap());
        kinds.filter(|k| *k == "experiment.window").count()
    };
    let kinds = ["--kind", "experiment.phase", "--kind", "agent.*"];
    assert_eq!(windows(&of(&[])), 0, "windows are left out");
    assert_eq!(windows(&of(&kinds)), 0);
    for kind in ["experiment.window", "experiment.w*"] {
        assert_eq!(windows(&of(&["--kind", kind])), 6, "{kind}");
    }
    let before = of(&["--all"]);
    assert_eq!(windows(&before), 6);
    assert!(of(&kinds).len() > 3 && of(&kinds).len() < of(&[]).len());
    let two = server
        .phoenix(&["get", "events", "--all", "--limit", "2"])
        .good();
    let rows: Vec<Vec<&str>> = two
        .lines()
        .skip(1)
        .map(|l| l.split_whitespace().collect())
        .collect();
    let sequence = |n: usize| rows[n][0].parse::<u64>().unwrap();
    let newest = before.last().unwrap()["sequence"].as_u64().unwrap();
    assert_eq!((rows.len(), sequence(1)), (2, sequence(0) + 1), "{two}");
    assert!(sequence(1) >= newest, "{two}");
    for row in &rows {
        let time = humantime::parse_rfc3339(row[1]).unwrap();
        assert!(time.elapsed().unwrap() < Duration::from_secs(600));
    }
    let hour = server
        .phoenix(&["get", "events", "--all", "--since", "1h"])
        .good();
    assert!(hour.lines().count() > before.len());
    let later = ["get", "events", "--since", "2126-01-01T00:00:00Z"];
    assert_eq!(server.phoenix(&later).good().trim(), "no events");
    let wrong = server.phoenix(&["get", "events", "--since", "lately"]);
    assert!(wrong.stderr.contains("10m"), "{wrong:?}");
}

/// The exported windows judged without the server: its verdict, to the last figure.
fn offline_is_the_same(server: &Server, rest: &str, verdict: &Value) {
    let folder = tempfile::tempdir().unwrap();
    let (document, windows) = (folder.path().join("e.yaml"), folder.path().join("w.jsonl"));
    std::fs::write(&document, experiment("e", rest)).unwrap();
    let exported = server.phoenix(&["experiment", "windows", "e"]).good();
    std::fs::write(&windows, &exported).unwrap();
    let (document, windows) = (
        document.display().to_string(),
        windows.display().to_string(),
    );
    let run = server.phoenix(&["judge", "--experiment", &document, &windows, "-o", "json"]);
    let mut said = run.json();
    let id = said.as_object_mut().unwrap().remove("experiment");
    assert!(id.is_some_and(|id| id.is_string()));
    assert_eq!(said, *verdict);
    // As `phoenix experiment windows e | phoenix judge --experiment e.yaml -`.
    let piped = ["judge", "--experiment", &document, "-", "-o", "json"];
    assert_eq!(
        server.phoenix_with(&piped, &exported).json()["verdict"],
        said["verdict"]
    );
    let nothing = server.phoenix_with(&piped, "");
    assert!(nothing.stderr.contains("standard input"), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_waits_for_promote_which_may_be_said_twice() {
    let (server, _actor) = begin(
        Manner::default(),
        "steps: [{ step: shadow, minWindows: 4 }], onSuccess: hold",
    )
    .await;
    server.phoenix(&["experiment", "start", "e"]).good();
    assert_eq!(server.phoenix(&["experiment", "wait", "e"]).code, 0);
    assert_eq!(assigned(&server), "base");
    for _ in 0..2 {
        let said = server.phoenix(&["experiment", "promote", "e"]).good();
        assert!(said.contains("assignment/all"), "{said}");
    }
    assert_eq!(assigned(&server), "cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harm_rejects_at_once_and_wait_exits_with_2() {
    let manner = Manner {
        windows: 2,
        protected: 9,
        ..Manner::default()
    };
    let (server, _actor) = begin(
        manner,
        "steps: [{ step: shadow, minWindows: 4 }], onSuccess: promote",
    )
    .await;
    server.phoenix(&["experiment", "start", "e"]).good();
    let run = server.phoenix(&["experiment", "wait", "e", "--timeout", "60"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(
        run.stdout.contains("1 of 10 protected points were lost"),
        "{run:?}"
    );
    assert_eq!(assigned(&server), "base");
    let refused = server.phoenix(&["experiment", "promote", "e", "--force"]);
    assert_eq!(
        refused.code, 1,
        "a rejected candidate cannot be promoted: {refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_little_data_exits_with_3_and_none_with_4() {
    for (windows, code) in [(3, 3), (0, 4)] {
        let manner = Manner {
            windows,
            ..Manner::default()
        };
        let (server, _actor) = begin(
            manner,
            "steps: [{ step: shadow, minWindows: 40 }], maxDuration: 3s",
        )
        .await;
        server.phoenix(&["experiment", "start", "e"]).good();
        let run = server.phoenix(&["experiment", "wait", "e", "--timeout", "60"]);
        assert_eq!(run.code, code, "{run:?}");
        assert_eq!(assigned(&server), "base");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_every_phase_comes_to_the_same_verdict() {
    let (mut server, _actor) = begin(
        Manner::default(),
        "steps: [{ step: shadow, minWindows: 4 }], onSuccess: promote",
    )
    .await;
    server.phoenix(&["experiment", "start", "e"]).good();
    let phase = |server: &Server| {
        let e = server.phoenix(&["get", "experiment", "e", "-o", "json"]);
        e.json()["phase"].as_str().unwrap().to_owned()
    };
    let mut killed = Vec::new();
    loop {
        let now = phase(&server);
        if now == "Completed" {
            break;
        }
        assert!(
            now != "Failed" && now != "Cancelled",
            "{now} after {killed:?}"
        );
        if !killed.contains(&now) {
            server.kill_and_restart();
            killed.push(now);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(killed.len() >= 2, "killed in {killed:?}");
    assert_eq!(server.phoenix(&["experiment", "wait", "e"]).code, 0);
    assert_eq!(assigned(&server), "cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abort_ends_it_says_what_it_did_and_may_be_said_twice() {
    let (server, _actor) = begin(
        Manner {
            windows: 0,
            ..Manner::default()
        },
        "steps: [{ step: shadow, minWindows: 4 }]",
    )
    .await;
    server.phoenix(&["experiment", "start", "e"]).good();
    for did in ["go back to the baseline", "already"] {
        let said = server
            .phoenix(&["experiment", "abort", "e", "--reason", "enough"])
            .good();
        assert!(said.contains("Cancelled") && said.contains(did), "{said}");
    }
    assert_eq!(server.phoenix(&["experiment", "wait", "e"]).code, 6);
    assert_eq!(assigned(&server), "base");
}

/// Every kind of step but replay, on three nodes.
const STEPS: &str = "steps: [{ step: lint }, { step: aa }, { step: shadow, minWindows: 3 }, \
                     { step: ramp, by: node, to: [1 node, 100%] }, { step: bake, minWindows: 3 }], \
                     onSuccess: promote";

async fn fleet(server: &Server, manner: Manner) -> [Actor; 2] {
    let token = server.enrol_token();
    let more = [
        Actor::start(server.address, &token, "n2", manner).await,
        Actor::start(server.address, &token, "n3", manner).await,
    ];
    loop {
        let agents = server.phoenix(&["agents", "-o", "json"]).json();
        let active = |a: &Value| a["activeHash"].is_string();
        if agents
            .as_array()
            .unwrap()
            .iter()
            .filter(|a| active(a))
            .count()
            == 3
        {
            return more;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_every_phase_of_every_step_comes_to_the_same_verdict() {
    let (mut server, _actor) = begin(Manner::default(), STEPS).await;
    let _more = fleet(&server, Manner::default()).await;
    server.phoenix(&["experiment", "start", "e"]).good();
    let mut killed: Vec<String> = Vec::new();
    let ended = loop {
        let e = server
            .phoenix(&["get", "experiment", "e", "-o", "json"])
            .json();
        let phase = e["phase"].as_str().unwrap().to_owned();
        assert!(phase != "Failed" && phase != "Cancelled", "{e:#}");
        if phase == "Completed" {
            break e;
        }
        let now = format!("{} {phase}", e["step"].as_str().unwrap());
        if !killed.contains(&now) {
            server.kill_and_restart();
            killed.push(now);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(killed.len() >= 5, "killed in {killed:?}");
    assert_eq!(ended["verdict"]["outcome"], "promote", "{ended:#}");
    let steps = ended["steps"].as_array().unwrap();
    for step in steps {
        assert_eq!(step["state"], "passed", "{step:#}");
    }
    let names: Vec<&str> = steps.iter().map(|s| s["step"].as_str().unwrap()).collect();
    let all = ["lint", "aa", "shadow", "ramp 1 node", "ramp 100%", "bake"];
    assert_eq!(names, all);
    assert_eq!(assigned(&server), "cut");
    let shown = server.phoenix(&["experiment", "status", "e"]).good();
    assert!(
        shown.contains("ramp 1 node") && shown.contains("passed"),
        "{shown}"
    );
    // Abort after promotion takes it back, once.
    let said = server.phoenix(&["experiment", "abort", "e"]).good();
    assert!(said.contains("rolled back"), "{said}");
    assert_eq!(assigned(&server), "base", "as it was written before");
    let shown = server.phoenix(&["experiment", "status", "e"]).good();
    assert!(
        shown.contains("taken back") && !shown.contains("promoted by"),
        "{shown}"
    );
    let said = server.phoenix(&["experiment", "abort", "e"]).good();
    assert!(said.contains("already"), "{said}");
    // Promoting again would change nothing, and is not said to.
    let refused = server.phoenix(&["experiment", "promote", "e"]);
    assert!(refused.code != 0, "{refused:?}");
    assert_ne!(assigned(&server), "cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harm_quarantines_the_hash_until_it_is_lifted() {
    let manner = Manner {
        protected: 9,
        ..Manner::default()
    };
    let rest = "steps: [{ step: shadow, minWindows: 3 }]";
    let (server, _actor) = begin(manner, rest).await;
    // What led to it before is left alone, and said.
    let elsewhere = assignment("other", "cut").replace("{}", "{ matchLabels: { env: other } }");
    server.apply(&elsewhere.replace("cut }", "cut, priority: 9 }"));
    server.phoenix(&["experiment", "start", "e"]).good();
    assert_eq!(server.phoenix(&["experiment", "wait", "e"]).code, 2);
    let listed = server.phoenix(&["get", "assignments"]).good();
    assert!(
        listed.contains("assigned and quarantined: experiment e found harm"),
        "{listed}"
    );
    let listed = server.phoenix(&["quarantine", "list", "-o", "json"]).json();
    assert_eq!(listed[0]["pipeline"], "cut");
    assert_eq!(listed[0]["experiment"], "e");
    let reason = listed[0]["reason"].as_str().unwrap();
    assert!(reason.contains("protected"), "{reason}");
    let apply = |document: &str| server.phoenix_with(&["apply", "-f", "-"], document);
    let again = apply(&experiment("e", rest));
    assert!(
        again.code != 0 && again.stderr.contains("quarantine"),
        "{again:?}"
    );
    let given = apply(&assignment("all", "cut"));
    assert!(given.code != 0, "{given:?}");
    assert_eq!(assigned(&server), "base");
    let hash = listed[0]["hash"].as_str().unwrap();
    let said = server.phoenix(&["quarantine", "lift", &hash[..8]]).good();
    assert!(said.contains("lifted"), "{said}");
    let nothing = server.phoenix(&["quarantine", "lift", hash]);
    assert!(
        nothing.code != 0 && nothing.stderr.contains("quarantine list"),
        "{nothing:?}"
    );
    server.apply(&experiment("e", rest));
    // Again, and by its name.
    server.phoenix(&["experiment", "start", "e"]).good();
    assert_eq!(server.phoenix(&["experiment", "wait", "e"]).code, 2);
    let said = server.phoenix(&["quarantine", "lift", "cut"]).good();
    assert!(said.contains(&hash[..8]), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_outlives_a_restart_of_the_server_and_says_when_its_time_is_up() {
    let manner = Manner {
        windows: 0,
        ..Manner::default()
    };
    let rest = "steps: [{ step: shadow, minWindows: 4 }]";
    let (mut server, _actor) = begin(manner, rest).await;
    server.phoenix(&["experiment", "start", "e"]).good();
    let run = server.phoenix(&["experiment", "wait", "e", "--timeout", "1"]);
    assert_eq!(run.code, 7, "{run:?}");
    let again = server.phoenix_with(&["apply", "-f", "-"], &experiment("e", rest));
    assert!(
        again.stdout.contains("unchanged") && !again.stdout.contains("start"),
        "{again:?}"
    );
    let waiting = server.spawn(&["experiment", "wait", "e", "--timeout", "60"]);
    server.kill_and_restart();
    server.phoenix(&["experiment", "abort", "e"]).good();
    let run = waiting.join().unwrap();
    assert_eq!(run.code, 6, "{run:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bake_is_held_until_a_person_decides() {
    let steps = STEPS.replace("onSuccess: promote", "onSuccess: hold");
    let (server, _actor) = begin(Manner::default(), &steps).await;
    let _more = fleet(&server, Manner::default()).await;
    let arms = |server: &Server| -> Vec<String> {
        let agents = server.phoenix(&["agents", "-o", "json"]).json();
        let agents = agents.as_array().unwrap().iter();
        agents
            .filter_map(|a| a["arm"].as_str().map(str::to_owned))
            .collect()
    };
    let until = async |server: &Server, n: usize| {
        while arms(server).len() != n {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    for decision in ["abort", "promote"] {
        server.apply(&experiment("e", &steps));
        server.phoenix(&["experiment", "start", "e"]).good();
        assert_eq!(server.phoenix(&["experiment", "wait", "e"]).code, 0);
        assert_eq!(arms(&server), ["candidate"; 3], "held everywhere");
        let table = server.phoenix(&["agents"]).good();
        assert!(
            table.contains("ARM") && table.contains("candidate"),
            "{table}"
        );
        let e = server
            .phoenix(&["get", "experiment", "e", "-o", "json"])
            .json();
        assert_eq!(e["holds"], true, "{e:#}");
        let changed = experiment("e", &steps.replace("minWindows: 3", "minWindows: 4"));
        let refused = server.phoenix_with(&["apply", "-f", "-"], &changed);
        assert!(
            refused.stderr.contains("holds the candidate"),
            "{refused:?}"
        );
        server.phoenix(&["experiment", decision, "e"]).good();
        until(&server, 0).await;
    }
    assert_eq!(assigned(&server), "cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_captures_is_judged_before_anything_runs_on_an_agent() {
    let rest = "steps: [{ step: replay, minWindows: 3 }, { step: shadow, minWindows: 3 }]";
    let (server, _actor) = begin(Manner::default(), rest).await;
    // Only the baseline says what is protected.
    let guarded =
        pipeline("base", "").replace("spec: {", "spec: { protect: [ { metric: \"b.*\" } ],");
    server.apply(&(guarded + &assignment("all", "base")));
    let path = server.file("capture.binpb");
    let mut writer = phoenix_agent::capture::Writer::create(&path).unwrap();
    for second in 1_700_000_000..1_700_000_010 {
        for name in ["a.x", "b.x"] {
            writer.write(&gauge(name, second, second)).unwrap();
        }
    }
    writer.finish().unwrap();
    let capture = path.to_str().unwrap();
    let early = server.phoenix(&["experiment", "replay", "e", capture]);
    assert!(early.code != 0, "it has not started: {early:?}");
    server.phoenix(&["experiment", "start", "e"]).good();
    let before = server
        .phoenix(&["get", "experiment", "e", "-o", "json"])
        .json();
    assert_eq!(
        (&before["step"], &before["phase"]),
        (&"replay".into(), &"Running".into())
    );
    let said = server
        .phoenix(&["experiment", "replay", "e", capture])
        .good();
    assert!(said.contains("10 windows"), "{said}");
    assert_eq!(server.phoenix(&["experiment", "wait", "e"]).code, 0);
    let e = server
        .phoenix(&["get", "experiment", "e", "-o", "json"])
        .json();
    let replayed = &e["steps"][0]["verdict"];
    assert_eq!(replayed["outcome"], "promote", "{replayed:#}");
    assert_eq!(replayed["savings"]["points"]["saving"], 0.5);
    assert_eq!(replayed["savings"]["samples"]["saving"], 0.5);
    let criteria = replayed["criteria"].as_array().unwrap();
    let protected = criteria.iter().find(|c| c["name"] == "protected points");
    let protected = protected.unwrap();
    assert_eq!(protected["outcome"], "pass", "{protected}");
    assert_eq!(protected["threshold"], "at least 100 % kept", "{protected}");
    let windows = server.phoenix(&["experiment", "windows", "e"]).good();
    let of = |step: &str| {
        windows
            .lines()
            .filter(|l| l.contains(&format!("\"step\":\"{step}\"")))
            .count()
    };
    assert_eq!((of("replay"), of("shadow")), (10, 6));
}
