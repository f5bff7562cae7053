//! A server with one agent on its baseline, and a pipeline to try.

use super::{FakeAgent, Plane, experiment};
use phoenix_proto::control::{
    Arm, ArmReport, DesiredState, ExperimentAssignment, Ledger, PlanState, WindowReport,
};

/// A server, an agent with its baseline, and a candidate.
pub struct Lab {
    pub plane: Plane,
    pub agent: FakeAgent,
    pub baseline: String,
    pub candidate: String,
}

/// A lab on a server of its own.
pub async fn lab() -> Lab {
    lab_on(Plane::start().await).await
}

/// The same on a server that is there.
pub async fn lab_on(plane: Plane) -> Lab {
    let baseline = plane.pipeline("base", "debug.*").await;
    let candidate = plane.pipeline("cut", "trace.*").await;
    plane.assign("a", "base", 0).await;
    let mut agent = plane.agent("n1").await;
    agent.baseline(&baseline).await;
    agent.report(PlanState::Healthy, &baseline).await;
    Lab {
        plane,
        agent,
        baseline,
        candidate,
    }
}

impl Lab {
    /// Applies and starts `e`; the agent takes the candidate.
    pub async fn start(&mut self) -> ExperimentAssignment {
        let rest = &self.plane.rest;
        let put = rest.put("/experiments/e", &experiment("e", "cut")).await;
        assert!(matches!(put.status, 200 | 201), "{put:?}");
        let started = rest.post("/experiments/e/start", "").await;
        assert_eq!(started.text("/phase"), "Initializing", "{started:?}");
        let state = self.agent.desired(|d| d.experiment.is_some()).await;
        let given = state.experiment.unwrap();
        self.agent.report(PlanState::Active, &self.candidate).await;
        given
    }
}

/// The agent has no candidate.
pub fn none(state: &DesiredState) -> bool {
    state.experiment.is_none()
}

/// A window in which the baseline exported all of 100 points, the candidate `out`.
pub fn window(of: &ExperimentAssignment, baseline: &str, start: u64, out: u64) -> WindowReport {
    let candidate = of.candidate.as_ref().unwrap();
    let arm = |arm: Arm, exported: u64| ArmReport {
        arm: arm.into(),
        hash: match arm {
            Arm::Candidate => candidate.hash.clone(),
            _ => baseline.into(),
        },
        ledger: Some(Ledger {
            received: 100,
            exported,
            filtered: 100 - exported,
            ..Ledger::default()
        }),
        bytes_in: 1000,
        bytes_out: 10 * exported,
        ..ArmReport::default()
    };
    WindowReport {
        experiment: of.experiment.clone(),
        experiment_revision: of.experiment_revision,
        incarnation: "n1-1".into(),
        start_ms: start,
        end_ms: start + 1000,
        arms: vec![arm(Arm::Baseline, 100), arm(Arm::Candidate, out)],
        ..WindowReport::default()
    }
}
