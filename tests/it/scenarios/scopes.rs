//! Who is in an experiment: no agent is in two, and one that comes late begins on the baseline.

use super::world::{World, agent_settings, pipeline, sink};
use phoenix_tests::harness::{Agent, ControlPlane, Fleet, eventually};
use serde_json::Value;

const ALL: &str = "  stages: []";
const THIN: &str =
    r#"  stages: [ { id: thin, filter: { drop: [ { metric: "process.memory.*" } ] } } ]"#;

fn experiment(name: &str, selector: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: {name} }}\nspec: {{ candidate: thin, \
         scope: {{ selector: {selector} }}, window: 1s, maxDuration: 5m, goal: {{ saving: points, target: 5% }}, \
         {rest} }}\n"
    )
}

async fn fleet(agent: &Agent, first: &str) -> Fleet {
    let args = ["--hosts", "2", "--processes", "8", "--services", "0"];
    let args = [&args[..], &["--interval-ms", "150", "--first", first]].concat();
    Fleet::start(agent.grpc, &args).await
}

/// A node `n1` of `prod`, and what is assigned.
async fn begin() -> World {
    let folder = tempfile::tempdir().expect("folder");
    let control = ControlPlane::start(&folder.path().join("server"), "127.0.0.1:0").await;
    let (sink, shadow) = (sink().await, sink().await);
    let settings = agent_settings(folder.path(), "n1", &control, sink.otlp, shadow.otlp);
    let agent = Agent::start(folder.path(), "n1", &of(&settings, "n1", "prod")).await;
    let world = World {
        folder,
        control,
        agent,
        sink,
        shadow,
    };
    let pipelines = pipeline("all", ALL) + &pipeline("thin", THIN);
    world.apply(&pipelines).await;
    world.assign("all").await;
    world
}

/// Settings of a node with the label `env`.
fn of(settings: &str, node: &str, env: &str) -> String {
    let name = format!("node: {{ name: {node}");
    settings.replacen(&name, &format!("{name}, labels: {{ env: {env} }}"), 1)
}

/// Another node.
async fn joins(world: &World, node: &str, env: &str) -> Agent {
    let (sink, shadow) = (world.sink.otlp, world.shadow.otlp);
    let settings = agent_settings(world.path(), node, &world.control, sink, shadow);
    Agent::start(world.path(), node, &of(&settings, node, env)).await
}

/// How a node stands to an experiment.
fn stands<'a>(e: &'a Value, node: &str) -> &'a Value {
    let all = e["agents"].as_array().expect("agents").iter();
    let named = |a: &&Value| a["agent"].as_str().is_some_and(|id| id.ends_with(node));
    all.clone().find(named).unwrap_or(&Value::Null)
}

