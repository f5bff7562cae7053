//! A worker other than worker 0: an engine on a thread of its own, that closes its windows when
//! worker 0 says so and gives it what is merged.

use super::core::Core;
use super::team::{Edge, Order, Reply, What};
use super::{Desired, Explain, Request, pass_through};
use phoenix_engine::engine::{Engine, Settings};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A helper, ready to be run on its thread.
pub struct Helper {
    pub(super) core: Core,
    pub(super) settings: Settings,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) questions: mpsc::Receiver<Explain>,
    pub(super) replies: mpsc::Sender<Reply>,
    /// Points that receivers had rejected, since the last reply.
    pub(super) rejected: u64,
}

impl Helper {
    /// Its number, from 1.
    pub fn number(&self) -> usize {
        self.core.lane
    }

    /// Runs until the drain, or until worker 0 is gone.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(Order::Edge(edge)) => {
                        let last = matches!(edge.what, What::Drain { .. });
                        let reply = self.edge(edge);
                        // One edge is under way at a time: there is room, or worker 0 is gone.
                        if self.replies.try_send(reply).is_err() || last {
                            return;
                        }
                    }
                    Some(Order::Decide(decisions)) => {
                        let emitted = self.core.engine.decide(&decisions);
                        self.core.emit(emitted);
                    }
                    None => return,
                },
                Some(question) = self.questions.recv() => question.answer(&mut self.core.engine),
                Some(request) = self.requests.recv() => self.take(request),
            }
        }
    }

    fn take(&mut self, request: Request) {
        let now = self.core.clock.now();
        let refusal = if request.committed {
            None
        } else {
            self.core.refusal(now)
        };
        let answer = match refusal {
            Some(refused) => Err(refused),
            None => self.core.feed(&request.bytes, now),
        };
        let of_receiver = request.rejected;
        self.rejected += self.core.answer(request, answer, of_receiver);
    }

    fn edge(&mut self, edge: Edge) -> Reply {
        let mut reply = Reply::of(self.core.lane);
        match edge.what {
            What::Tick { cut, syncs } => {
                if cut {
                    reply.report = Some(self.core.engine.cut());
                }
                self.sync(syncs[0]);
                let (emitted, share) = self.core.engine.tick_share(edge.at);
                self.core.emit(emitted);
                reply.share = share;
                self.sync(syncs[1]);
            }
            What::Swap { desired, sync } => {
                self.swap(&desired, edge.at, &mut reply);
                self.sync(Some(sync));
            }
            What::Drain { desired, sync } => {
                self.requests.close();
                while let Ok(request) = self.requests.try_recv() {
                    self.take(request);
                }
                self.swap(&desired, edge.at, &mut reply);
                self.sync(Some(sync));
                self.core.outlets.close(self.core.lane);
            }
            What::Figures => {
                reply.report = Some(self.core.engine.figures());
                reply.queue = self.core.outlets.next_hop.account_of(self.core.lane);
                reply.state = self.core.engine.state_size();
            }
        }
        reply.written = self.core.engine.written();
        reply.panics = self.core.engine.candidate_panics();
        reply.rejected = std::mem::take(&mut self.rejected);
        self.core.ticked();
        reply
    }

    fn swap(&mut self, desired: &Arc<Desired>, at: u64, reply: &mut Reply) {
        let reseeds = desired.fleet_seed != self.settings.fleet_seed;
        let plan = if reseeds {
            pass_through()
        } else {
            desired.plan.clone()
        };
        let (emitted, share) = self.core.engine.swap_share(plan, at);
        self.core.emit(emitted);
        self.core.run = desired.run();
        reply.share = share;
        reply.report = Some(self.core.engine.cut());
        if reseeds {
            self.settings.fleet_seed = desired.fleet_seed;
            self.settings.began = at;
            self.core.engine = Engine::new(self.settings.clone(), desired.plan.clone(), at);
        }
    }

    fn sync(&self, sync: Option<u64>) {
        if let Some(sync) = sync {
            self.core.outlets.sync(self.core.lane, sync);
        }
    }
}
