//! One agent's session: hello, then desired states out and reports in until either side ends it.

use crate::app::{App, Session};
use crate::auth::bearer;
use crate::model::Identity;
use phoenix_proto::control::agent_message::Message as FromAgent;
use phoenix_proto::control::control_server::Control;
use phoenix_proto::control::server_message::Message as ToAgent;
use phoenix_proto::control::{
    AgentMessage, DesiredState, Hello, PlanState, ServerMessage, WindowAck,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

/// How long an agent that was started anew may take to say what became of its plan.
const SETTLING: Duration = Duration::from_secs(1);
/// An agent that does not say hello, or does not read, is let go after this long.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Door {
    pub app: Arc<App>,
    pub shutdown: CancellationToken,
}

type Out = mpsc::Sender<Result<ServerMessage, Status>>;

#[tonic::async_trait]
impl Control for Door {
    type SessionStream = ReceiverStream<Result<ServerMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let identity = authenticate(&self.app, &request).await?;
        let (out, stream) = mpsc::channel(16);
        let (app, shutdown) = (self.app.clone(), self.shutdown.clone());
        // The answer's head goes out at once: an agent may wait for it before it says hello.
        tokio::spawn(async move {
            let ended = serve(&app, &identity, request.into_inner(), &out, &shutdown).await;
            if let Err(status) = ended {
                tracing::info!(agent = %identity, reason = status.message(), "session closed");
                let _ = out.try_send(Err(status));
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

async fn authenticate<T>(app: &App, request: &Request<T>) -> Result<Identity, Status> {
    let credential = request
        .metadata()
        .get("authorization")
        .and_then(|v| v.to_str().ok())
        .and_then(bearer)
        .ok_or_else(|| Status::unauthenticated("no credential: enrol first"))?;
    let owner = app.authenticate(credential).await.map_err(super::status)?;
    owner.ok_or_else(|| Status::unauthenticated("the credential is not known: enrol again"))
}

async fn serve(
    app: &App,
    identity: &Identity,
    mut inbound: Streaming<AgentMessage>,
    out: &Out,
    shutdown: &CancellationToken,
) -> Result<(), Status> {
    let hello = hello(&mut inbound).await?;
    if super::identity(hello.identity.as_ref())? != *identity {
        return Err(Status::permission_denied(format!(
            "the credential is bound to {identity}"
        )));
    }
    let mut session = app
        .connected(identity, &hello)
        .await
        .map_err(super::status)?;
    tracing::info!(agent = %identity, superseded = session.superseded, "session opened");
    let settled = match session.unsettled {
        true => settle(app, identity, &mut inbound, out).await,
        false => Ok(()),
    };
    let ended = match settled {
        Ok(()) => talk(app, identity, &mut inbound, out, &mut session, shutdown).await,
        Err(status) => Err(status),
    };
    // An agent comes back to a server that was only started anew.
    let away = !shutdown.is_cancelled();
    if let Err(error) = app.disconnected(identity, session.id, away).await {
        tracing::warn!(agent = %identity, %error, "the end of a session could not be noted");
    }
    ended
}

async fn hello(inbound: &mut Streaming<AgentMessage>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(PATIENCE, inbound.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no hello"))??;
    match first.and_then(|m| m.message) {
        Some(FromAgent::Hello(hello)) => Ok(hello),
        _ => Err(Status::invalid_argument(
            "the first message of a session is hello",
        )),
    }
}

/// Listens first: a plan that the agent is about to call unproven must not reach it again before
/// that is counted.
async fn settle(
    app: &App,
    identity: &Identity,
    inbound: &mut Streaming<AgentMessage>,
    out: &Out,
) -> Result<(), Status> {
    let listen = async {
        while let Some(message) = inbound.message().await? {
            let told = matches!(&message.message,
                Some(FromAgent::Status(s)) if s.state() != PlanState::Healthy);
            heard(app, identity, message, out).await?;
            if told {
                break;
            }
        }
        Ok(())
    };
    if let Ok(Err(status)) = tokio::time::timeout(SETTLING, listen).await {
        return Err(status);
    }
    app.replan(identity).await.map_err(super::status)
}

async fn talk(
    app: &App,
    identity: &Identity,
    inbound: &mut Streaming<AgentMessage>,
    out: &Out,
    session: &mut Session,
    shutdown: &CancellationToken,
) -> Result<(), Status> {
    let third = Duration::from_millis(u64::from(app.timing().lease_ms).max(3) / 3);
    let mut renewal = tokio::time::interval(third);
    renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Worked out while connecting, before this loop looked.
    session.desired.mark_changed();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => {
                return Err(Status::unavailable("the server is stopping"));
            }
            () = session.close.cancelled() => return Err(closed()),
            changed = session.desired.changed() => {
                // The entry is gone: the same as being told to close, which may be seen later.
                if changed.is_err() {
                    return Err(closed());
                }
                let desired = session.desired.borrow_and_update().clone();
                give(out, desired).await?;
                renewal.reset();
            }
            _ = renewal.tick() => {
                let desired = session.desired.borrow().clone();
                // The same revision again renews the candidate's lease.
                give(out, desired.filter(|d| d.experiment.is_some())).await?;
            }
            message = inbound.message() => match message? {
                None => return Ok(()),
                Some(message) => heard(app, identity, message, out).await?,
            },
        }
    }
}

fn closed() -> Status {
    Status::aborted("another session took over, or the agent was deleted")
}

async fn heard(
    app: &App,
    identity: &Identity,
    message: AgentMessage,
    out: &Out,
) -> Result<(), Status> {
    let now = app.now_ms();
    match message.message {
        Some(FromAgent::Heartbeat(heartbeat)) => {
            app.live().heard(identity, now, Some(heartbeat));
        }
        Some(FromAgent::Status(status)) => {
            app.live().heard(identity, now, None);
            app.reported(identity, &status)
                .await
                .map_err(super::status)?;
        }
        Some(FromAgent::Window(report)) => {
            app.live().heard(identity, now, None);
            app.append_window(identity, &report)
                .await
                .map_err(super::status)?;
            let ack = WindowAck {
                experiment: report.experiment,
                experiment_revision: report.experiment_revision,
                incarnation: report.incarnation,
                start_ms: report.start_ms,
            };
            send(out, ToAgent::Ack(ack)).await?;
        }
        Some(FromAgent::Goodbye(_)) => app.stopping(identity).await.map_err(super::status)?,
        Some(FromAgent::Hello(_)) => {
            return Err(Status::invalid_argument("hello is said once"));
        }
        // A newer agent may say what this server does not know.
        None => {}
    }
    Ok(())
}

async fn give(out: &Out, desired: Option<Arc<DesiredState>>) -> Result<(), Status> {
    match desired {
        Some(desired) => send(out, ToAgent::Desired(DesiredState::clone(&desired))).await,
        None => Ok(()),
    }
}

async fn send(out: &Out, message: ToAgent) -> Result<(), Status> {
    let message = ServerMessage {
        message: Some(message),
    };
    match tokio::time::timeout(PATIENCE, out.send(Ok(message))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Status::cancelled("the agent has gone")),
        Err(_) => Err(Status::deadline_exceeded("the agent does not read")),
    }
}