/// Waits until the experiment is as wanted.
async fn until(world: &World, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || {
        let path = format!("/experiments/{name}");
        let e = world.control.api.try_get(&path).await?;
        assert_ne!(e["phase"], "Failed", "{e:#}");
        wanted(&e).then_some(e)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_agent_is_in_two_experiments_and_one_that_runs_is_not_edited() {
    let world = begin().await;
    let other = joins(&world, "n2", "test").await;
    let _fleets = [fleet(&world.agent, "0").await, fleet(&other, "2").await];
    let (prod, test) = (
        "{ matchLabels: { env: prod } }",
        "{ matchLabels: { env: test } }",
    );
    let long = "steps: [ { step: shadow, minWindows: 200 } ]";
    let document = experiment("one", prod, long);
    world.apply(&document).await;
    world.apply(&experiment("two", "{}", long)).await;
    world.apply(&experiment("three", test, long)).await;
    let cli = async |args: &[&str]| world.control.cli(args).await;
    let (code, said) = cli(&["experiment", "start", "one"]).await;
    assert_eq!(code, 0, "{said}");

    let (code, said) = cli(&["experiment", "start", "two"]).await;
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("experiment one runs"), "{said}");
    let (code, said) = cli(&["experiment", "start", "three"]).await;
    assert_eq!(code, 0, "{said}");
    for (name, node) in [("one", "n1"), ("three", "n2")] {
        let compares = |e: &Value| e["live"]["windows"].as_u64() >= Some(2);
        let e = until(&world, name, "windows", compares).await;
        assert_eq!(e["agents"].as_array().map(Vec::len), Some(1), "{e:#}");
        assert_eq!(stands(&e, node)["state"], "runs", "{e:#}");
    }

    let edited = world.path().join("edited.yaml");
    std::fs::write(&edited, document.replace("target: 5%", "target: 1%")).expect("written");
    let (code, said) = cli(&["apply", "-f", edited.to_str().expect("UTF-8 path")]).await;
    assert_ne!(code, 0, "{said}");
    assert!(
        said.contains("experiment one") && said.contains("abort"),
        "{said}"
    );
    let e = world.control.api.get("/experiments/one").await;
    assert_eq!(
        (&e["phase"], &e["document"]["spec"]["goal"]["target"]),
        (&"Running".into(), &0.05.into()),
        "{e:#}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_late_begins_on_the_baseline_and_counts_from_then_on() {
    let world = begin().await;
    let baseline = world.control.api.get("/pipelines/all").await["hash"].clone();
    let steps = "steps: [ { step: shadow, minWindows: 3 }, { step: ramp, by: node, to: [1 node], minWindows: 3 } ]";
    let document = experiment("late", "{ matchLabels: { env: prod } }", steps);
    world.apply(&document).await;
    world
        .control
        .api
        .post("/experiments/late/start", None)
        .await;
    // Nothing is sent yet, so that no step can pass.
    until(&world, "late", "the shadow", |e| e["phase"] == "Running").await;
    let second = joins(&world, "n2", "prod").await;
    let known = |e: &Value| !stands(e, "n2").is_null();
    let e = until(&world, "late", "the second node", known).await;
    assert_eq!(stands(&e, "n2")["arm"], Value::Null, "{e:#}");
    assert_eq!(stands(&e, "n1")["arm"], "both", "{e:#}");
    let (_, said) = world.control.cli(&["experiment", "status", "late"]).await;
    assert!(said.contains("1 no part"), "{said}");
    runs(&world, "n2", &baseline).await;
    let ledger = second.json("/debug/ledger").await;
    assert!(ledger["candidate"].is_null(), "{ledger:#}");

    let _first = fleet(&world.agent, "0").await;
    let ramp = |e: &Value| e["step"] == "ramp 1 node" && e["phase"] == "Running";
    let e = until(&world, "late", "the ramp", ramp).await;
    let shadow = &e["steps"][0]["verdict"];
    assert_eq!(
        shadow["asked"]["agents"],
        serde_json::json!(["default/default/n1"])
    );
    assert_eq!(shadow["windows"]["reports"]["missing"], 0, "{shadow:#}");
    let mut arms = ["n1", "n2"].map(|node| stands(&e, node)["arm"].as_str().expect("an arm"));
    arms.sort_unstable();
    assert_eq!(arms, ["baseline", "candidate"], "{e:#}");

    // The second node has sent nothing, so that the ramp has nothing to compare.
    let third = joins(&world, "n3", "prod").await;
    let there = |e: &Value| stands(e, "n3")["state"] == "runs";
    let e = until(&world, "late", "the third node", there).await;
    assert_eq!(stands(&e, "n3")["arm"], "baseline", "{e:#}");
    runs(&world, "n3", &baseline).await;
    let _others = [fleet(&second, "2").await, fleet(&third, "4").await];
    let ended = world.ended("late").await;
    assert_eq!(ended["verdict"]["outcome"], "promote", "{ended:#}");
    let ramp = &ended["steps"][1]["verdict"];
    let chosen = ramp["asked"]["candidateAgents"].as_array().map(Vec::len);
    assert_eq!(chosen, Some(1), "{ramp:#}");
    assert_eq!(ramp["windows"]["reports"]["missing"], 0, "{ramp:#}");
    let windows = world.control.api.get("/experiments/late/windows").await;
    let windows = windows.as_array().expect("windows").iter();
    let of = windows.filter(|w| w["agent"].as_str().is_some_and(|a| a.ends_with("n3")));
    let took = |w: &Value, arm: &str| w[arm]["ledger"]["received"].as_u64().unwrap_or(0);
    let of: Vec<&Value> = of.collect();
    assert!(of.iter().any(|w| took(w, "baseline") > 0), "{of:#?}");
    assert!(of.iter().all(|w| took(w, "candidate") == 0), "{of:#?}");
}

/// A node says that it runs nothing but `hash`.
async fn runs(world: &World, node: &str, hash: &Value) {
    eventually("the baseline to run there", async || {
        let agents = world.control.api.try_get("/agents").await?;
        let found = agents.as_array()?.iter().find(|a| a["node"] == node)?;
        (found["activeHash"] == *hash).then_some(())
    })
    .await;
}
