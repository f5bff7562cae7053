//! The control client against a server in this process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! The client against a server of the protocol that stands in this file, with a real worker.

mod guardrails;
mod secure;

use super::*;
use crate::exporters::queue::Queue;
use crate::guard::Breach;
use crate::worker::{self, Outlets, Start};
use phoenix_proto::control::agent_message::Message as FromAgent;
use phoenix_proto::control::control_server::{Control, ControlServer};
use phoenix_proto::control::enrolment_server::{Enrolment, EnrolmentServer};
use phoenix_proto::control::server_message::Message as FromServer;
use phoenix_proto::control::{
    self as proto, AgentMessage, DesiredState, EnrolRequest, EnrolResponse, ExperimentAssignment,
    Hello, Mode, PlanState, ServerMessage, WindowAck, WindowReport,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Mutex;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// One stream as the server sees it.
struct Stream {
    hello: Hello,
    messages: Streaming<AgentMessage>,
    send: mpsc::Sender<Result<ServerMessage, Status>>,
}

impl Stream {
    async fn send(&self, message: FromServer) {
        let message = ServerMessage {
            message: Some(message),
        };
        self.send.send(Ok(message)).await.unwrap();
    }

    async fn next(&mut self) -> FromAgent {
        let message = tokio::time::timeout(PATIENCE, self.messages.message()).await;
        message
            .expect("a message in time")
            .unwrap()
            .unwrap()
            .message
            .unwrap()
    }

    /// Reads up to a status in this state.
    async fn until(&mut self, state: PlanState) -> proto::Status {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            assert!(
                tokio::time::Instant::now() < deadline,
                "no status {state:?} in time"
            );
            if let FromAgent::Status(status) = self.next().await
                && status.state() == state
            {
                return status;
            }
        }
    }

    async fn window(&mut self) -> WindowReport {
        loop {
            if let FromAgent::Window(window) = self.next().await {
                return window;
            }
        }
    }
}

#[derive(Clone)]
struct Server {
    enrolments: Arc<AtomicUsize>,
    valid: Arc<Mutex<Vec<String>>>,
    streams: mpsc::Sender<Stream>,
}

#[tonic::async_trait]
impl Enrolment for Server {
    async fn enrol(
        &self,
        request: Request<EnrolRequest>,
    ) -> Result<Response<EnrolResponse>, Status> {
        let request = request.into_inner();
        if request.token != "token" {
            return Err(Status::permission_denied("wrong token"));
        }
        let number = self.enrolments.fetch_add(1, Ordering::SeqCst);
        let credential = format!("{}-{number}", request.identity.unwrap().node);
        self.valid.lock().await.push(credential.clone());
        Ok(Response::new(EnrolResponse { credential }))
    }
}

#[tonic::async_trait]
impl Control for Server {
    type SessionStream = ReceiverStream<Result<ServerMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let header = request
            .metadata()
            .get("authorization")
            .unwrap()
            .to_str()
            .unwrap();
        let credential = header.strip_prefix("Bearer ").unwrap().to_owned();
        if !self.valid.lock().await.contains(&credential) {
            return Err(Status::unauthenticated("unknown credential"));
        }
        let mut messages = request.into_inner();
        // Like the real one: nothing is answered before Hello.
        let Some(FromAgent::Hello(hello)) = messages.message().await?.unwrap().message else {
            return Err(Status::invalid_argument("Hello comes first"));
        };
        let (send, receiver) = mpsc::channel(16);
        let stream = Stream {
            hello,
            messages,
            send,
        };
        self.streams.send(stream).await.unwrap();
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// A server on a port of its own, and what it sees.
struct Site {
    server: Server,
    address: std::net::SocketAddr,
    streams: mpsc::Receiver<Stream>,
    task: JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl Site {
    async fn start() -> Site {
        let (sender, streams) = mpsc::channel(4);
        let server = Server {
            enrolments: Arc::default(),
            valid: Arc::default(),
            streams: sender,
        };
        let (address, task) = listen(&server, "127.0.0.1:0".parse().unwrap()).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "token\n").unwrap();
        Site {
            server,
            address,
            streams,
            task,
            folder,
        }
    }

    fn options(&self) -> Options {
        Options {
            endpoint: format!("http://{}", self.address).parse().unwrap(),
            tls: Tls::default(),
            token_file: Some(self.folder.path().join("token")),
            identity: Identity {
                tenant: "default".into(),
                cluster: "default".into(),
                node: "n1".into(),
            },
            labels: [("env".to_owned(), "test".to_owned())].into(),
            version: "0.0.0".into(),
            state: self.folder.path().join("state"),
            reconnect_max: Duration::from_millis(50),
            heartbeat: Duration::from_millis(200),
            vitals: Arc::new(|| Vitals {
                queue_bytes: 5,
                ..Vitals::default()
            }),
        }
    }

