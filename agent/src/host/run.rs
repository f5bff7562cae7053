//! The receiver's task: a scan every so often, handed to the worker like any request.

use super::{HostError, Scanned, Scanner};
use crate::clock;
use crate::receivers::Intake;
use bytes::Bytes;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Scans until it is told to stop. What the worker refuses is not kept: the next scan has newer
/// values of the same counters.
pub async fn run(scanner: Scanner, every: Duration, intake: Intake, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut scanner = Some(scanner);
    let mut well = true;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let Some(mut reader) = scanner.take() else {
            return;
        };
        // Reading /proc blocks: not on the thread of the data path.
        let scan = tokio::task::spawn_blocking(move || {
            let mut requests = Vec::new();
            let scanned = reader.scan(clock::wall, |request| {
                requests.push(Bytes::copy_from_slice(request));
            });
            (reader, scanned, requests)
        });
        let Ok((reader, scanned, requests)) = scan.await else {
            warn!("reading processes failed; the host receiver ends");
            return;
        };
        scanner = Some(reader);
        let result = hand_over(scanned, requests, &intake).await;
        if let Err(problem) = &result
            && well
        {
            warn!("{problem}; the next scan tries again");
        }
        well = result.is_ok();
    }
}

async fn hand_over(
    scanned: Result<Scanned, HostError>,
    requests: Vec<Bytes>,
    intake: &Intake,
) -> Result<(), String> {
    let scanned = scanned.map_err(|e| e.to_string())?;
    debug!(?scanned, "processes read");
    for request in requests {
        let refused = |reason: String| {
            intake.worker.count_refused();
            format!("processes were not taken in: {reason}")
        };
        let mut hold = intake.admit().map_err(|f| refused(f.to_string()))?;
        if !hold.grow(request.len()) {
            return Err(refused("too many bytes are in flight".to_owned()));
        }
        let taken = intake.take(request, hold).await;
        taken.map_err(|f| refused(f.to_string()))?;
    }
    Ok(())
}
