//! Who is connected, and the last heartbeat of each: in memory only.

use crate::model::Identity;
use dashmap::DashMap;
use phoenix_proto::control::{DesiredState, Heartbeat};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The sessions of this process.
#[derive(Debug, Default)]
pub struct Live {
    sessions: DashMap<Identity, Entry>,
    next: AtomicU64,
    superseded: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    close: CancellationToken,
    desired: watch::Sender<Option<Arc<DesiredState>>>,
    heartbeat: Option<Heartbeat>,
    seen_ms: u64,
}

/// One open session, as the push door holds it. Dropping it ends the entry.
#[derive(Debug)]
pub struct Session {
    pub id: u64,
    /// Another session took over, or the agent was deleted.
    pub close: CancellationToken,
    /// The newest desired state; older ones are never seen.
    pub desired: watch::Receiver<Option<Arc<DesiredState>>>,
    /// An older session was closed for this one.
    pub superseded: bool,
    /// The agent started anew before the server heard that its plan is healthy: it may be about to
    /// say that the plan is unproven. Its desired state waits for that word (`App::replan`).
    pub unsettled: bool,
}

impl Live {
    /// Opens a session; an older one of the same identity is closed and counted.
    pub fn open(&self, identity: &Identity, now_ms: u64) -> Session {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let close = CancellationToken::new();
        let (sender, desired) = watch::channel(None);
        let old = self.sessions.insert(
            identity.clone(),
            Entry {
                id,
                close: close.clone(),
                desired: sender,
                heartbeat: None,
                seen_ms: now_ms,
            },
        );
        if let Some(old) = &old {
            old.close.cancel();
            self.superseded.fetch_add(1, Ordering::Relaxed);
        }
        Session {
            id,
            close,
            desired,
            superseded: old.is_some(),
            unsettled: false,
        }
    }

    /// Forgets a session unless a newer one has taken its place. True: it was the present one.
    pub fn closed(&self, identity: &Identity, id: u64) -> bool {
        self.sessions
            .remove_if(identity, |_, entry| entry.id == id)
            .is_some()
    }

    /// Closes whatever session an identity has.
    pub fn disconnect(&self, identity: &Identity) {
        if let Some((_, entry)) = self.sessions.remove(identity) {
            entry.close.cancel();
        }
    }

    pub fn connected(&self, identity: &Identity) -> bool {
        self.sessions.contains_key(identity)
    }

    pub fn identities(&self) -> Vec<Identity> {
        self.sessions.iter().map(|e| e.key().clone()).collect()
    }

    /// Sessions closed because a second one came, since the process started.
    pub fn superseded(&self) -> u64 {
        self.superseded.load(Ordering::Relaxed)
    }

    /// Hands a desired state to the agent's session, if there is one.
    pub(super) fn send(&self, identity: &Identity, desired: Arc<DesiredState>) {
        if let Some(entry) = self.sessions.get(identity) {
            entry.desired.send_replace(Some(desired));
        }
    }

    /// The agent spoke.
    pub fn heard(&self, identity: &Identity, now_ms: u64, heartbeat: Option<Heartbeat>) {
        if let Some(mut entry) = self.sessions.get_mut(identity) {
            entry.seen_ms = now_ms;
            if heartbeat.is_some() {
                entry.heartbeat = heartbeat;
            }
        }
    }

    /// The last heartbeat and when the agent last spoke, while it is connected.
    pub fn last(&self, identity: &Identity) -> Option<(Option<Heartbeat>, u64)> {
        self.sessions
            .get(identity)
            .map(|entry| (entry.heartbeat.clone(), entry.seen_ms))
    }
}
