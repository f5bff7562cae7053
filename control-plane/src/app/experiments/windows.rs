//! Window reports: stored once, by key.

use crate::app::{App, Error};
use crate::model::{Identity, NewEvent, Window};
use crate::store::Change;
use phoenix_proto::control as proto;
use serde_json::json;

impl App {
    /// Stores the arms of a report. Done is done: a report that is there already is fine, one of an
    /// experiment that nobody knows is let go. True: it was new.
    pub async fn append_window(
        &self,
        identity: &Identity,
        report: &proto::WindowReport,
    ) -> Result<bool, Error> {
        let _lane = self.lane(identity).await;
        let documents = self.current(&identity.tenant).await?;
        let mut experiments = documents.experiments.iter();
        let Some(experiment) = experiments.find(|e| e.id == report.experiment) else {
            return Ok(false);
        };
        // It was judged, and may be held for days.
        if experiment.holds {
            return Ok(false);
        }
        let mut changes = Vec::new();
        for arm in &report.arms {
            let window = self.window(identity, report, arm);
            if !self.store.has_window(&window).await? {
                changes.push(Change::AddWindow(Box::new(window)));
            }
        }
        if changes.is_empty() {
            return Ok(false);
        }
        let stored = NewEvent {
            tenant: identity.tenant.clone(),
            cluster: identity.cluster.clone(),
            node: identity.node.clone(),
            object: format!("experiment/{}", experiment.name),
            kind: "experiment.window",
            actor: format!("agent:{}", identity.node),
            body: json!({
                "id": report.experiment,
                "revision": report.experiment_revision,
                "startMs": report.start_ms,
                "endMs": report.end_ms,
                "arms": changes.len(),
                "void": report.void_reason,
            }),
        };
        self.write(None, changes, vec![stored]).await?;
        Ok(true)
    }

    fn window(
        &self,
        identity: &Identity,
        report: &proto::WindowReport,
        arm: &proto::ArmReport,
    ) -> Window {
        Window {
            identity: identity.clone(),
            incarnation: report.incarnation.clone(),
            experiment: report.experiment.clone(),
            experiment_revision: report.experiment_revision,
            arm: match arm.arm() {
                proto::Arm::Candidate => "candidate",
                _ => "baseline",
            }
            .into(),
            start_ms: report.start_ms,
            end_ms: report.end_ms,
            received_ms: self.now_ms(),
            void_reason: report.void_reason.clone(),
            cpu_seconds: report.cpu_seconds,
            shared_cpu_seconds: report.shared_cpu_seconds,
            shared_memory_bytes: report.shared_memory_bytes,
            rss_bytes: report.rss_bytes,
            export_errors: report.export_errors,
            requests_refused: report.requests_refused,
            report: arm.clone(),
        }
    }

    /// By start, agent and arm; of every revision and incarnation.
    pub async fn windows(&self, tenant: &str, experiment: &str) -> Result<Vec<Window>, Error> {
        Ok(self.store.windows(tenant, experiment).await?)
    }
}
