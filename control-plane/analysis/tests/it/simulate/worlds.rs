//! A fleet with a known truth, window by window.

use super::noise::{Correlated, Noise};
use crate::world::{WINDOW_MS, arm, count, report};
use phoenix_analysis::{Arm, Ask, Criteria, Goal, Guardrails, Latency, Measure, Mode, Window};

/// Share of the points that the baseline keeps.
const KEPT: f64 = 0.5;

/// What is true of an experiment, and what is asked of it.
#[derive(Debug, Clone)]
pub struct World {
    pub ask: Ask,
    pub mode: Mode,
    pub agents: usize,
    /// By node: how many of them run the candidate.
    pub candidates: usize,
    pub windows: u64,
    pub alpha: f64,
    pub target: f64,
    /// True saving of the candidate over the fleet and the run.
    pub saving: f64,
    /// Standard deviation, in a window and an arm, of the share kept.
    pub noise: f64,
    /// Standard deviation of the traffic of an arm, beside what both share.
    pub traffic: f64,
    /// Autocorrelation of both from window to window.
    pub memory: f64,
    /// What the fleet's traffic and share kept grow by over the run, in both arms.
    pub drift: f64,
    /// How far they swing, in both arms, with a period of 40 windows.
    pub day: f64,
    /// Standard deviation of the share kept between nodes, for good.
    pub nodes: f64,
    /// One node keeps everything, whatever it runs.
    pub bad_node: bool,
    /// Share of the reports that never come.
    pub missing: f64,
    /// True share of entities that the candidate gets; half are promised.
    pub division: f64,
    /// True CPU ratio, from a window on, and the limit.
    pub cpu: Option<(f64, u64, f64)>,
    /// True latency beyond the baseline's in ms, and the limit.
    pub latency: Option<(f64, f64)>,
    /// By node: probability a window that the next hop is away, which most nodes notice, and that a node with
    /// the candidate alone fails to export.
    pub errors: Option<(f64, f64)>,
    /// A protected point is lost in this window.
    pub loses: Option<u64>,
    /// The step lasts all windows, and only a reject ends it before.
    pub dwells: bool,
}

impl Default for World {
    fn default() -> Self {
        World {
            ask: Ask::Goal,
            mode: Mode::Split,
            agents: 2,
            candidates: 0,
            windows: 48,
            alpha: 0.05,
            target: 0.2,
            saving: 0.2,
            noise: 0.05,
            traffic: 0.1,
            memory: 0.0,
            drift: 0.0,
            day: 0.0,
            nodes: 0.0,
            bad_node: false,
            missing: 0.0,
            division: 0.5,
            cpu: None,
            latency: None,
            errors: None,
            loses: None,
            dwells: false,
        }
    }
}

/// One agent and what is particular to it.
struct Node {
    name: String,
    kept: [Correlated; 2],
    traffic: [Correlated; 2],
    level: f64,
    bad: bool,
    entities: [u64; 2],
}

/// Hands out one experiment's windows.
pub struct Fleet<'w> {
    world: &'w World,
    noise: Noise,
    nodes: Vec<Node>,
}

impl World {
    pub fn criteria(&self) -> Criteria {
        let goal = Goal::new(Measure::Points, self.target);
        Criteria {
            ask: self.ask,
            alpha: self.alpha,
            guardrails: Guardrails {
                protects: true,
                compare_exports: self.errors.is_some(),
                max_cpu_ratio: self.cpu.map(|(_, _, limit)| limit),
                max_added_latency_ms: self.latency.map(|(_, limit)| limit),
                ..Guardrails::default()
            },
            candidate_agents: (0..self.candidates).map(name).collect(),
            agents: (0..self.agents).map(name).collect(),
            from_ms: Some(1_000_000),
            ..Criteria::new(self.mode, WINDOW_MS, 6, goal)
        }
    }

    /// What the candidate keeps of the baseline's volume, so that the fleet saves what is said.
    fn factor(&self) -> f64 {
        let bad = if self.bad_node {
            1.0 / self.agents as f64
        } else {
            0.0
        };
        // The bad node keeps all in both arms: the others save more.
        let (base, of_bad) = (KEPT * (1.0 - bad) + bad, bad);
        ((1.0 - self.saving) * base - of_bad) / (KEPT * (1.0 - bad))
    }
}

fn name(n: usize) -> String {
    format!("default/default/n{n}")
}

