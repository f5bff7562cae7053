//! The tables.

use super::{Process, Shadow};
use phoenix_benches::fed::{self, Fed};
use phoenix_benches::process::{Load, Measured};
use phoenix_benches::resident::Resident;
use phoenix_benches::rows::{self, GO, LARGE, Row, Who};
use phoenix_benches::shadow;
use phoenix_benches::stream::Kind;

/// One line of the table.
struct Case<'a> {
    row: &'a Row,
    who: Who<'a>,
    series: usize,
    frame: usize,
    runs: Vec<Measured>,
}

impl Case<'_> {
    fn median(&self) -> Measured {
        let mut runs = self.runs.clone();
        runs.sort_by(|a, b| a.cpu_per_million().total_cmp(&b.cpu_per_million()));
        runs.get(runs.len() / 2).cloned().unwrap_or_default()
    }

    fn lowest(&self) -> f64 {
        let costs = self.runs.iter().map(Measured::cpu_per_million);
        costs.fold(f64::INFINITY, f64::min)
    }

    fn print(&self, theirs: Option<f64>) {
        let m = self.median();
        let (who, agent) = match self.who {
            Who::Agent(_) => ("phoenix-agent", true),
            Who::Collector(_) => ("Collector 0.145", false),
        };
        let peak = self.runs.iter().map(|m| m.peak_rss).max().unwrap_or(0);
        let budget = match (agent, self.frame) {
            (false, _) => String::new(),
            (true, GO) => format!("{:.2}", self.row.budget + 0.15),
            (true, _) => format!("{:.2}", self.row.budget),
        };
        let ratio = theirs.map_or(String::new(), |theirs| {
            let asked = match self.row.ratio {
                0.0 => String::new(),
                ratio => format!(" (>= {ratio:.0})"),
            };
            format!("{:.1}{asked}", theirs / m.cpu_per_million())
        });
        println!(
            "| {} | {who} | {} | {} KiB | {:.0} | {:.3} | {:.3} | {budget} | {ratio} | {:.0} | {:.1} | {:.2} | {} |",
            self.row.name,
            self.series,
            self.frame >> 10,
            m.points as f64 / m.seconds,
            m.cpu_per_million(),
            self.lowest(),
            peak as f64 / (1 << 20) as f64,
            m.sink_bytes as f64 / m.points as f64,
            m.sink_points as f64 / m.points as f64,
            self.runs.iter().map(|m| m.refused).sum::<u64>(),
        );
    }
}

/// Whole processes.
pub async fn process(options: &Process) -> anyhow::Result<()> {
    let rows = rows::rows();
    let chosen: Vec<&Row> = rows
        .iter()
        .filter(|row| row.name.contains(&options.only))
        .collect();
    let mut cases = Vec::new();
    let mut add = |row, who, series, frame| {
        cases.push(Case {
            row,
            who,
            series,
            frame,
            runs: Vec::new(),
        });
    };
    for row in &chosen {
        add(row, Who::Agent(&options.agent), options.series, LARGE);
        add(row, Who::Agent(&options.agent), options.series, GO);
        if let Some(collector) = &options.collector {
            add(row, Who::Collector(collector), options.series, GO);
        }
    }
    for series in &options.more_series {
        for row in chosen
            .iter()
            .filter(|r| r.stages.is_empty() || r.stages.contains("aggregate"))
        {
            add(row, Who::Agent(&options.agent), *series, LARGE);
        }
    }
    for run in 0..options.runs {
        for case in &mut cases {
            let load = Load {
                alike: options.alike,
                ..case.row.load(case.series, options.points, case.frame)
            };
            // A million series make runs long: one is enough.
            if run == 0 || case.series == options.series {
                match case.row.run(case.who, &load).await {
                    Ok(measured) => case.runs.push(measured),
                    Err(error) => eprintln!("{}: a run is left out: {error:#}", case.row.name),
                }
            }
        }
    }
    println!(
        "| what | process | live series | frames | points/s | CPU-s per million points | lowest | budget | Collector / agent | peak RSS MiB | bytes out a point in | points out a point in | refused |"
    );
    println!("|{}", " --- |".repeat(13));
    for case in &cases {
        let peer = cases.iter().find(|c| {
            matches!(c.who, Who::Collector(_))
                && c.row.name == case.row.name
                && c.series == case.series
        });
        let theirs = peer.map(|c| c.median().cpu_per_million());
        case.print(theirs.filter(|_| matches!(case.who, Who::Agent(_))));
    }
    let mut at_rest = Vec::new();
    for _ in 0..options.runs {
        at_rest.push(rows::rest(&options.agent).await? as f64 / (1 << 20) as f64);
    }
    at_rest.sort_by(f64::total_cmp);
    let highest = at_rest.last().copied().unwrap_or_default();
    println!("\nThe agent at rest: {highest:.1} MiB resident (budget 15).");
    Ok(())
}

