//! `agents`: what runs where, once or again and again.

use crate::client::Client;
use crate::output::{Format, OutputArgs, bytes, count, grouped, hash, rows, table, text};
use clap::Args;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Show the agents: what they run, and their counters.
#[derive(Debug, Args)]
pub struct AgentsArgs {
    /// Show them again every second, with rates.
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Points received and exported by node, when they were read.
pub type Before = (Instant, BTreeMap<String, (f64, f64)>);

pub async fn agents(client: &Client, args: &AgentsArgs) -> anyhow::Result<()> {
    let mut before: Option<Before> = None;
    loop {
        let value = client.get("/agents").await?;
        if args.watch && args.output.output == Format::Table && std::io::stdout().is_terminal() {
            // Clears the screen.
            print!("\u{1b}[2J\u{1b}[H");
        }
        args.output
            .print(&value, |value| list(rows(value), before.as_ref()))?;
        if !args.watch {
            return Ok(());
        }
        before = Some((Instant::now(), points(rows(&value))));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn points(agents: &[Value]) -> BTreeMap<String, (f64, f64)> {
    let read = |v: &Value, path: &str| v.pointer(path).and_then(Value::as_f64);
    agents
        .iter()
        .filter_map(|v| {
            let received = read(v, "/heartbeat/ledger/received")?;
            let exported = read(v, "/heartbeat/ledger/exported")?;
            Some((key(v), (received, exported)))
        })
        .collect()
}

fn key(agent: &Value) -> String {
    format!("{}/{}", text(agent, "/cluster"), text(agent, "/node"))
}

/// The table of agents; with an earlier reading points are a second, else since the start.
pub fn list(agents: &[Value], before: Option<&Before>) -> String {
    if agents.is_empty() {
        return "no agent has connected yet: give one `control_plane: { endpoint, token_file }` \
                with the enrol.token of this server"
            .into();
    }
    let barred = crate::quarantine::still_assigned(agents, "/assignedHash", "/assignedQuarantined");
    let now = Instant::now();
    let head = if before.is_some() {
        ["points in/s", "points out/s"]
    } else {
        ["points in", "points out"]
    };
    let all = table(
        &[
            "node",
            "connected",
            "state",
            "active",
            "desired",
            "experiment",
            "arm",
            "series",
            head[0],
            head[1],
            "rss",
            "seen",
        ],
        agents.iter().map(|v| {
            let (came, left) = match before {
                None => (
                    count(v, "/heartbeat/ledger/received"),
                    count(v, "/heartbeat/ledger/exported"),
                ),
                Some(before) => rates(v, before, now),
            };
            vec![
                text(v, "/node"),
                text(v, "/connected"),
                text(v, "/state"),
                hash(v, "/activeHash"),
                hash(v, "/desiredHash"),
                text(v, "/experiment"),
                arm(v),
                count(v, "/heartbeat/series"),
                came,
                left,
                bytes(v, "/heartbeat/rssBytes"),
                text(v, "/lastSeen"),
            ]
        }),
    );
    all + &barred
}

/// Which arm runs: of a split with the candidate's share.
pub fn arm(of: &Value) -> String {
    match (of["arm"].as_str(), of["percent"].as_f64()) {
        (None, _) => "-".into(),
        (Some(arm), None) => arm.into(),
        (Some(arm), Some(percent)) => format!("{arm} {percent}%"),
    }
}

fn rates(agent: &Value, before: &Before, now: Instant) -> (String, String) {
    let seconds = now.duration_since(before.0).as_secs_f64();
    let then = before.1.get(&key(agent));
    let current = points(std::slice::from_ref(agent));
    match (then, current.get(&key(agent))) {
        (Some(then), Some(now)) if seconds > 0.0 && now.0 >= then.0 => {
            let rate = |a: f64, b: f64| grouped(((b - a) / seconds).round() as i128);
            (rate(then.0, now.0), rate(then.1, now.1))
        }
        _ => ("-".into(), "-".into()),
    }
}
