//! Deaths: an agent's process that ended without a goodbye while it had the candidate of an experiment.
//!
//! Nobody sees one. It is only counted where nothing else can be: what is not known is no death under the candidate.
//! But it is remembered, and asked about: the node may have lost its power.

use super::{App, Error};
use crate::desired::{DesiredExperiment, desired};
use crate::model::{Agent, Died};
use phoenix_proto::control::Hello;

impl App {
    /// What `hello`, said at `now`, tells of the end of the process before it.
    pub(super) async fn died(
        &self,
        agent: &Agent,
        hello: &Hello,
        now: u64,
    ) -> Result<Option<Died>, Error> {
        let same = agent.incarnation == hello.incarnation;
        if agent.row == 0 || same || !ended_unseen(agent) {
            return Ok(None);
        }
        let documents = self.current(&agent.identity.tenant).await?;
        let wanted = desired(&documents.assignments, &documents.experiments, agent);
        // It lived on, and was on the baseline when it ended.
        let lapsed = |e: &DesiredExperiment| hello.lapsed == e.id;
        let had = |e: &DesiredExperiment| had(agent, e) && !lapsed(e);
        let Some(e) = wanted.experiment.filter(had) else {
            return Ok(None);
        };
        let certain = ended_in_lease(agent, now, self.timing.lease_ms);
        let before = agent.died.as_ref().filter(|d| d.experiment == e.id);
        Ok(Some(Died {
            experiment: e.id,
            times: before.map_or(0, |d| d.times) + u32::from(certain),
            last_ms: agent.last_seen_ms,
        }))
    }
}

/// The present life ended without the goodbye that it would have said.
fn ended_unseen(agent: &Agent) -> bool {
    agent.says_goodbye && agent.stopped != agent.incarnation
}

/// One that ended unseen did so before its lease can have sent it back to the baseline. When it ended is not known, but by when: when its connection was lost, or else
/// when the next one spoke.
fn ended_in_lease(agent: &Agent, now: u64, lease_ms: u32) -> bool {
    let by = agent.lost_ms.unwrap_or(now).min(now);
    let lapses = agent.last_seen_ms.saturating_add(lease_ms.into());
    by <= lapses
}

/// The last that the present life said is that it has this candidate.
fn had(agent: &Agent, e: &DesiredExperiment) -> bool {
    let status = &agent.status;
    let ran = status.experiment == e.id && status.candidate_hash == e.candidate;
    // Its last word: it compiled, and was about to run.
    let began = status.state == "validated" && status.hash == e.candidate;
    status.incarnation == agent.incarnation
        && e.share.has_candidate()
        && (ran || began)
        && e.candidate != status.active_hash
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::model::{AgentShare, AgentStatus};

    const LEASE: u32 = 30_000;
    const HEARD: u64 = 1_000_000;

    fn agent() -> Agent {
        let agent = serde_json::json!({
            "tenant": "default", "cluster": "default", "node": "n1", "labels": {}, "version": "1",
            "incarnation": "one", "firstSeenMs": 0, "lastSeenMs": HEARD, "superseded": 0, "revision": 7,
            "content": "", "status": AgentStatus::default(), "healthyHash": null, "quarantine": [],
        });
        let mut agent: Agent = serde_json::from_value(agent).expect("a row of before");
        assert!(!ended_unseen(&agent), "it may have been told to stop");
        agent.says_goodbye = true;
        agent
    }

    #[test]
    fn a_life_that_may_have_outlived_its_lease_did_not_die_under_the_candidate() {
        let mut agent = agent();
        assert!(ended_in_lease(&agent, HEARD + 30_000, LEASE));
        assert!(!ended_in_lease(&agent, HEARD + 30_001, LEASE));
        // Lost at once, as when a process is killed: when it comes back does not matter.
        agent.lost_ms = Some(HEARD + 2_000);
        assert!(ended_in_lease(&agent, HEARD + 600_000, LEASE));
        // Cut off: it was silent before the connection was given up.
        agent.lost_ms = Some(HEARD + 40_000);
        assert!(!ended_in_lease(&agent, HEARD + 600_000, LEASE));
    }

    #[test]
    fn a_life_that_said_goodbye_did_not_die() {
        let mut agent = agent();
        agent.stopped = "zero".into();
        assert!(ended_unseen(&agent));
        agent.stopped = "one".into();
        assert!(!ended_unseen(&agent));
    }

    #[test]
    fn what_an_earlier_life_said_tells_nothing_of_this_one() {
        let mut agent = agent();
        let e = DesiredExperiment {
            id: "e".into(),
            revision: 1,
            candidate: "c".into(),
            share: AgentShare::Shadow,
            window_ms: 1_000,
            protect: String::new(),
            queries: String::new(),
            query_volume: false,
            scope: String::new(),
            guardrails: Default::default(),
        };
        agent.status = AgentStatus {
            incarnation: "one".into(),
            experiment: "e".into(),
            candidate_hash: "c".into(),
            active_hash: "b".into(),
            ..AgentStatus::default()
        };
        assert!(had(&agent, &e));
        agent.incarnation = "two".into();
        assert!(!had(&agent, &e));
    }
}