impl<'w> Fleet<'w> {
    pub fn new(world: &'w World, seed: u64) -> Fleet<'w> {
        let mut noise = Noise(seed);
        let nodes = (0..world.agents)
            .map(|n| {
                let mut arms = || {
                    let mut one = || Correlated::new(world.memory, &mut noise);
                    [one(), one()]
                };
                let (kept, traffic) = (arms(), arms());
                let candidate = noise.binomial(400, world.division);
                Node {
                    name: name(n),
                    kept,
                    traffic,
                    level: 1.0 + world.nodes * noise.normal(),
                    bad: world.bad_node && n == 0,
                    entities: [400 - candidate, candidate],
                }
            })
            .collect();
        Fleet {
            world,
            noise,
            nodes,
        }
    }

    /// What arrives of window number `slot`.
    pub fn window(&mut self, slot: u64) -> Vec<Window> {
        let world = self.world;
        let through = slot as f64 / world.windows as f64;
        let swing = (std::f64::consts::TAU * slot as f64 / 40.0).sin();
        let common = (1.0 + world.drift * through) * (1.0 + world.day * swing);
        let outage = world
            .errors
            .is_some_and(|(both, _)| self.noise.chance(both));
        let mut reports = Vec::new();
        for (n, node) in self.nodes.iter_mut().enumerate() {
            let runs = match world.mode {
                Mode::Nodes if n < world.candidates => [false, true],
                Mode::Nodes => [true, false],
                _ => [true, true],
            };
            let [b, c] = node.arms(world, common, slot, runs, &mut self.noise);
            let failed = node.failed(world, runs[1], outage, &mut self.noise);
            if !self.noise.chance(world.missing) {
                reports.push(Window {
                    export_errors: failed,
                    ..report(&node.name, slot, b, c)
                });
            }
        }
        reports
    }
}

impl Node {
    fn arms(
        &mut self,
        world: &World,
        common: f64,
        slot: u64,
        runs: [bool; 2],
        noise: &mut Noise,
    ) -> [Arm; 2] {
        let mut shared: Option<u64> = None;
        [0, 1].map(|index| {
            let candidate = index == 1;
            let traffic = 1.0 + world.traffic * self.traffic[index].next(noise);
            let mut received = (2_000.0 * common * traffic).max(20.0).round() as u64;
            if world.mode == Mode::Shadow {
                received = *shared.get_or_insert(received);
            }
            let of_candidate = if candidate { world.factor() } else { 1.0 };
            // A fleet that keeps more in the course of the day, in both arms alike.
            let kept = if self.bad {
                1.0
            } else {
                KEPT * self.level * of_candidate * (1.0 + 0.1 * (common - 1.0))
            };
            let noisy = kept * (1.0 + world.noise * self.kept[index].next(noise));
            let exported = (received as f64 * noisy.clamp(0.0, 1.0)).round() as u64;
            if !runs[index] {
                return arm(0, 0);
            }
            let mut arm = arm(received, exported);
            arm.entities = Some(count(self.entities[index]));
            self.costs(world, &mut arm, candidate, slot, noise);
            if candidate && world.loses == Some(slot) {
                arm.protected.points_out -= 1;
            }
            arm
        })
    }

    /// Tries to export that failed.
    fn failed(&self, world: &World, candidate: bool, outage: bool, noise: &mut Noise) -> u64 {
        let Some((_, alone)) = world.errors else {
            return 0;
        };
        let failed = candidate && noise.chance(alone);
        match (outage && noise.chance(0.8)) || failed {
            true => 1 + (noise.unit() * 20.0) as u64,
            false => 0,
        }
    }

    /// CPU with a fifth of noise a window, latency with a half.
    fn costs(&self, world: &World, arm: &mut Arm, candidate: bool, slot: u64, noise: &mut Noise) {
        if let Some((ratio, from, _)) = world.cpu {
            let ratio = if candidate && slot >= from {
                ratio
            } else {
                1.0
            };
            let spent = 1e-6 * arm.ledger.received as f64 * ratio;
            arm.cpu_seconds = Some(spent * (0.2 * noise.normal() - 0.02).exp());
        }
        if let Some((beyond, _)) = world.latency {
            let mean = 2.0 + if candidate { beyond } else { 0.0 };
            let mean = (mean * (1.0 + 0.5 * noise.normal())).max(0.0);
            arm.added_latency = Some(Latency {
                count: 100,
                sum_ns: (mean * 1e8) as u64,
                ..Latency::default()
            });
        }
    }
}
