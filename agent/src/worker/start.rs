//! Makes the workers of an agent, with the channels between them.

use super::account::Account;
use super::core::Core;
use super::cuts::Cuts;
use super::helper::Helper;
use super::outlets::Outlets;
use super::run::Worker;
use super::team::Team;
use super::{COMMANDS, Desired, Notice, REQUESTS, Shared, Stats, WorkerHandle};
use crate::clock::Clock;
use arc_swap::ArcSwap;
use phoenix_engine::compile::Plan;
use phoenix_engine::engine::{Engine, Place, Settings};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, watch};

/// Orders to one of several workers: an edge, and what was decided at the one before.
const ORDERS: usize = 4;
/// Notices that the control client has not fetched yet.
const NOTICES: usize = 256;

/// What a worker begins with.
#[derive(Debug)]
pub struct Start {
    /// For the engine.
    pub engine: Settings,
    /// The plan that was booted.
    pub plan: Arc<Plan>,
    /// Where output goes.
    pub outlets: Outlets,
    /// Random per process start.
    pub incarnation: String,
}

/// Makes worker 0 (and as many others as the engine's place says), the handle to them, and the
/// channel of what it tells the control client.
pub fn spawn(start: Start) -> (WorkerHandle, mpsc::Receiver<Notice>, Worker) {
    let of = start.engine.place.of.max(1);
    let desired = Arc::new(Desired {
        plan: start.plan.clone(),
        experiment: None,
        generation: 0,
        fleet_seed: start.engine.fleet_seed,
    });
    let shared = Arc::new(Shared {
        desired: ArcSwap::new(desired.clone()),
        wake: Notify::new(),
        applied: watch::Sender::new(0),
        stats: Stats::new(of),
        incarnation: start.incarnation.clone(),
        deal_seed: start.engine.memo_seed,
    });
    let (command_sender, commands) = mpsc::channel(COMMANDS);
    let (notices, notice_receiver) = mpsc::channel(NOTICES);
    let (request_sender, requests) = mpsc::channel(REQUESTS);
    let mut core = core(&start, &shared, 0);
    let now = core.clock.now();
    let (mut request_senders, mut question_senders) = (vec![request_sender], Vec::new());
    let (mut orders, mut helpers) = (Vec::new(), Vec::new());
    let (reply_sender, replies) = mpsc::channel(of);
    for number in 1..of {
        let (request_sender, requests) = mpsc::channel(REQUESTS);
        let (question_sender, questions) = mpsc::channel(COMMANDS);
        let (order_sender, order_receiver) = mpsc::channel(ORDERS);
        request_senders.push(request_sender);
        question_senders.push(question_sender);
        orders.push(order_sender);
        helpers.push(Helper {
            core: self::core(&start, &shared, number),
            settings: placed(&start.engine, number),
            requests,
            orders: order_receiver,
            questions,
            replies: reply_sender.clone(),
            rejected: 0,
        });
    }
    let team = (of > 1).then(|| Team {
        orders,
        replies,
        pending: None,
        questions: Vec::new(),
        tick: false,
        draining: None,
        syncs: 0,
    });
    let worker = Worker {
        account: Account::default(),
        cuts: Cuts::new(now, shared.incarnation.clone()),
        settings: placed(&start.engine, 0),
        running: desired,
        core,
        requests,
        commands,
        notices,
        panics_seen: 0,
        team,
        helpers,
    };
    let handle = WorkerHandle {
        shared,
        requests: request_senders.into(),
        commands: command_sender,
        questions: question_senders.into(),
        outlets: start.outlets,
    };
    (handle, notice_receiver, worker)
}

fn placed(settings: &Settings, worker: usize) -> Settings {
    let of = settings.place.of.max(1);
    Settings {
        place: Place { worker, of },
        ..settings.clone()
    }
}

fn core(start: &Start, shared: &Arc<Shared>, lane: usize) -> Core {
    let mut clock = Clock::default();
    let now = clock.now();
    Core {
        engine: Engine::new(placed(&start.engine, lane), start.plan.clone(), now),
        shared: shared.clone(),
        outlets: start.outlets.clone(),
        clock,
        lane,
        run: None,
        looked: 0,
    }
}
