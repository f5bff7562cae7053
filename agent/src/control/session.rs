//! Carries out what the machine decides, and carries what the worker reports to the server.

use super::guarded::Watch;
use super::link::{self, Event};
use super::machine::{Effect, Machine, Time};
use super::outbox::Outbox;
use super::{Boot, Options, View, convert, plans};
use crate::guard::{self, Sample};
use crate::worker::{Experiment, Gone, Notice, WorkerHandle};
use phoenix_engine::compile::{Division, Plan};
use phoenix_proto::control::agent_message::Message;
use phoenix_proto::control::{AgentMessage, Goodbye, Heartbeat, Hello, Status};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, error, info, warn};

/// After the worker has stopped: how long its last reports may take to be acknowledged.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) struct Session {
    options: Options,
    worker: WorkerHandle,
    machine: Machine,
    began: Instant,
    up: Option<mpsc::Sender<AgentMessage>>,
    outgoing: VecDeque<Message>,
    outbox: Outbox,
    hello: watch::Sender<Hello>,
    view: watch::Sender<View>,
    /// What the ledger could not explain when the plan that bakes began.
    imbalance: Option<i128>,
    watch: Watch,
}

/// Runs until the worker has stopped.
pub(super) async fn run(
    options: Options,
    boot: Boot,
    worker: WorkerHandle,
    mut notices: mpsc::Receiver<Notice>,
    view: watch::Sender<View>,
) {
    let hello = watch::Sender::new(greeting(&options, &boot.machine, &worker));
    let (sender, mut events) = mpsc::channel(16);
    let link = tokio::spawn(link::keep(options.clone(), hello.subscribe(), sender));
    let watch = Watch::since(boot.machine.before());
    let mut session = Session {
        options,
        worker,
        machine: boot.machine,
        began: Instant::now(),
        up: None,
        outgoing: VecDeque::new(),
        outbox: Outbox::default(),
        hello,
        view,
        imbalance: None,
        watch,
    };
    let end = session.serve(boot.effects, &mut events, &mut notices).await;
    if let Err(Gone) = end {
        debug!("the worker has stopped");
    }
    session.farewell(&mut events).await;
    drop(events);
    link.abort();
}

fn greeting(options: &Options, machine: &Machine, worker: &WorkerHandle) -> Hello {
    let (store_id, revision) = machine.taken();
    Hello {
        identity: Some(options.identity.clone()),
        incarnation: worker.incarnation().to_owned(),
        version: options.version.clone(),
        labels: options.labels.clone().into_iter().collect(),
        store_id: store_id.to_owned(),
        revision,
        says_goodbye: true,
        lapsed: machine.lapsed().to_owned(),
    }
}

impl Session {
    fn now(&self) -> Time {
        self.began.elapsed()
    }

