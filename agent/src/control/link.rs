//! The stream to the control plane: dial, enrol where needed, say Hello, carry messages, begin anew.

use super::Options;
use super::backoff::Backoff;
use super::credential;
use super::dial::{self, DialError};
use super::plans::PlansError;
use phoenix_proto::control::agent_message::Message as FromAgent;
use phoenix_proto::control::control_client::ControlClient;
use phoenix_proto::control::enrolment_client::EnrolmentClient;
use phoenix_proto::control::server_message::Message as FromServer;
use phoenix_proto::control::{
    AgentMessage, DesiredState, EnrolRequest, Hello, ServerMessage, WindowAck,
};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

/// Messages that wait for the stream.
const OUTGOING: usize = 32;
/// Longest wait for an answer to Hello.
const PATIENCE: Duration = Duration::from_secs(10);

/// What comes over the link.
#[derive(Debug)]
pub(super) enum Event {
    /// Hello is sent and the server answers; messages go in here.
    Up(mpsc::Sender<AgentMessage>),
    /// The complete desired state.
    Desired(Box<DesiredState>),
    /// A window is stored.
    Ack(WindowAck),
    /// The stream is lost, or could not be had.
    Down(LinkError),
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    State(#[from] PlansError),
    #[error("no credential and no enrolment token: set control_plane.token_file")]
    NoToken,
    #[error("cannot read the enrolment token {path}: {source}")]
    Token {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("enrolment was refused: {}", .0.message())]
    Enrolment(Status),
    #[error("the credential cannot be sent: it is no header value")]
    Credential,
    #[error("the control plane ended the stream: {} ({:?})", .0.message(), .0.code())]
    Ended(Status),
    #[error("the control plane closed the stream")]
    Closed,
    #[error("the control plane did not answer in {PATIENCE:?}")]
    Silent,
}

/// Keeps a stream for as long as somebody listens.
pub(super) async fn keep(
    options: Options,
    hello: watch::Receiver<Hello>,
    events: mpsc::Sender<Event>,
) {
    let mut link = Link {
        options,
        hello,
        events,
        credential: None,
        refused: false,
    };
    let mut backoff = Backoff::new(link.options.reconnect_max);
    loop {
        let mut worked = false;
        let error = match link.session(&mut worked).await {
            Ok(()) => return,
            Err(error) => error,
        };
        let unit = rand::random::<f64>();
        let pause = if worked {
            backoff.lost(unit)
        } else {
            backoff.failed(unit)
        };
        if link.events.send(Event::Down(error)).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = link.events.closed() => return,
        }
    }
}

struct Link {
    options: Options,
    hello: watch::Receiver<Hello>,
    events: mpsc::Sender<Event>,
    credential: Option<String>,
    /// The server did not know the credential: have another one.
    refused: bool,
}

impl Link {
    /// One stream from dialling to its end. `Ok` when nobody listens any more.
    async fn session(&mut self, worked: &mut bool) -> Result<(), LinkError> {
        let channel = dial::connect(&self.options).await?;
        let credential = self.credential(&channel).await?;
        let (sender, outgoing) = mpsc::channel(OUTGOING);
        let hello = self.hello.borrow().clone();
        let first = AgentMessage {
            message: Some(FromAgent::Hello(hello)),
        };
        if sender.try_send(first).is_err() {
            return Err(LinkError::Closed);
        }
        let mut request = Request::new(ReceiverStream::new(outgoing));
        request
            .metadata_mut()
            .insert("authorization", bearer(&credential)?);
        let mut client = ControlClient::new(channel);
        let answer = tokio::time::timeout(PATIENCE, client.session(request)).await;
        let incoming = match answer.map_err(|_| LinkError::Silent)? {
            Ok(response) => response.into_inner(),
            Err(status) => {
                self.refused = status.code() == Code::Unauthenticated;
                return Err(LinkError::Ended(status));
            }
        };
        *worked = true;
        if self.events.send(Event::Up(sender)).await.is_err() {
            return Ok(());
        }
        let end = self.receive(incoming).await;
        if let Err(LinkError::Ended(status)) = &end {
            self.refused = status.code() == Code::Unauthenticated;
        }
        end
    }

    async fn receive(&mut self, mut incoming: Streaming<ServerMessage>) -> Result<(), LinkError> {
        loop {
            let message = tokio::select! {
                message = incoming.message() => message.map_err(LinkError::Ended)?,
                () = self.events.closed() => return Ok(()),
            };
            let event = match message.ok_or(LinkError::Closed)?.message {
                Some(FromServer::Desired(state)) => Event::Desired(Box::new(state)),
                Some(FromServer::Ack(ack)) => Event::Ack(ack),
                // A message of a later version.
                None => continue,
            };
            if self.events.send(event).await.is_err() {
                return Ok(());
            }
        }
    }

    /// From memory, from the state folder, or for the enrolment token. A credential that the server
    /// refused is kept until there is a better one.
    async fn credential(&mut self, channel: &Channel) -> Result<String, LinkError> {
        let (folder, identity) = (&self.options.state, &self.options.identity);
        if self.credential.is_none() {
            self.credential = credential::load(folder, identity)?;
        }
        if let Some(credential) = &self.credential
            && !std::mem::take(&mut self.refused)
        {
            return Ok(credential.clone());
        }
        let path = self.options.token_file.clone().ok_or(LinkError::NoToken)?;
        let token = tokio::fs::read_to_string(&path)
            .await
            .map_err(|source| LinkError::Token { path, source })?;
        let request = EnrolRequest {
            identity: Some(identity.clone()),
            token: token.trim().to_owned(),
            version: self.options.version.clone(),
        };
        let mut request = Request::new(request);
        request.set_timeout(PATIENCE);
        let enrolled = EnrolmentClient::new(channel.clone()).enrol(request).await;
        let credential = enrolled
            .map_err(LinkError::Enrolment)?
            .into_inner()
            .credential;
        credential::save(folder, identity, &credential)?;
        self.credential = Some(credential.clone());
        Ok(credential)
    }
}

fn bearer(credential: &str) -> Result<MetadataValue<Ascii>, LinkError> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {credential}")
        .parse()
        .map_err(|_| LinkError::Credential)?;
    value.set_sensitive(true);
    Ok(value)
}
