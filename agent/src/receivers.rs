//! Where points come from. Every receiver ends in `Intake::take`: bytes of a request, within the
//! budget, handed to the worker.

pub mod ahead;
pub mod body;
pub mod budget;
pub mod file;
pub mod grpc;
pub mod http;
pub mod inflate;
pub mod serve;

use crate::worker::{Accepted, Refused, WorkerHandle};
use budget::{Budget, Reservation};
use bytes::Bytes;
use phoenix_engine::deal::{Dealer, Dealt};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a full agent asks its senders to wait.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a sender may take over one request.
pub const REQUEST_TIME: Duration = Duration::from_secs(30);

/// Shared by all receivers.
#[derive(Clone)]
pub struct Intake {
    /// The worker.
    pub worker: WorkerHandle,
    /// Bytes in flight.
    pub budget: Budget,
    /// Largest request, before and after inflating.
    pub max_request: usize,
    /// Which worker has which resource, where there are several. One of each thread that receives:
    /// nobody waits for it.
    pub dealer: Option<Arc<Mutex<Dealer>>>,
}

/// Why a request was refused, in the terms of the protocol that carried it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// Syntax or transport is wrong; sending it again is of no use.
    #[error("{0}")]
    Malformed(String),
    /// Larger than a limit; sending it again is of no use.
    #[error("{0}")]
    TooLarge(String),
    /// Not something that this endpoint knows.
    #[error("{0}")]
    Unsupported(String),
    /// No room now; send it again.
    #[error("{0}")]
    Full(String),
    /// The sender took too long.
    #[error("the request did not arrive within {} s", REQUEST_TIME.as_secs())]
    TimedOut,
}

impl Intake {
    /// Refuses early, before a body is read.
    ///
    /// # Errors
    /// There is no room.
    pub fn admit(&self) -> Result<Reservation, Fault> {
        if self.worker.is_memory_short() {
            return Err(Fault::Full(
                "memory is near the agent's limit; send again later".to_owned(),
            ));
        }
        Ok(self.budget.open())
    }

    /// Hands a request to the workers that its resources belong to and waits until it is safe.
    ///
    /// # Errors
    /// It was refused whole; nothing has changed.
    pub async fn take(&self, bytes: Bytes, hold: Reservation) -> Result<Accepted, Fault> {
        self.hand_over(bytes, 0, hold).await
    }

    /// As `take`, for a request that was JSON.
    ///
    /// # Errors
    /// It was refused whole; nothing has changed.
    pub async fn take_decoded(
        &self,
        decoded: crate::json::Decoded,
        hold: Reservation,
    ) -> Result<Accepted, Fault> {
        let mut accepted = self
            .hand_over(decoded.bytes, decoded.rejected, hold)
            .await?;
        accepted.reason = decoded.reason.or(accepted.reason);
        Ok(accepted)
    }

    async fn hand_over(
        &self,
        bytes: Bytes,
        rejected: u64,
        hold: Reservation,
    ) -> Result<Accepted, Fault> {
        let dealt = match &self.dealer {
            None => Dealt::Whole(0),
            Some(dealer) => dealer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .deal(&bytes)
                .map_err(Refused::from)?,
        };
        let submitted = self.worker.submit_rest(dealt, bytes, rejected, hold);
        Ok(submitted.await?)
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Fault {
        use phoenix_engine::engine::Refusal;
        let text = refused.to_string();
        match refused {
            Refused::Invalid(Refusal::Malformed { .. }) => Fault::Malformed(text),
            Refused::Invalid(Refusal::TooManyElements { .. }) => Fault::TooLarge(text),
            Refused::Full(_) | Refused::Stopping => Fault::Full(text),
        }
    }
}