    async fn stream(&mut self) -> Stream {
        tokio::time::timeout(PATIENCE, self.streams.recv())
            .await
            .expect("a stream")
            .unwrap()
    }
}

async fn listen(
    server: &Server,
    at: std::net::SocketAddr,
) -> (std::net::SocketAddr, JoinHandle<()>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(at).unwrap();
    let listener = socket.listen(16).unwrap();
    let address = listener.local_addr().unwrap();
    let router = tonic::transport::Server::builder()
        .add_service(EnrolmentServer::new(server.clone()))
        .add_service(ControlServer::new(server.clone()));
    let task = tokio::spawn(async move {
        let _stopped = router
            .serve_with_incoming(TcpListenerStream::new(listener))
            .await;
    });
    (address, task)
}

/// An agent: worker and client, with the notices in the test's hand.
struct Agent {
    worker: WorkerHandle,
    notices: mpsc::Sender<Notice>,
    client: Client,
}

fn agent(options: Options) -> Agent {
    let boot = Boot::read(&options.state);
    let engine = phoenix_engine::engine::Settings {
        fleet_seed: boot.fleet_seed(),
        ..Default::default()
    };
    let (worker, _, task) = worker::spawn(Start {
        engine,
        plan: boot.plan(),
        outlets: Outlets {
            next_hop: Arc::new(Queue::new(1 << 20)),
            copies: vec![],
            shadow: None,
            witness: None,
        },
        incarnation: "i1".into(),
    });
    tokio::spawn(task.run());
    let (notices, receiver) = mpsc::channel(8);
    let client = spawn(options, boot, worker.clone(), receiver);
    Agent {
        worker,
        notices,
        client,
    }
}

fn pipeline(name: &str) -> proto::Pipeline {
    let document = format!(
        "{{apiVersion: phoenix/v1, kind: Pipeline, metadata: {{name: {name}}}, spec: {{stages: [{{id: s, filter: {{drop: [{{metric: {name}}}]}}}}]}}}}"
    );
    proto::Pipeline {
        hash: phoenix_engine::compile::compile(&document)
            .unwrap()
            .hash
            .clone(),
        name: name.into(),
        document,
    }
}

fn desired(revision: u64) -> DesiredState {
    DesiredState {
        store_id: "store".into(),
        revision,
        fleet_seed: 9,
        baseline: Some(pipeline("a")),
        experiment: None,
        bake_ms: 100,
    }
}

fn trial(revision: u64, lease_ms: u32) -> DesiredState {
    DesiredState {
        experiment: Some(ExperimentAssignment {
            experiment: "e1".into(),
            experiment_revision: 1,
            candidate: Some(pipeline("b")),
            mode: Mode::Shadow.into(),
            window_ms: 10_000,
            lease_ms,
            ..Default::default()
        }),
        ..desired(revision)
    }
}

fn window(start_ms: u64) -> Notice {
    Notice::Window(Box::new(WindowReport {
        experiment: "e1".into(),
        start_ms,
        end_ms: start_ms + 10,
        ..Default::default()
    }))
}

#[tokio::test]
async fn an_agent_enrols_once_takes_plans_and_reports_until_acknowledged() {
    let mut site = Site::start().await;
    let agent = agent(site.options());
    let mut stream = site.stream().await;
    assert_eq!(stream.hello.identity.as_ref().unwrap().node, "n1");
    assert_eq!(
        (stream.hello.incarnation.as_str(), stream.hello.revision),
        ("i1", 0)
    );
    assert_eq!(stream.hello.labels["env"], "test");
    let first = stream.until(PlanState::Healthy).await;
    assert_eq!(first.active_hash, "");
    stream.send(FromServer::Desired(desired(1))).await;
    let hash = pipeline("a").hash;
    assert_eq!(stream.until(PlanState::Validated).await.hash, hash);
    let active = stream.until(PlanState::Active).await;
    assert_eq!(
        (active.active_hash.as_str(), active.revision),
        (hash.as_str(), 1)
    );
    assert_eq!(stream.until(PlanState::Healthy).await.hash, hash);
    let running = agent.worker.desired();
    assert_eq!(
        (running.plan.baseline.hash.as_str(), running.fleet_seed),
        (hash.as_str(), 9)
    );
    assert_eq!(active.generation, running.generation);
    loop {
        if let FromAgent::Heartbeat(beat) = stream.next().await {
            assert_eq!((beat.queue_bytes, beat.generation), (5, running.generation));
            break;
        }
    }
    // Two windows; the first is acknowledged, then the stream is lost.
    agent.notices.send(window(10)).await.unwrap();
    agent.notices.send(window(20)).await.unwrap();
    assert_eq!(stream.window().await.start_ms, 10);
    assert_eq!(stream.window().await.start_ms, 20);
    let ack = WindowAck {
        experiment: "e1".into(),
        start_ms: 10,
        ..Default::default()
    };
    stream.send(FromServer::Ack(ack)).await;
    stream.send(FromServer::Desired(desired(1))).await;
    drop(stream);
    let mut stream = site.stream().await;
    assert_eq!(
        (stream.hello.store_id.as_str(), stream.hello.revision),
        ("store", 1)
    );
    assert_eq!(stream.until(PlanState::Healthy).await.hash, hash);
    assert_eq!(stream.window().await.start_ms, 20);
    assert_eq!(site.server.enrolments.load(Ordering::SeqCst), 1);
    // The worker stops: what is left is delivered before the client ends.
    agent.notices.send(window(30)).await.unwrap();
    drop(agent.notices);
    assert_eq!(stream.window().await.start_ms, 30);
    tokio::time::timeout(PATIENCE, agent.client.task)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn without_the_server_a_candidate_ends_with_its_lease_and_comes_back_with_it() {
    let mut site = Site::start().await;
    let agent = agent(site.options());
    let mut stream = site.stream().await;
    stream.send(FromServer::Desired(trial(1, 1_000))).await;
    let active = loop {
        let status = stream.until(PlanState::Active).await;
        if status.hash == pipeline("b").hash {
            break status;
        }
    };
    assert_eq!(
        (active.experiment.as_str(), active.candidate_hash),
        ("e1", pipeline("b").hash)
    );
    let running = agent.worker.desired();
    assert_eq!(running.experiment.as_ref().unwrap().id, "e1");
    // Gone, and nobody listens on its port.
    site.task.abort();
    drop(stream);
    let mut view = agent.client.view.clone();
    let waited = tokio::time::timeout(PATIENCE, async {
        while agent.worker.desired().experiment.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        view.wait_for(|v| !v.connected && v.problem.is_some())
            .await
            .unwrap();
    });
    waited.await.expect("the lease lapses");
    assert_eq!(
        agent.worker.desired().plan.baseline.hash,
        pipeline("a").hash
    );
    assert!(agent.worker.desired().plan.candidate.is_none());
    // It is back on the same port, and renews.
    let (_, task) = listen(&site.server, site.address).await;
    site.task = task;
    let mut stream = site.stream().await;
    assert_eq!(stream.hello.revision, 1);
    stream.send(FromServer::Desired(trial(1, 60_000))).await;
    assert_eq!(
        stream.until(PlanState::Validated).await.hash,
        pipeline("b").hash
    );
    stream.until(PlanState::Active).await;
    assert!(agent.worker.desired().plan.candidate.is_some());
    // Harm seen by the worker ends it for good.
    let ended = Notice::CandidateEnded {
        experiment: "e1".into(),
        breach: Box::new(Breach::panic(1, Duration::ZERO)),
    };
    agent.notices.send(ended).await.unwrap();
    let status = stream.until(PlanState::RolledBack).await;
    assert_eq!(
        (status.hash, status.reason.as_str()),
        (pipeline("b").hash, "the candidate pipeline panicked")
    );
}

#[tokio::test]
async fn a_restarted_agent_boots_what_was_proven_and_enrols_again_only_if_it_must() {
    let mut site = Site::start().await;
    let first = agent(site.options());
    let mut stream = site.stream().await;
    stream.send(FromServer::Desired(desired(1))).await;
    loop {
        if stream.until(PlanState::Healthy).await.hash == pipeline("a").hash {
            break;
        }
    }
    let mut baking = desired(2);
    (baking.baseline, baking.bake_ms) = (Some(pipeline("b")), 3_600_000);
    stream.send(FromServer::Desired(baking)).await;
    stream.until(PlanState::Active).await;
    // Killed in the middle of the bake; its credential is forgotten by the server.
    first.client.task.abort();
    drop((first, stream));
    site.server.valid.lock().await.clear();
    let second = agent(site.options());
    assert_eq!(
        second.worker.desired().plan.baseline.hash,
        pipeline("a").hash
    );
    assert_eq!(second.worker.desired().fleet_seed, 9);
    assert!(second.client.view.borrow().has_plan);
    let mut stream = site.stream().await;
    assert_eq!(
        (stream.hello.store_id.as_str(), stream.hello.revision),
        ("store", 2)
    );
    assert_eq!(
        stream.until(PlanState::Unproven).await.hash,
        pipeline("b").hash
    );
    assert_eq!(site.server.enrolments.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_wrong_token_is_said_and_the_agent_works_on() {
    let site = Site::start().await;
    std::fs::write(site.folder.path().join("token"), "stolen").unwrap();
    let agent = agent(site.options());
    let mut view = agent.client.view.clone();
    let refused = view.wait_for(|v| {
        v.problem
            .as_ref()
            .is_some_and(|p| p.contains("wrong token"))
    });
    tokio::time::timeout(PATIENCE, refused)
        .await
        .unwrap()
        .unwrap();
    assert!(!agent.client.view.borrow().connected);
    assert!(agent.worker.figures().await.is_ok());
}
