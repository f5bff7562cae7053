//! Reads a capture once, as fast as the worker takes it.

use super::{Fault, Intake, RETRY_AFTER};
use crate::capture::{CaptureError, Message, Reader};
use crate::json::Decoded;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// Reads `path` to its end, or to the first mistake in it, or until `stop`.
pub async fn run(path: PathBuf, intake: Intake, stop: CancellationToken) {
    let file = path.clone();
    let reader = tokio::task::spawn_blocking(move || Reader::open(&file)).await;
    let mut reader = match reader {
        Ok(Ok(reader)) => reader,
        Ok(Err(error)) => return tracing::error!(%error, "the capture cannot be read"),
        Err(error) => return tracing::error!(%error, "the reader of the capture failed"),
    };
    let (mut messages, mut points) = (0u64, 0u64);
    loop {
        let next = tokio::task::spawn_blocking(move || {
            let next = reader.next();
            (reader, next)
        });
        let message = match next.await {
            Ok((back, Some(Ok(message)))) => {
                reader = back;
                message
            }
            Ok((_, None)) => break,
            Ok((_, Some(Err(error)))) => return broken(&error, messages),
            Err(error) => return tracing::error!(%error, "the reader of the capture failed"),
        };
        match submit(&intake, message, &stop).await {
            Some(received) => points += received,
            None => return,
        }
        messages += 1;
    }
    tracing::info!(file = %path.display(), messages, points, "the capture was read to its end");
}

fn broken(error: &CaptureError, messages: u64) {
    tracing::error!(%error, messages, "the capture is broken; what came before was taken");
}

/// Points taken; `None` once the agent stops.
async fn submit(intake: &Intake, message: Message, stop: &CancellationToken) -> Option<u64> {
    let decoded = Decoded {
        bytes: message.bytes,
        rejected: message.rejected,
        reason: message.reason,
    };
    loop {
        if stop.is_cancelled() {
            return None;
        }
        let fault = match take(intake, &decoded).await {
            Ok(received) => return Some(received),
            Err(fault) => fault,
        };
        if !matches!(fault, Fault::Full(_)) {
            intake.worker.count_refused();
            tracing::error!(%fault, offset = message.offset, "a message of the capture was refused");
            return Some(0);
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(RETRY_AFTER / 10) => {}
        }
    }
}

async fn take(intake: &Intake, decoded: &Decoded) -> Result<u64, Fault> {
    let size = decoded.bytes.len();
    if size > intake.budget.limit() {
        return Err(Fault::TooLarge(format!(
            "a message of {size} bytes does not fit limits.in_flight"
        )));
    }
    let mut hold = intake.admit()?;
    if !hold.grow(size) {
        return Err(super::body::full());
    }
    let accepted = intake.take_decoded(decoded.clone(), hold).await?;
    Ok(accepted.received)
}
