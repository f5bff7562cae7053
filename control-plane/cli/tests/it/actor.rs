//! An agent played by a small client: it takes what it is given, says so, and reports windows.

use phoenix_proto::control::agent_message::Message as Say;
use phoenix_proto::control::control_client::ControlClient;
use phoenix_proto::control::enrolment_client::EnrolmentClient;
use phoenix_proto::control::server_message::Message as Hear;
use phoenix_proto::control::{
    AgentMessage, Arm, ArmReport, Cardinality, DesiredState, EnrolRequest, Hello, Identity, Ledger,
    Mode, PlanState, Status, WindowReport,
};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;

/// How an agent behaves.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Takes no plan: answers that it is still validating.
    pub stubborn: bool,
    /// Windows that it reports of an experiment, the first of them warm-up.
    pub windows: u64,
    /// Of 100 points a window, how many its candidate lets through.
    pub kept: u64,
    /// Of 10 protected points a window, how many its candidate lets through.
    pub protected: u64,
}

impl Default for Manner {
    fn default() -> Self {
        Manner {
            stubborn: false,
            windows: 6,
            kept: 40,
            protected: 10,
        }
    }
}

/// A played agent; gone when dropped.
pub struct Actor {
    task: JoinHandle<()>,
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Actor {
    /// Enrols and keeps a session open, whatever becomes of the server.
    pub async fn start(address: SocketAddr, token: &str, node: &str, manner: Manner) -> Actor {
        let identity = Identity {
            node: node.into(),
            ..Identity::default()
        };
        let request = EnrolRequest {
            identity: Some(identity.clone()),
            token: token.into(),
            version: "1".into(),
        };
        let url = format!("http://{address}");
        let mut client = EnrolmentClient::connect(url.clone()).await.unwrap();
        let credential = client.enrol(request).await.unwrap().into_inner().credential;
        let task = tokio::spawn(async move {
            loop {
                // A session that ends is opened again.
                let _ = session(&url, &identity, &credential, manner).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Actor { task }
    }
}

async fn session(
    url: &str,
    identity: &Identity,
    credential: &str,
    manner: Manner,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (out, stream) = mpsc::channel(16);
    let say = async |word: Say| {
        let message = Some(word);
        out.send(AgentMessage { message }).await
    };
    say(Say::Hello(Hello {
        identity: Some(identity.clone()),
        incarnation: "one".into(),
        version: "1".into(),
        ..Hello::default()
    }))
    .await?;
    let mut client = ControlClient::connect(url.to_owned()).await?;
    let mut request = Request::new(ReceiverStream::new(stream));
    let bearer = format!("Bearer {credential}").parse()?;
    request.metadata_mut().insert("authorization", bearer);
    let mut heard = client.session(request).await?.into_inner();
    let mut reported = (String::new(), 0);
    while let Some(message) = heard.message().await? {
        let Some(Hear::Desired(desired)) = message.message else {
            continue;
        };
        say(Say::Status(status(&desired, manner.stubborn))).await?;
        let experiment = desired.experiment.as_ref();
        let step = experiment.map(|e| (e.experiment.clone(), e.experiment_revision));
        if let Some(step) = step.filter(|step| *step != reported && !manner.stubborn) {
            for report in reports(&desired, manner) {
                say(Say::Window(report)).await?;
            }
            reported = step;
        }
    }
    Ok(())
}

fn status(desired: &DesiredState, stubborn: bool) -> Status {
    let hash = |p: &phoenix_proto::control::Pipeline| p.hash.clone();
    let baseline = desired.baseline.as_ref().map(hash).unwrap_or_default();
    let experiment = desired.experiment.as_ref().filter(|_| !stubborn);
    Status {
        store_id: desired.store_id.clone(),
        revision: desired.revision,
        generation: desired.revision,
        state: if stubborn {
            PlanState::Validated.into()
        } else {
            PlanState::Active.into()
        },
        hash: baseline.clone(),
        active_hash: if stubborn { String::new() } else { baseline },
        candidate_hash: experiment
            .and_then(|e| e.candidate.as_ref().map(hash))
            .unwrap_or_default(),
        experiment: experiment.map(|e| e.experiment.clone()).unwrap_or_default(),
        experiment_revision: experiment.map_or(0, |e| e.experiment_revision),
        ..Status::default()
    }
}

/// Windows that have just passed, as if it had run the candidate already.
fn reports(desired: &DesiredState, manner: Manner) -> Vec<WindowReport> {
    let Some(experiment) = &desired.experiment else {
        return Vec::new();
    };
    let hash = |p: Option<&phoenix_proto::control::Pipeline>| p.map(|p| p.hash.clone());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    (0..manner.windows)
        .map(|slot| {
            let start_ms = (now - manner.windows + slot) * 1000;
            // `all`: 1 where the arm sees the traffic, 0 where the other arm of the node does.
            let arm = |arm: Arm, hash: Option<String>, all: u64, kept, protected| ArmReport {
                arm: arm.into(),
                hash: hash.unwrap_or_default(),
                ledger: Some(Ledger {
                    received: all * 100,
                    exported: all * kept,
                    filtered: all * (100 - kept),
                    ..Ledger::default()
                }),
                bytes_in: all * 10_000,
                bytes_out: all * 100 * kept,
                series_in: Some(exact(all * 100)),
                series_out: Some(exact(all * kept)),
                protected_points_in: all * 10,
                protected_points_out: all * protected,
                protected_series_in: all * 10,
                protected_series_out: all * protected,
                ..ArmReport::default()
            };
            let (baseline, candidate) = (
                hash(desired.baseline.as_ref()),
                hash(experiment.candidate.as_ref()),
            );
            let (first, second) = match (experiment.mode(), experiment.percent) {
                (Mode::Split, percent) => (1 - percent as u64 / 100, percent as u64 / 100),
                _ => (1, 1),
            };
            let (kept, protected) = match baseline == candidate {
                true => (100, 10),
                false => (manner.kept, manner.protected),
            };
            WindowReport {
                experiment: experiment.experiment.clone(),
                experiment_revision: experiment.experiment_revision,
                incarnation: "one".into(),
                start_ms,
                end_ms: start_ms + 1000,
                void_reason: if slot == 0 {
                    "start".into()
                } else {
                    String::new()
                },
                arms: vec![
                    arm(Arm::Baseline, baseline, first, 100, 10),
                    arm(Arm::Candidate, candidate, second, kept, protected),
                ],
                ..WindowReport::default()
            }
        })
        .collect()
}

fn exact(n: u64) -> Cardinality {
    Cardinality {
        exact: Some(n),
        sketch: Vec::new(),
    }
}