/// Where resident memory lies: the highest of all runs of a case, and how much of the Collector's it is.
pub async fn resident(options: &Process) -> anyhow::Result<()> {
    println!(
        "| what | process | frames | code MiB | constants | written to | libraries | stack | heap | all | of the Collector's |"
    );
    println!("|{}", " --- |".repeat(11));
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    for row in rows::rows()
        .iter()
        .filter(|row| row.name.contains(&options.only))
    {
        let collector = options.collector.iter().map(|c| (Who::Collector(c), GO));
        let cases = collector.chain([LARGE, GO].map(|frame| (Who::Agent(&options.agent), frame)));
        let mut theirs = None;
        for (who, frame) in cases {
            let load = row.load(options.series, options.points, frame);
            let mut highest = Resident::default();
            for _ in 0..options.runs {
                let run = row.resident(who, &load).await?;
                if run.all() > highest.all() {
                    highest = run;
                }
            }
            let (name, share) = match (who, theirs) {
                (Who::Collector(_), _) => ("Collector 0.145", String::new()),
                (_, None) => ("phoenix-agent", String::new()),
                (_, Some(theirs)) => {
                    let share = mib(highest.all()) / theirs;
                    ("phoenix-agent", format!("{share:.2} (<= 0.33)"))
                }
            };
            if matches!(who, Who::Collector(_)) {
                theirs = Some(mib(highest.all()));
            }
            println!(
                "| {} | {name} | {} KiB | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {share} |",
                row.name,
                frame >> 10,
                mib(highest.code),
                mib(highest.constants),
                mib(highest.written),
                mib(highest.libraries),
                mib(highest.stack),
                mib(highest.heap),
                mib(highest.all()),
            );
        }
    }
    Ok(())
}

/// A whole agent with a shadow, beside one without; both under a control plane.
pub async fn shadow(options: &Shadow) -> anyhow::Result<()> {
    println!(
        "| what, in a whole agent under a control plane | CPU-s per million points | with the same as shadow | ratio | budget |"
    );
    println!("|{}", " --- |".repeat(5));
    for row in rows::rows().iter().filter(|row| row.budget <= 0.4) {
        let load = row.load(options.series, options.points, LARGE);
        let mut costs = [Vec::new(), Vec::new()];
        for _ in 0..options.runs {
            for (costs, shadow) in costs.iter_mut().zip([false, true]) {
                let run = shadow::run(row, &load, &options.agent, &options.phoenix, shadow).await?;
                costs.push(run.cpu_per_million());
            }
        }
        let [alone, both] = costs.map(|mut costs| {
            costs.sort_by(f64::total_cmp);
            costs.get(costs.len() / 2).copied().unwrap_or(f64::NAN)
        });
        println!(
            "| {} | {alone:.3} | {both:.3} | {:.2} | 1.5 |",
            row.name,
            both / alone
        );
    }
    Ok(())
}

const FILTER: &str = "{ id: f, filter: { drop: [ { metric: app.requests.3 } ] } }";
const AGGREGATE: &str = "{ id: a, aggregate: { match: { metric: \"app.*\" }, without: [client.address, customer.id], interval: 60s } }";

/// Ten stages whose decisions about these series are those of the one filter.
fn ten() -> String {
    let mut stages: Vec<String> = (0..5)
        .map(|n| {
            format!("{{ id: f{n}, filter: {{ drop: [ {{ metric: \"other{n}.*\" }}, {{ attributes: {{ status: \"/6../\" }} }} ] }} }}")
        })
        .collect();
    stages.push(FILTER.to_owned());
    stages.extend((0..2).map(|n| {
        format!("{{ id: s{n}, sample: {{ match: {{ metric: \"other{n}.*\" }}, fraction: 0.5, entity: [host.name] }} }}")
    }));
    stages.extend((0..2).map(|n| {
        format!("{{ id: a{n}, aggregate: {{ match: {{ metric: \"rare{n}.*\" }}, without: [status], interval: 60s }} }}")
    }));
    stages.join(", ")
}

