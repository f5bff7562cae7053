//! `phoenix-instructions`: one hot loop of the engine, fed a stated number of rounds.
//!
//! `scripts/instructions` runs it under valgrind with few and with many rounds; the difference is
//! what a point costs, to the instruction, whatever else the machine does. All requests are made
//! beforehand, the same ones whatever the number of rounds.

use anyhow::Context;
use bytes::Bytes;
use phoenix_benches::fed::{S, plan};
use phoenix_benches::stream::{Kind, Stream};
use phoenix_engine::compile::Plan;
use phoenix_engine::engine::{Engine, Settings, count_points};
use std::hint::black_box;
use std::sync::Arc;

const START: u64 = 1_700_000_000 * S;
const POINTS: usize = 500;
const REQUESTS: usize = 4;
/// Most rounds that can be asked for.
const ROUNDS: u64 = 10;

const FILTER: &str = "{ id: f, filter: { drop: [ { metric: app.requests.3 } ] } }";
const LONG: &str = "{ id: a, aggregate: { match: { metric: \"app.*\" }, without: [client.address, customer.id], interval: 1h } }";
const SHORT: &str = "{ id: a, aggregate: { match: { metric: \"app.*\" }, without: [client.address, customer.id], interval: 10s, lateness: 0s } }";
const FRACTION: &str =
    "{ id: s, sample: { match: { metric: \"app.*\" }, fraction: 0.5, entity: [customer.id] } }";
const EVERY: &str = "{ id: s, sample: { match: { metric: \"app.*\" }, every: 1h } }";
const EVERY_CLOSED: &str = "{ id: s, sample: { match: { metric: \"app.*\" }, every: 10s } }";

const TRANSFORM: &str = "{ id: t, transform: { match: { metric: \"app.*\" }, ops: [ { set: { attribute: env, value: prod } } ] } }";
const DELTA: &str = "{ id: d, temporality: { match: { metric: \"app.*\" }, to: delta } }";

/// A hot loop.
struct Row {
    name: &'static str,
    kind: Kind,
    stages: &'static str,
    what: What,
}

/// What is done in a round.
enum What {
    /// Requests are only looked at.
    Walk,
    /// Requests of known series.
    Feed,
    /// As `Feed`, with the same stages in a shadow arm.
    Shadow,
    /// As `Feed`, then a tick that closes the window.
    Close,
    /// A swap to a changed plan, then requests of known series.
    Swap,
    /// Requests of series that were never seen.
    New,
}

fn rows() -> Vec<Row> {
    let row = |name, kind, stages, what| Row {
        name,
        kind,
        stages,
        what,
    };
    use Kind::{Histogram, Number};
    vec![
        row("walk", Number, "", What::Walk),
        row("walk histograms", Histogram, "", What::Walk),
        row("pass", Number, "", What::Feed),
        row("pass histograms", Histogram, "", What::Feed),
        row("filter and splice", Number, FILTER, What::Feed),
        row("sample fraction and splice", Number, FRACTION, What::Feed),
        row("sample every, held", Number, EVERY, What::Feed),
        row("sample every, written", Number, EVERY_CLOSED, What::Close),
        row("transform and write", Number, TRANSFORM, What::Feed),
        row("to delta and write", Number, DELTA, What::Feed),
        row("aggregate add", Number, LONG, What::Feed),
        row("aggregate add histograms", Histogram, LONG, What::Feed),
        row("aggregate add and write", Number, SHORT, What::Close),
        row("shadow of filter", Number, FILTER, What::Shadow),
        row("shadow of aggregate", Number, LONG, What::Shadow),
        row("swap", Number, FILTER, What::Swap),
        row("first sight", Number, "", What::New),
        row("first sight in aggregate", Number, LONG, What::New),
    ]
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rows = rows();
    let Some(name) = arguments.next() else {
        rows.iter().for_each(|row| println!("{}", row.name));
        return Ok(());
    };
    let row = rows
        .iter()
        .find(|row| row.name == name)
        .context("no such row")?;
    let rounds: u64 = arguments.next().context("rounds")?.parse()?;
    anyhow::ensure!(rounds <= ROUNDS, "at most {ROUNDS} rounds");
    let requests = requests(row);
    let plans = plans(row)?;
    let settings = Settings {
        began: START - S,
        ..Settings::default()
    };
    let mut engine = Engine::new(settings, plans[0].clone(), START);
    for (round, requests) in (0..rounds).zip(&requests) {
        run(row, round, requests, &plans, &mut engine)?;
    }
    println!("{}", REQUESTS * POINTS);
    Ok(())
}

fn time(round: u64) -> u64 {
    START + (round + 1) * 10 * S
}

/// All requests of all rounds.
fn requests(row: &Row) -> Vec<Vec<Bytes>> {
    let fresh = matches!(row.what, What::New);
    let hosts = REQUESTS * if fresh { ROUNDS as usize } else { 1 };
    let stream = Stream::new(row.kind, hosts * POINTS, POINTS, START);
    (0..ROUNDS)
        .map(|round| {
            let first = if fresh { round as usize * REQUESTS } else { 0 };
            (first..first + REQUESTS)
                .map(|host| stream.request(host, round, time(round)))
                .collect()
        })
        .collect()
}

fn plans(row: &Row) -> anyhow::Result<[Arc<Plan>; 2]> {
    let shadow = matches!(row.what, What::Shadow).then_some(row.stages);
    let other = "{ id: g, filter: { drop: [ { metric: app.requests.2 } ] } }";
    Ok([plan(row.stages, shadow)?, plan(other, None)?])
}

fn run(
    row: &Row,
    round: u64,
    requests: &[Bytes],
    plans: &[Arc<Plan>; 2],
    engine: &mut Engine,
) -> anyhow::Result<()> {
    let now = time(round);
    if matches!(row.what, What::Swap) {
        black_box(engine.swap(plans[(round % 2) as usize].clone(), now));
    }
    for request in requests {
        if matches!(row.what, What::Walk) {
            black_box(count_points(request).map_err(|e| anyhow::anyhow!("{e}"))?);
        } else {
            let fed = engine.feed(request, now);
            black_box(fed.map_err(|e| anyhow::anyhow!("{e}"))?);
        }
    }
    if matches!(row.what, What::Close) {
        black_box(engine.tick(now + S));
    }
    Ok(())
}
