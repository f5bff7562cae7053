//! Where plans come from: a watched file, or the control plane.

use super::Agent;
use crate::settings::{ControlPlane, Settings};
use crate::worker::{Notice, Outlets};
use crate::{control, limits, pipeline_file};
use phoenix_proto::control::Identity;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

impl Agent {
    /// Plans come from a watched file or from the control plane. A file is looked at before
    /// anything is received.
    pub(super) async fn follow_plans(
        &mut self,
        settings: &Settings,
        boot: Option<control::Boot>,
        notices: mpsc::Receiver<Notice>,
    ) {
        let plans = self.plans.clone();
        let stop = self.stop_rest.clone();
        if let Some(path) = settings.pipeline_file.clone() {
            let mut file = pipeline_file::Watched::new(path, plans);
            file.look(&self.worker).await;
            let worker = self.worker.clone();
            self.rest
                .spawn(async move { file.watch(worker, stop).await });
        } else if let (Some(plane), Some(boot)) = (&settings.control_plane, boot) {
            let options = control_options(settings, plane, &self.outlets);
            let client = control::spawn(options, boot, self.worker.clone(), notices);
            let mut view = client.view;
            self.rest.spawn(async move {
                loop {
                    plans.set_missing(!view.borrow_and_update().has_plan);
                    if view.changed().await.is_err() {
                        break;
                    }
                }
                if let Err(error) = client.task.await {
                    tracing::error!(%error, "the control client failed; the plan keeps running");
                }
            });
        }
    }
}

/// Settings that name a control plane name a state folder too; this is their check's rule.
pub(super) fn state_folder(settings: &Settings) -> &Path {
    settings.state.as_deref().unwrap_or(Path::new("."))
}

fn control_options(
    settings: &Settings,
    plane: &ControlPlane,
    outlets: &Outlets,
) -> control::Options {
    let queues: Vec<_> = std::iter::once(&outlets.next_hop)
        .chain(&outlets.copies)
        .chain(&outlets.shadow)
        .chain(outlets.witness.iter().flatten())
        .cloned()
        .collect();
    control::Options {
        endpoint: plane.endpoint.clone(),
        tls: plane.tls.clone(),
        token_file: plane.token_file.clone(),
        identity: Identity {
            tenant: settings.node.tenant.clone(),
            cluster: settings.node.cluster.clone(),
            node: settings.node.name.clone(),
        },
        labels: settings.node.labels.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: state_folder(settings).to_owned(),
        reconnect_max: plane.reconnect_max,
        heartbeat: control::HEARTBEAT,
        vitals: Arc::new(move || control::Vitals {
            queue_bytes: queues.iter().map(|q| q.account().bytes as u64).sum(),
            rss_bytes: limits::resident().map(|b| b as u64),
            cpu_seconds: Some(limits::process_cpu()),
        }),
    }
}