    async fn serve(
        &mut self,
        boot: Vec<Effect>,
        events: &mut mpsc::Receiver<Event>,
        notices: &mut mpsc::Receiver<Notice>,
    ) -> Result<(), Gone> {
        self.perform(boot).await?;
        let mut heartbeat = tokio::time::interval(self.options.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = tokio::time::interval(guard::LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.machine.deadline().map(|t| self.began + t);
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.event(event).await?,
                    None => return Ok(()),
                },
                notice = notices.recv() => match notice {
                    Some(notice) => self.notice(notice).await?,
                    None => return Ok(()),
                },
                () = at(due) => {
                    let effects = self.machine.tick(self.now());
                    self.perform(effects).await?;
                }
                _ = looks.tick() => self.look().await?,
                _ = heartbeat.tick() => self.heartbeat().await?,
                permit = self.permit() => self.send(permit),
            }
        }
    }

    /// Room on the stream, once there is something to send.
    async fn permit(&self) -> Option<mpsc::OwnedPermit<AgentMessage>> {
        match &self.up {
            Some(up) if !self.outgoing.is_empty() || self.outbox.has_next() => {
                up.clone().reserve_owned().await.ok()
            }
            _ => std::future::pending().await,
        }
    }

    fn send(&mut self, permit: Option<mpsc::OwnedPermit<AgentMessage>>) {
        let Some(permit) = permit else {
            // The stream is gone; its end is told by the link.
            self.up = None;
            return;
        };
        let window = || self.outbox.next_to_send().map(Message::Window);
        if let Some(message) = self.outgoing.pop_front().or_else(window) {
            permit.send(AgentMessage {
                message: Some(message),
            });
        }
    }

    async fn event(&mut self, event: Event) -> Result<(), Gone> {
        match event {
            Event::Up(up) => {
                info!(endpoint = %self.options.endpoint, "connected to the control plane");
                self.up = Some(up);
                self.outgoing.clear();
                self.outbox.rewind();
                self.view.send_modify(|view| {
                    view.connected = true;
                    view.problem = None;
                });
                let effects = self.machine.connected(self.worker.desired().generation);
                self.perform(effects).await?;
                self.heartbeat().await
            }
            Event::Down(problem) => {
                let told = self.view.borrow().problem.clone();
                if told.as_deref() != Some(&problem.to_string()) {
                    warn!("{problem}; the plan that runs stays");
                }
                self.up = None;
                self.view.send_modify(|view| {
                    view.connected = false;
                    view.problem = Some(problem.to_string());
                });
                Ok(())
            }
            Event::Ack(ack) => {
                self.outbox.acknowledge(&ack);
                Ok(())
            }
            Event::Desired(state) => {
                let effects = self.machine.desired(&state, self.now());
                let (store_id, revision) = self.machine.taken();
                let taken = (store_id.to_owned(), revision);
                self.hello.send_if_modified(|hello| {
                    let new = (hello.store_id.as_str(), hello.revision) != (&taken.0, taken.1);
                    (hello.store_id, hello.revision) = taken;
                    new
                });
                self.view.send_modify(|view| view.has_plan = true);
                self.perform(effects).await
            }
        }
    }

    async fn notice(&mut self, notice: Notice) -> Result<(), Gone> {
        match notice {
            Notice::Window(mut report) => {
                convert::fit(&mut report);
                let (now, lost) = (self.now(), self.outbox.lost());
                self.outbox.expire(now);
                self.outbox.add(*report, now);
                if self.outbox.lost() > lost {
                    warn!("window reports that the control plane did not take were given up");
                }
                Ok(())
            }
            Notice::CandidateEnded { experiment, breach } => {
                let took = self.watch.ended(&breach, self.now());
                let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                let stats = self.worker.stats();
                stats.rollback_millis.store(millis, Ordering::Relaxed);
                let generation = self.worker.desired().generation;
                let ended = self
                    .machine
                    .candidate_ended(&experiment, &breach, generation);
                self.perform(ended).await
            }
        }
    }

    async fn perform(&mut self, effects: Vec<Effect>) -> Result<(), Gone> {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Reseed(seed) => {
                    self.worker.reseed(seed).await?;
                }
                Effect::Swap { plan, trial } => {
                    let before = self.before(&plan);
                    self.watch.begin(trial.as_ref(), &before, self.now());
                    if let Some(before) = self.watch.before() {
                        effects.extend(self.machine.watched(before));
                    }
                    let experiment = trial.map(|t| Experiment {
                        id: t.id,
                        revision: t.revision,
                        window: t.window,
                    });
                    let generation = self.worker.swap(plan, experiment).await?;
                    self.imbalance = None;
                    let now = self.now();
                    effects.extend(self.machine.applied(generation, now));
                }
                Effect::Save(plans) => self.save(plans).await,
                Effect::Report(status) => self.report(status),
                Effect::Say { loud: true, text } => warn!("{text}"),
                Effect::Say { loud: false, text } => info!("{text}"),
            }
        }
        Ok(())
    }

    /// A plan that cannot be stored runs all the same: at worst the next boot passes through.
    async fn save(&self, state: plans::Plans) {
        let folder = self.options.state.clone();
        let saved = tokio::task::spawn_blocking(move || plans::save(&folder, &state)).await;
        match saved {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => error!("{problem}"),
            Err(problem) => error!("the plan could not be stored: {problem}"),
        }
    }

    fn report(&mut self, status: Status) {
        debug!(state = ?status.state(), hash = %status.hash, revision = status.revision, "status");
        if self.up.is_some() {
            self.outgoing.push_back(Message::Status(status));
        }
    }

    /// How the agent is without the candidate that is about to run.
    fn before(&self, plan: &Plan) -> Sample {
        Sample {
            rss_bytes: (self.options.vitals)().rss_bytes,
            export_errors: self.worker.export_errors(is_split(plan)),
            answers: self.worker.answers(),
            ..Sample::default()
        }
    }

    /// Looks for harm that a candidate does, whether or not anybody listens.
    async fn look(&mut self) -> Result<(), Gone> {
        if !self.watch.runs() {
            self.watch.idle(self.worker.answers(), self.now());
            return Ok(());
        }
        let figures = self.worker.figures().await?;
        if figures.desired.experiment.is_none() {
            // Ended a moment ago; the notice is on its way.
            return Ok(());
        }
        let candidate = figures.candidate.as_ref();
        let sample = Sample {
            watched: figures.watched,
            imbalance: candidate.map_or(0, |ledger| ledger.imbalance()),
            ..self.before(&figures.desired.plan)
        };
        if let Some(breach) = self.watch.look(&sample, self.now()) {
            self.worker.end_candidate(breach).await?;
        }
        Ok(())
    }

    /// Sends counters, and looks for harm that only the exact account shows.
    async fn heartbeat(&mut self) -> Result<(), Gone> {
        self.outbox.expire(self.now());
        let figures = self.worker.figures().await?;
        let imbalance = figures.baseline.imbalance();
        let before = *self.imbalance.get_or_insert(imbalance);
        if imbalance != before && self.machine.is_baking() {
            let reason = format!(
                "the ledger does not balance: {} points are not accounted for",
                imbalance - before
            );
            let effects = self.machine.harm(&reason);
            self.perform(effects).await?;
        }
        if self.up.is_some() {
            let vitals = (self.options.vitals)();
            self.outgoing
                .retain(|m| !matches!(m, Message::Heartbeat(_)));
            self.outgoing.push_back(Message::Heartbeat(Heartbeat {
                ledger: Some(convert::ledger(&figures.node)),
                series: figures.series_in,
                series_out: figures.series_out,
                bytes_in: figures.bytes_in,
                bytes_out: figures.bytes_out,
                requests_refused: self.worker.stats().requests_refused.load(Ordering::Relaxed),
                queue_bytes: vitals.queue_bytes,
                rss_bytes: vitals.rss_bytes,
                cpu_seconds: vitals.cpu_seconds,
                uptime_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
                generation: figures.desired.generation,
            }));
        }
        Ok(())
    }

    /// The worker has stopped: its last reports are still to be delivered.
    async fn farewell(&mut self, events: &mut mpsc::Receiver<Event>) {
        let end = Instant::now() + FAREWELL;
        while self.up.is_some() && !(self.outgoing.is_empty() && self.outbox.is_empty()) {
            tokio::select! {
                () = tokio::time::sleep_until(end) => break,
                permit = self.permit() => self.send(permit),
                event = events.recv() => match event {
                    Some(Event::Ack(ack)) => self.outbox.acknowledge(&ack),
                    Some(Event::Down(_)) | None => self.up = None,
                    Some(_) => {}
                },
            }
        }
        if !self.outbox.is_empty() {
            warn!("{} window reports were not acknowledged", self.outbox.len());
        }
        // Without it the server would take this end for a death.
        if let Some(up) = self.up.take() {
            let message = Some(Message::Goodbye(Goodbye {}));
            let goodbye = async {
                let _ = up.send(AgentMessage { message }).await;
                // The server ends the stream once it has read it.
                drop(up);
                while let Some(event) = events.recv().await {
                    if matches!(event, Event::Down(_)) {
                        break;
                    }
                }
            };
            let _ = tokio::time::timeout(FAREWELL, goodbye).await;
        }
    }
}

fn is_split(plan: &Plan) -> bool {
    let candidate = plan.candidate.as_ref();
    candidate.is_some_and(|c| matches!(c.division, Division::Split { .. }))
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
