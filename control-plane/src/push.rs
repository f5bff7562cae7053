//! The door for agents: enrolment, and one gRPC session each. Desired states out, reports in.

mod enrol;
mod session;

use crate::app::App;
use crate::auth::Tokens;
use phoenix_proto::control::Identity as WireIdentity;
use phoenix_proto::control::control_server::ControlServer;
use phoenix_proto::control::enrolment_server::EnrolmentServer;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;

use crate::model::{DEFAULT_TENANT, Identity};

/// Largest message of an agent: a window report is 64 KiB at most.
const MAX_MESSAGE: usize = 1 << 20;
/// Changes that come together are worked out together.
const GATHER: Duration = Duration::from_millis(10);

/// The gRPC services, to be merged into the router of the one port.
pub fn routes(app: Arc<App>, tokens: Arc<Tokens>, shutdown: CancellationToken) -> axum::Router {
    let enrolment = enrol::Door {
        app: app.clone(),
        tokens,
    };
    let control = session::Door { app, shutdown };
    Routes::new(EnrolmentServer::new(enrolment).max_decoding_message_size(64 << 10))
        .add_service(ControlServer::new(control).max_decoding_message_size(MAX_MESSAGE))
        .prepare()
        .into_axum_router()
}

/// Gives the connected agents their new desired state whenever documents change.
pub fn spawn_planner(app: Arc<App>, shutdown: CancellationToken) -> JoinHandle<()> {
    let mut changed = app.documents_changed();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                woken = changed.changed() => if woken.is_err() { return },
            }
            tokio::time::sleep(GATHER).await;
            changed.mark_unchanged();
            if !app.replan_all().await {
                changed.mark_changed();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    })
}

/// The identity that a message names; tenant and cluster have defaults.
fn identity(wire: Option<&WireIdentity>) -> Result<Identity, Status> {
    let wire = wire.ok_or_else(|| Status::invalid_argument("the message names no identity"))?;
    let or_default = |text: &str| match text {
        "" => DEFAULT_TENANT.to_owned(),
        text => text.to_owned(),
    };
    let identity = Identity {
        tenant: or_default(&wire.tenant),
        cluster: or_default(&wire.cluster),
        node: wire.node.clone(),
    };
    for (what, text) in [
        ("tenant", &identity.tenant),
        ("cluster", &identity.cluster),
        ("node", &identity.node),
    ] {
        let bad = |c: char| c == '/' || c.is_control() || c.is_whitespace();
        if text.is_empty() || text.len() > 253 || text.contains(bad) {
            return Err(Status::invalid_argument(format!(
                "{what} {text:?}: write 1 to 253 characters without '/' or blanks"
            )));
        }
    }
    Ok(identity)
}

/// What a use case answered, as gRPC says it.
fn status(error: crate::app::Error) -> Status {
    use crate::app::Error;
    match &error {
        Error::Invalid { .. } => Status::invalid_argument(error.to_string()),
        Error::NotFound(_) => Status::not_found(error.to_string()),
        Error::Refused { .. } => Status::already_exists(error.to_string()),
        Error::Store(_) => {
            tracing::error!(%error, "a request of an agent failed");
            Status::unavailable("the store failed; try again")
        }
    }
}
