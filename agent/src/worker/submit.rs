//! How a request comes to the worker, or the workers, that its resources belong to.

use super::{Accepted, Hold, Refused, Request, WorkerHandle};
use crate::receivers::budget::Reservation;
use bytes::Bytes;
use phoenix_engine::deal::Dealt;
use std::sync::Arc;
use tokio::sync::oneshot;

impl WorkerHandle {
    /// Hands one `ExportMetricsServiceRequest` over and waits until it is safe.
    ///
    /// # Errors
    /// The request was refused whole; nothing has changed.
    pub async fn submit(&self, bytes: Bytes, hold: Reservation) -> Result<Accepted, Refused> {
        self.submit_rest(Dealt::Whole(0), bytes, 0, hold).await
    }

    /// As `submit`, for a request that was dealt, and of which the receiver has itself rejected some
    /// points.
    ///
    /// # Errors
    /// The request was refused whole; nothing has changed.
    pub async fn submit_rest(
        &self,
        dealt: Dealt,
        bytes: Bytes,
        rejected: u64,
        hold: Reservation,
    ) -> Result<Accepted, Refused> {
        match dealt {
            Dealt::Whole(worker) => {
                let (request, answer) = request(bytes, rejected, Hold::Whole(hold), (false, true));
                let to = self.requests.get(worker).ok_or(Refused::Stopping)?;
                to.send(request).await.map_err(|_| Refused::Stopping)?;
                answer.await.unwrap_or(Err(Refused::Stopping))
            }
            Dealt::Parts(parts) => {
                drop(bytes);
                self.submit_parts(parts, rejected, hold).await
            }
        }
    }

    /// Parts of a valid request: once there is room for it, every worker takes its part, so that
    /// it is never taken in part.
    async fn submit_parts(
        &self,
        parts: Vec<(usize, Bytes)>,
        rejected: u64,
        hold: Reservation,
    ) -> Result<Accepted, Refused> {
        if self.outlets.is_full() {
            return Err(Refused::QUEUE_FULL);
        }
        if self.is_memory_short() {
            return Err(Refused::MEMORY_SHORT);
        }
        // A place with every worker first, in their order, so that two requests never wait for each
        // other; then all at once, so that a sender that goes away meanwhile leaves no part behind.
        let mut places = Vec::with_capacity(parts.len());
        for (worker, _) in &parts {
            let to = self.requests.get(*worker).ok_or(Refused::Stopping)?;
            places.push(to.reserve().await.map_err(|_| Refused::Stopping)?);
        }
        let hold = Arc::new(hold);
        let mut answers = Vec::with_capacity(parts.len());
        for (number, (place, (_, part))) in places.into_iter().zip(parts).enumerate() {
            let first = number == 0;
            let of_receiver = if first { rejected } else { 0 };
            let hold = Hold::Part(hold.clone());
            let (request, answer) = request(part, of_receiver, hold, (true, first));
            place.send(request);
            answers.push(answer);
        }
        let mut sum = Accepted::default();
        for answer in answers {
            let accepted = answer.await.unwrap_or(Err(Refused::Stopping))?;
            sum.received += accepted.received;
            sum.rejected += accepted.rejected;
            sum.reason = sum.reason.or(accepted.reason);
        }
        Ok(sum)
    }
}

fn request(
    bytes: Bytes,
    rejected: u64,
    hold: Hold,
    (committed, first): (bool, bool),
) -> (Request, oneshot::Receiver<Result<Accepted, Refused>>) {
    let (done, answer) = oneshot::channel();
    let request = Request {
        bytes,
        rejected,
        hold,
        committed,
        first,
        done,
    };
    (request, answer)
}