/// Ratios of the engine alone; both sides of a ratio take turns.
pub fn engine(rounds: usize) -> anyhow::Result<()> {
    let ten = ten();
    let fed = |stages: &str, shadow: Option<&str>, series| {
        anyhow::Ok(Fed::new(fed::plan(stages, shadow)?, Kind::Number, series))
    };
    println!("| what | ns a point | beside | ns a point | ratio | budget |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let line = |names: [&str; 2], budget: &str, one: Fed, other: Fed| -> anyhow::Result<()> {
        let [a, b] = turns([one, other], rounds)?;
        let [name, beside] = names;
        println!(
            "| {name} | {a:.1} | {beside} | {b:.1} | {:.2} | {budget} |",
            a / b
        );
        Ok(())
    };
    line(
        ["ten stages", "one filter"],
        "1.15",
        fed(&ten, None, 20_000)?,
        fed(FILTER, None, 20_000)?,
    )?;
    line(
        ["filter, and the same as shadow", "filter"],
        "1.5",
        fed(FILTER, Some(FILTER), 20_000)?,
        fed(FILTER, None, 20_000)?,
    )?;
    line(
        ["aggregate, and the same as shadow", "aggregate"],
        "1.5",
        fed(AGGREGATE, Some(AGGREGATE), 20_000)?,
        fed(AGGREGATE, None, 20_000)?,
    )?;
    for (name, stages) in [("filter", FILTER), ("aggregate", AGGREGATE)] {
        line(
            [&format!("{name}, 1 M live series, in order"), "10 k"],
            "1.5",
            fed(stages, None, 1_000_000)?,
            fed(stages, None, 10_000)?,
        )?;
        line(
            [
                &format!("{name}, 1 M live series, random order"),
                "10 k, in order",
            ],
            "",
            Fed::scattered(fed::plan(stages, None)?, Kind::Number, 1_000_000)?,
            fed(stages, None, 10_000)?,
        )?;
    }
    Ok(())
}

/// Median CPU nanoseconds a point of each; small ones are fed as many rounds as make about as many
/// points as the larger one's.
fn turns(mut both: [Fed; 2], rounds: usize) -> anyhow::Result<[f64; 2]> {
    let most = both[0].points().max(both[1].points()).max(200_000);
    let mut spent: [Vec<f64>; 2] = Default::default();
    for turn in 0..=rounds {
        for (fed, spent) in both.iter_mut().zip(&mut spent) {
            let times = most / fed.points();
            let mut nanos = 0;
            for _ in 0..times {
                nanos += fed.round()?;
            }
            // The first turn makes the series known.
            if turn > 0 {
                spent.push(nanos as f64 / (times * fed.points()) as f64);
            }
        }
    }
    Ok(spent.map(|mut s| {
        s.sort_by(f64::total_cmp);
        s.get(s.len() / 2).copied().unwrap_or_default()
    }))
}

/// Memory of live series, each case in processes of its own: with all series, and with a tenth of
/// them. The difference is what a series takes; the rest is the same whatever their number.
pub fn memory(series: usize) -> anyhow::Result<()> {
    let every = "{ id: s, sample: { match: { metric: \"app.*\" }, every: 60s } }";
    let cases = [
        ("numbers that pass", "", false, ""),
        (
            "numbers in an aggregation of ten to one",
            AGGREGATE,
            false,
            "350",
        ),
        ("histograms of ten bounds that pass", "", true, ""),
        (
            "histograms of ten bounds in an aggregation of ten to one",
            AGGREGATE,
            true,
            "700",
        ),
        ("numbers in a sample every", every, false, ""),
        (
            "numbers held back by a dead-band",
            "{ id: d, sample: { match: {}, deadband: { absolute: 1000000000 } } }",
            false,
            "",
        ),
        (
            "numbers with a place in a limit",
            "{ id: l, limit: { series: 2000000 } }",
            false,
            "",
        ),
        (
            "numbers of members of a topk",
            "{ id: t, topk: { entity: [client.address, customer.id], rank: { metric: \"app.*\", by: rate }, k: 100000000, interval: 10s } }",
            false,
            "",
        ),
        (
            "numbers that a topk folds, ten into one",
            "{ id: t, topk: { entity: [client.address, customer.id], rank: { metric: \"app.*\", by: rate }, k: 1, interval: 10s } }",
            false,
            "",
        ),
        (
            "numbers turned into deltas",
            "{ id: t, temporality: { match: {}, to: delta } }",
            false,
            "",
        ),
        (
            "histograms of ten bounds turned into deltas",
            "{ id: t, temporality: { match: {}, to: delta } }",
            true,
            "",
        ),
    ];
    println!(
        "| {series} live series | resident bytes a series | budget | all of it, MiB | at the highest, MiB | the engine's own estimate, bytes a series |"
    );
    println!("|{}", " --- |".repeat(6));
    for (name, stages, histogram, budget) in cases {
        let many = one_memory(stages, series, histogram)?;
        let few = one_memory(stages, series / 10, histogram)?;
        let each = (many[0] - few[0]) / (series - series / 10) as f64;
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        println!(
            "| {name} | {each:.0} | {budget} | {:.0} | {:.0} | {:.0} |",
            mib(many[0]),
            mib(many[1]),
            many[2] / series as f64
        );
    }
    Ok(())
}

/// Resident bytes, at the highest, and the engine's estimate.
fn one_memory(stages: &str, series: usize, histogram: bool) -> anyhow::Result<[f64; 3]> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["one-memory", stages, &series.to_string()]);
    if histogram {
        command.arg("--histogram");
    }
    let output = command.output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    let mut figures = text.split_whitespace();
    let mut next = || -> anyhow::Result<f64> { Ok(figures.next().unwrap_or_default().parse()?) };
    Ok([next()?, next()?, next()?])
}
