//! The engine alone: how long it takes over the made stream, and what it keeps in memory.

use crate::stream::{Kind, Stream};
use anyhow::Context;
use phoenix_engine::compile::{Candidate, Division, Pipeline, Plan, compile};
use phoenix_engine::engine::{Engine, Limits, Settings};
use rand::seq::SliceRandom;
use rand::{SeedableRng, rngs::StdRng};
use std::sync::Arc;

/// One second in nanoseconds.
pub const S: u64 = 1_000_000_000;
/// Points a request.
pub const POINTS: usize = 1000;
const START: u64 = 1_700_000_000 * S;

/// A compiled pipeline of these stages.
///
/// # Errors
/// The document's problems.
pub fn pipeline(stages: &str) -> anyhow::Result<Arc<Pipeline>> {
    compile(&format!(
        "{{apiVersion: phoenix/v1, kind: Pipeline, metadata: {{name: p}}, spec: {{stages: [ {stages} ]}}}}"
    ))
    .map_err(|problems| anyhow::anyhow!("{stages}: {problems:?}"))
}

/// A plan of one pipeline, or of two where `shadow` has stages for a candidate.
///
/// # Errors
/// The documents' problems.
pub fn plan(stages: &str, shadow: Option<&str>) -> anyhow::Result<Arc<Plan>> {
    let candidate = match shadow {
        Some(stages) => Some(Candidate {
            pipeline: pipeline(stages)?,
            experiment: "x".into(),
            division: Division::Shadow,
            protect: Vec::new(),
            scope: Vec::new(),
        }),
        None => None,
    };
    Plan::new(pipeline(stages)?, candidate).map_err(|p| anyhow::anyhow!("{p:?}"))
}

/// An engine and the stream that it is fed.
pub struct Fed {
    engine: Engine,
    stream: Stream,
    order: Vec<usize>,
    /// Seed of the order of points, where it is random.
    random: Option<StdRng>,
    round: u64,
}

impl Fed {
    /// An engine that runs `plan` and knows nothing yet.
    pub fn new(plan: Arc<Plan>, kind: Kind, series: usize) -> Fed {
        let stream = Stream::new(kind, series, POINTS, START);
        Fed::of(plan, stream)
    }

    /// As [`Fed::new`], but the stream takes no memory of its own.
    pub fn small(plan: Arc<Plan>, kind: Kind, series: usize) -> Fed {
        Fed::of(plan, Stream::lazy(kind, series, POINTS, START))
    }

    fn of(plan: Arc<Plan>, stream: Stream) -> Fed {
        let settings = Settings {
            began: START - S,
            limits: Limits {
                series: 4_000_000,
                ..Limits::default()
            },
            ..Settings::default()
        };
        Fed {
            engine: Engine::new(settings, plan, START),
            order: (0..stream.requests()).collect(),
            stream,
            random: None,
            round: 0,
        }
    }

    /// As [`Fed::new`], with series that lie scattered in the engine's tables and speak in another
    /// order every round.
    ///
    /// # Errors
    /// The engine refused a request.
    pub fn scattered(plan: Arc<Plan>, kind: Kind, series: usize) -> anyhow::Result<Fed> {
        let mut fed = Fed::new(plan, kind, series);
        fed.random = Some(StdRng::seed_from_u64(7));
        let mut all: Vec<(usize, usize)> = (0..fed.stream.requests())
            .flat_map(|r| (0..fed.stream.points()).map(move |i| (r, i)))
            .collect();
        all.shuffle(&mut StdRng::seed_from_u64(8));
        for (r, i) in all {
            let request = Stream::single(kind, r, fed.stream.points(), i, START, START + S);
            fed.engine
                .feed(&request, START + S)
                .map_err(|e| anyhow::anyhow!("{e}"))?;
        }
        fed.round = 1;
        Ok(fed)
    }

    /// Points of a round.
    pub fn points(&self) -> u64 {
        (self.stream.requests() * self.stream.points()) as u64
    }

    /// Feeds one more round, ten seconds after the one before, and ticks behind it. CPU nanoseconds
    /// in the engine.
    ///
    /// # Errors
    /// The engine refused a request.
    pub fn round(&mut self) -> anyhow::Result<u64> {
        let now = START + (self.round + 1) * 10 * S;
        let mut spent = 0;
        let mut order = self.order.clone();
        if let Some(random) = &mut self.random {
            order.shuffle(random);
        }
        for r in order {
            let request = match &mut self.random {
                Some(random) => self.stream.shuffled(r, self.round, now, random),
                None => self.stream.request(r, self.round, now),
            };
            let before = cpu();
            let fed = self.engine.feed(&request, now);
            spent += cpu() - before;
            drop(fed.map_err(|e| anyhow::anyhow!("{e}"))?);
        }
        let before = cpu();
        drop(self.engine.tick(now + S));
        self.round += 1;
        Ok(spent + cpu() - before)
    }

    /// The engine.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }
}

/// CPU time of this thread, nanoseconds.
fn cpu() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * S + time.tv_nsec.unsigned_abs()
}

/// Resident bytes of this process that are its own, and the highest they ever were together with
/// its program.
///
/// # Errors
/// `/proc` is missing.
pub fn resident() -> anyhow::Result<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let of = |name: &str| -> anyhow::Result<u64> {
        let line = status
            .lines()
            .find(|l| l.starts_with(name))
            .context("status")?;
        let kib: u64 = line.split_whitespace().nth(1).context("kB")?.parse()?;
        Ok(kib * 1024)
    };
    Ok((of("RssAnon:")?, of("VmHWM:")?))
}
