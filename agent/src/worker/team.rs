//! How worker 0 and the others agree on an edge.
//!
//! Worker 0 names a time and sends it to all. Each of the others closes what is due at that time when
//! the message comes to it, between two requests, gives its partials back, and goes on: nobody waits
//! for anybody. When the last partial has come, worker 0 does the same with its own windows and merges.
//! One edge is under way at a time, so that edges happen in the same order everywhere. A worker that
//! is slow delays what is written, and loses nothing; until it has closed, its windows take points as
//! any open window does. Swaps, cuts of figures and questions for figures are edges too.

use super::{Desired, Figures};
use crate::exporters::queue::Account as QueueAccount;
use phoenix_engine::Nanos;
use phoenix_engine::engine::{Decisions, Share};
use phoenix_engine::report::Report;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// From worker 0 to another.
pub(crate) enum Order {
    Edge(Edge),
    Decide(Arc<Decisions>),
}

/// One edge.
#[derive(Clone)]
pub(crate) struct Edge {
    pub at: Nanos,
    pub what: What,
}

/// What happens at an edge.
#[derive(Clone)]
pub(crate) enum What {
    /// Windows close. `cut`: figures are cut before that.
    Tick {
        cut: bool,
        /// In the lanes: before anything is written, and after it.
        syncs: [Option<u64>; 2],
    },
    /// Another plan, or another seed.
    Swap { desired: Arc<Desired>, sync: u64 },
    /// The last swap: then the worker ends.
    Drain { desired: Arc<Desired>, sync: u64 },
    /// Nothing but a look.
    Figures,
}

/// Back to worker 0.
#[derive(Debug)]
pub(crate) struct Reply {
    pub worker: usize,
    pub share: Share,
    /// Cut, or looked at, at this edge.
    pub report: Option<Report>,
    /// Points that the arms wrote since the last cut.
    pub written: (u64, u64),
    /// Of a candidate, since the last cut.
    pub panics: u64,
    /// Points that receivers had rejected, since the last reply.
    pub rejected: u64,
    /// Of the worker's lane to the next hop.
    pub queue: QueueAccount,
    /// Series kept, and bytes.
    pub state: (usize, usize),
}

impl Reply {
    /// An empty one.
    pub fn of(worker: usize) -> Reply {
        Reply {
            worker,
            share: Share::default(),
            report: None,
            written: (0, 0),
            panics: 0,
            rejected: 0,
            queue: QueueAccount::default(),
            state: (0, 0),
        }
    }
}

/// The other workers, as worker 0 sees them.
pub(crate) struct Team {
    pub orders: Vec<mpsc::Sender<Order>>,
    pub replies: mpsc::Receiver<Reply>,
    /// The edge that is under way, and who has answered.
    pub pending: Option<(Edge, Vec<Reply>)>,
    /// Who waits for figures.
    pub questions: Vec<oneshot::Sender<Figures>>,
    /// A tick came while an edge was under way, or is due.
    pub tick: bool,
    /// Who waits for the drain.
    pub draining: Option<oneshot::Sender<()>>,
    /// The last sync that was put into the lanes.
    pub syncs: u64,
}

impl Team {
    /// A number for a place in all lanes.
    pub fn next_sync(&mut self) -> u64 {
        self.syncs += 1;
        self.syncs
    }

    /// Sends an edge to all.
    pub fn begin(&mut self, edge: Edge) {
        for order in &self.orders {
            // There is room, but for a worker that is gone: that ends the agent.
            if order.try_send(Order::Edge(edge.clone())).is_err() {
                tracing::error!("a worker does not take orders any more");
            }
        }
        self.pending = Some((edge, Vec::with_capacity(self.orders.len())));
    }

    /// Takes a reply; the edge, once all have come, in the order of workers.
    pub fn replied(&mut self, reply: Reply) -> Option<(Edge, Vec<Reply>)> {
        let (_, replies) = self.pending.as_mut()?;
        replies.push(reply);
        if replies.len() < self.orders.len() {
            return None;
        }
        let (edge, mut replies) = self.pending.take()?;
        replies.sort_by_key(|reply| reply.worker);
        Some((edge, replies))
    }

    /// Tells all what was decided.
    pub fn decide(&self, decisions: Decisions) {
        if decisions.is_empty() {
            return;
        }
        let decisions = Arc::new(decisions);
        for order in &self.orders {
            let _gone = order.try_send(Order::Decide(decisions.clone()));
        }
    }
}

/// The next reply; never without a team.
pub(crate) async fn next_reply(team: &mut Option<Team>) -> Option<Reply> {
    match team {
        Some(team) => team.replies.recv().await,
        None => std::future::pending().await,
    }
}
