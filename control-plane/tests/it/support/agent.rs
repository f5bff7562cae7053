//! An agent as the server sees it: enrols, says hello, takes desired states, reports.

use phoenix_proto::control::agent_message::Message as FromAgent;
use phoenix_proto::control::control_client::ControlClient;
use phoenix_proto::control::enrolment_client::EnrolmentClient;
use phoenix_proto::control::server_message::Message as ToAgent;
use phoenix_proto::control::{
    AgentMessage, DesiredState, EnrolRequest, Heartbeat, Hello, Identity, PlanState, ServerMessage,
    Status, WindowAck, WindowReport,
};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

pub struct FakeAgent {
    pub address: SocketAddr,
    pub node: String,
    pub credential: String,
    pub incarnation: String,
    pub version: String,
    pub labels: Vec<(String, String)>,
    pub says_goodbye: bool,
    pub lapsed: String,
    /// The last desired state taken.
    pub desired: DesiredState,
    out: Option<mpsc::Sender<AgentMessage>>,
    inbound: Option<Streaming<ServerMessage>>,
}

pub fn identity(node: &str) -> Identity {
    Identity {
        tenant: String::new(),
        cluster: String::new(),
        node: node.into(),
    }
}

pub async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

impl FakeAgent {
    pub async fn enrol(address: SocketAddr, token: &str, node: &str) -> FakeAgent {
        let credential = FakeAgent::try_enrol(address, token, node).await.unwrap();
        let mut agent = FakeAgent::with(address, node, &credential);
        agent.connect().await.unwrap();
        agent
    }

    pub async fn try_enrol(
        address: SocketAddr,
        token: &str,
        node: &str,
    ) -> Result<String, tonic::Status> {
        let request = EnrolRequest {
            identity: Some(identity(node)),
            token: token.into(),
            version: "1".into(),
        };
        let mut client = EnrolmentClient::new(channel(address).await);
        Ok(client.enrol(request).await?.into_inner().credential)
    }

    /// Not connected yet.
    pub fn with(address: SocketAddr, node: &str, credential: &str) -> FakeAgent {
        FakeAgent {
            address,
            node: node.into(),
            credential: credential.into(),
            incarnation: format!("{node}-1"),
            version: "1".into(),
            labels: vec![("env".into(), "prod".into())],
            says_goodbye: true,
            lapsed: String::new(),
            desired: DesiredState::default(),
            out: None,
            inbound: None,
        }
    }

    /// Opens a session and says hello as `self.node`.
    pub async fn connect(&mut self) -> Result<(), tonic::Status> {
        let (out, stream) = mpsc::channel(16);
        let hello = Hello {
            identity: Some(identity(&self.node)),
            incarnation: self.incarnation.clone(),
            version: self.version.clone(),
            labels: self.labels.iter().cloned().collect(),
            store_id: self.desired.store_id.clone(),
            revision: self.desired.revision,
            says_goodbye: self.says_goodbye,
            lapsed: self.lapsed.clone(),
        };
        let mut client = ControlClient::new(channel(self.address).await);
        let mut request = Request::new(ReceiverStream::new(stream));
        let bearer = format!("Bearer {}", self.credential);
        request
            .metadata_mut()
            .insert("authorization", bearer.parse().unwrap());
        out.send(message(FromAgent::Hello(hello))).await.unwrap();
        self.inbound = Some(client.session(request).await?.into_inner());
        self.out = Some(out);
        Ok(())
    }

    pub fn disconnect(&mut self) {
        self.out = None;
        self.inbound = None;
    }

    /// The next word of the server, or why it ended the session.
    pub async fn next(&mut self) -> Result<ToAgent, tonic::Status> {
        let inbound = self.inbound.as_mut().expect("not connected");
        let message = tokio::time::timeout(Duration::from_secs(10), inbound.message());
        match message.await.expect("no word in 10 s")? {
            Some(message) => Ok(message.message.expect("an empty message")),
            None => Err(tonic::Status::ok("ended")),
        }
    }

    /// Waits for a desired state that is as wanted; keeps it.
    pub async fn desired(&mut self, wanted: impl Fn(&DesiredState) -> bool) -> DesiredState {
        loop {
            if let ToAgent::Desired(state) = self.next().await.unwrap() {
                assert!(state.revision >= self.desired.revision, "an older revision");
                self.desired = state.clone();
                if wanted(&state) {
                    return state;
                }
            }
        }
    }

    /// Waits for the desired state whose baseline has this hash.
    pub async fn baseline(&mut self, hash: &str) -> DesiredState {
        self.desired(|d| d.baseline.as_ref().is_some_and(|p| p.hash == hash))
            .await
    }

    /// True: no desired state of a new revision comes within `wait`.
    pub async fn quiet(&mut self, wait: Duration) -> bool {
        let revision = self.desired.revision;
        let later = self.desired(|d| d.revision > revision);
        tokio::time::timeout(wait, later).await.is_err()
    }

    pub async fn say(&self, word: FromAgent) {
        let out = self.out.as_ref().expect("not connected");
        out.send(message(word)).await.unwrap();
    }

    /// Reports a state about a hash, as running what is desired.
    pub async fn report(&self, state: PlanState, hash: &str) {
        let d = &self.desired;
        let e = d.experiment.as_ref();
        // What was only read does not run yet.
        let candidate = e.and_then(|e| e.candidate.as_ref());
        let candidate = candidate.filter(|_| state != PlanState::Validated);
        // What it refused does not run.
        let refused = matches!(state, PlanState::Rejected | PlanState::RolledBack);
        let runs = |p: &&phoenix_proto::control::Pipeline| !refused || p.hash != hash;
        self.say(FromAgent::Status(Status {
            store_id: d.store_id.clone(),
            revision: d.revision,
            generation: d.revision,
            state: state.into(),
            hash: hash.into(),
            problems: Vec::new(),
            reason: "as the test says".into(),
            active_hash: d
                .baseline
                .as_ref()
                .filter(runs)
                .map(|p| p.hash.clone())
                .unwrap_or_default(),
            candidate_hash: candidate.map(|p| p.hash.clone()).unwrap_or_default(),
            experiment: e.map(|e| e.experiment.clone()).unwrap_or_default(),
            experiment_revision: e.map_or(0, |e| e.experiment_revision),
            ..Status::default()
        }))
        .await;
    }

    pub async fn heartbeat(&self, heartbeat: Heartbeat) {
        self.say(FromAgent::Heartbeat(heartbeat)).await;
    }

    pub async fn window(&mut self, report: WindowReport) -> WindowAck {
        self.say(FromAgent::Window(report)).await;
        loop {
            if let ToAgent::Ack(ack) = self.next().await.unwrap() {
                return ack;
            }
        }
    }
}

fn message(message: FromAgent) -> AgentMessage {
    AgentMessage {
        message: Some(message),
    }
}
