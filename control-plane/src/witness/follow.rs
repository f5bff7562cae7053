//! One step of an experiment that is followed: which windows were asked about, and what both accounts say.

use super::GRACE_MS;
use super::backends::Backends;
use super::client::{Answer, Client, Named, Silence};
use super::figures::{ARMS, Arm, Figure, figures, samples};
use crate::model::{Experiment, Witness};
use phoenix_analysis::Window;
use phoenix_analysis::query::alerts::{Course, is_evaluated};
use phoenix_analysis::query::fleet::Fleet;
use phoenix_analysis::query::rules::Rule;
use phoenix_analysis::query::vector::Vector;
use phoenix_analysis::witness::{GROUPS, Tally};
use phoenix_engine::prometheus::NAME;
use phoenix_engine::query::partial::Labels;
use std::collections::{BTreeMap, BTreeSet};

/// Windows that are asked about at once.
const MOST_WINDOWS: u64 = 100;
/// Metrics whose samples are asked for in one request.
const METRICS: usize = 50;
/// Metrics of one arm whose samples are asked for; with more, or with a longer name, they are not.
const MOST_METRICS: usize = 2000;
const NAME_BYTES: usize = 1000;
/// After a failure nothing is asked for so long.
const REST_MS: u64 = 5_000;

/// A step as it stands.
pub struct Run {
    pub revision: u64,
    pub step: String,
    pub from_ms: u64,
    /// `None`: it runs.
    pub until_ms: Option<u64>,
    /// That write from its beginning.
    pub agents: Vec<String>,
    /// Windows that a word needs.
    pub least: u64,
}

/// What was found of it so far.
pub struct Follow {
    pub agents: BTreeSet<String>,
    /// Windows up to here were asked about.
    pub until_ms: u64,
    /// By figure and arm.
    pub tallies: BTreeMap<Key, Tally>,
    /// Alerts: agents and backend; `None`: too many to be followed.
    pub courses: BTreeMap<Key, Option<Course>>,
    /// Why a figure of an arm could not be compared, the last time.
    pub reasons: BTreeMap<Key, String>,
    pub unreported: u64,
    pub version: Option<String>,
    knows_version: bool,
    /// Why the backend cannot be asked.
    pub away: Option<String>,
    rests_until_ms: u64,
    written: Option<Witness>,
    over: bool,
    told_over: bool,
    found_until_ms: u64,
}

/// A figure and an arm, by place.
pub type Key = (usize, usize);

/// One round's answers: taken all together, or none.
#[derive(Default)]
struct Round {
    answers: Vec<Both>,
    reasons: BTreeMap<Key, String>,
}

/// Both accounts of a figure of an arm.
struct Both {
    key: Key,
    /// It is an alert.
    rule: Option<Rule>,
    own: Answer,
    theirs: Answer,
}

impl Follow {
    pub fn new(run: &Run) -> Follow {
        Follow {
            agents: BTreeSet::new(),
            until_ms: run.from_ms,
            tallies: BTreeMap::new(),
            courses: BTreeMap::new(),
            reasons: BTreeMap::new(),
            unreported: 0,
            version: None,
            knows_version: false,
            away: None,
            rests_until_ms: 0,
            written: None,
            over: false,
            told_over: false,
            found_until_ms: 0,
        }
    }

    /// Ends of the windows that are to be asked about now: the first and the last.
    pub fn due(&self, e: &Experiment, run: &Run, now_ms: u64) -> Option<(u64, u64)> {
        let (window, delay) = (e.spec.window.0.max(1), e.spec.prometheus.as_ref()?.delay.0);
        if now_ms < self.rests_until_ms {
            return None;
        }
        let latest = now_ms
            .saturating_sub(delay)
            .min(run.until_ms.unwrap_or(u64::MAX));
        let first = (self.until_ms / window + 1) * window;
        let last = (latest / window * window).min(first + (MOST_WINDOWS - 1) * window);
        (first <= last).then_some((first, last))
    }

    /// Asks about every window that is due. After a failure it rests: from then on, not from when it asked.
    pub async fn ask(
        &mut self,
        e: &Experiment,
        run: &Run,
        backends: &Backends,
        windows: &[Window],
        clock: impl Fn() -> u64,
    ) {
        let Some((first, last)) = self.due(e, run, clock()) else {
            return;
        };
        match self.round(e, run, backends, windows, (first, last)).await {
            Ok(round) => {
                self.take(round, e.spec.window.0);
                (self.until_ms, self.away) = (last, None);
            }
            Err(reason) => {
                self.away = Some(reason);
                self.rests_until_ms = clock() + REST_MS;
            }
        }
    }

    async fn round(
        &mut self,
        e: &Experiment,
        run: &Run,
        backends: &Backends,
        windows: &[Window],
        (first, last): (u64, u64),
    ) -> Result<Round, String> {
        let Some(document) = &e.spec.prometheus else {
            return Ok(Round::default());
        };
        let client = Client::new(document, &backends.of(&document.url))?;
        if !self.knows_version {
            self.version = client.version().await.map_err(reason)?;
            self.knows_version = true;
        }
        let window = e.spec.window.0;
        let fleets = [0, 1].map(|side| Fleet::whole(window, side, windows, &self.agents));
        let mut round = Round::default();
        let mut names = [const { None }; 2];
        for (number, figure) in figures(&e.spec).iter().enumerate() {
            for (side, fleet) in fleets.iter().enumerate() {
                let key = (number, side);
                let own = match own(figure, fleet, side, (first, last), window) {
                    Ok(own) => own,
                    Err(why) => {
                        round.reasons.insert(key, why);
                        continue;
                    }
                };
                let (Some(from), Some(to)) = (own.keys().next(), own.keys().next_back()) else {
                    continue;
                };
                let arm = Arm {
                    backend: document,
                    side,
                    run: format!("{}/{}", e.id, run.revision),
                };
                let question = Question {
                    client: &client,
                    arm: &arm,
                    ends: (*from, *to),
                    window,
                    closed: self.closed(),
                };
                let answer = match figure.counts() {
                    true => question.count(figure, &own, &mut names[side]).await,
                    false => question.values(figure).await,
                };
                match answer {
                    Ok(theirs) => round.answers.push(Both {
                        key,
                        rule: figure.alert().cloned(),
                        own,
                        theirs,
                    }),
                    Err(Silence::Refused(why)) => {
                        round.reasons.insert(key, why);
                    }
                    Err(away) => return Err(reason(away)),
                }
            }
        }
        let begun = fleets.iter().filter_map(|f| f.known.first()).min();
        let ends = (first..=last).step_by(window as usize);
        let known = |end: &u64| fleets.iter().all(|f| f.known.contains(end));
        self.unreported += begun.map_or(0, |begun| {
            ends.filter(|end| end > begun && !known(end)).count() as u64
        });
        Ok(round)
    }

    fn take(&mut self, round: Round, window_ms: u64) {
        let none = Vector::new();
        for of in round.answers {
            self.reasons.remove(&of.key);
            for (end, own) in &of.own {
                let theirs = of.theirs.get(end).unwrap_or(&none);
                match &of.rule {
                    None => {
                        let tally = self.tallies.entry(of.key).or_default();
                        tally.add(*end, window_ms, own, theirs);
                    }
                    Some(rule) if is_evaluated(rule, window_ms, *end) => {
                        let followed = self.courses.entry(of.key);
                        let course = followed.or_insert_with(|| Some(Course::default()));
                        if let Some(course) = course {
                            course.step(rule, *end, [own.clone(), theirs.clone()]);
                        }
                        course.take_if(|course| course.size() > GROUPS);
                    }
                    Some(_) => {}
                }
            }
        }
        self.reasons.extend(round.reasons);
    }

    /// Whether the backend's ranges hold what lies on their left edge.
    pub fn closed(&self) -> bool {
        let major = self.version.as_ref().and_then(|v| v.split('.').next());
        major
            .and_then(|major| major.parse::<u32>().ok())
            .is_none_or(|major| major < 3)
    }

    /// Nothing more is asked once every window was, or it has been too long.
    pub fn end_if_over(&mut self, e: &Experiment, run: &Run, now_ms: u64) {
        let (Some(until), Some(document)) = (run.until_ms, &e.spec.prometheus) else {
            return;
        };
        let due = until + document.delay.0;
        let all = self.until_ms + e.spec.window.0 > until && now_ms >= due;
        self.over = all || now_ms > due + GRACE_MS;
    }

    /// Nothing more will be asked, and that is kept.
    pub fn is_over(&self) -> bool {
        self.told_over || (self.over && self.until_ms < self.found_until_ms)
    }

    /// What an earlier process wrote of it stands until as much was asked about again.
    pub fn found(&mut self, written: &Witness) {
        self.found_until_ms = written.until_ms;
    }

    /// Whether what is to be said is worth a write: another word, a reason why nothing is asked, what the backend
    /// is, the end, or twice as many windows.
    pub fn is_news(&self, said: &Witness) -> bool {
        if said.until_ms < self.found_until_ms {
            return false;
        }
        let Some(written) = &self.written else {
            return true;
        };
        let words = |w: &Witness| -> Vec<_> { w.figures.iter().map(|f| f.word).collect() };
        let windows = |w: &Witness| {
            let most = w.figures.iter().map(|f| f.windows).max();
            most.unwrap_or(0).checked_ilog2()
        };
        self.over && !self.told_over
            || written.word != said.word
            || words(written) != words(said)
            || written.version != said.version
            || windows(written) != windows(said)
            || (self.away.is_some() && written.reason != said.reason)
    }

    /// It was written.
    pub fn kept(&mut self, said: Witness) {
        self.written = Some(said);
        self.told_over = self.over;
    }
}

/// One figure of one arm, over some windows.
struct Question<'a> {
    client: &'a Client,
    arm: &'a Arm<'a>,
    ends: (u64, u64),
    window: u64,
    closed: bool,
}

impl Question<'_> {
    async fn values(&self, figure: &Figure) -> Result<Answer, Silence> {
        let expr = figure.expr(self.arm, self.window, self.closed);
        self.ask(&expr, Named::No).await
    }

    async fn ask(&self, expr: &str, named: Named) -> Result<Answer, Silence> {
        self.client.ask(expr, self.ends, self.window, named).await
    }

    /// Series, or samples: one number a window; nothing in the backend is 0. Series are told by metric, and
    /// samples asked for by the names that were told.
    async fn count(
        &self,
        figure: &Figure,
        own: &BTreeMap<u64, Vector>,
        names: &mut Option<Result<BTreeSet<String>, String>>,
    ) -> Result<Answer, Silence> {
        let mut sums: BTreeMap<u64, f64> = own.keys().map(|end| (*end, 0.0)).collect();
        let mut add = |answer: Answer| {
            for (end, values) in answer {
                if let Some(sum) = sums.get_mut(&end) {
                    *sum += values.values().sum::<f64>();
                }
            }
        };
        if figure.is_of_samples() {
            let all = match names {
                Some(Ok(names)) => Vec::from_iter(names.iter().cloned()),
                Some(Err(why)) => return Err(Silence::Refused(why.clone())),
                None => {
                    let why = "the backend did not tell which metrics there are";
                    return Err(Silence::Refused(why.into()));
                }
            };
            for metrics in all.chunks(METRICS) {
                let expr = samples(metrics, self.arm, self.window, self.closed);
                add(self.ask(&expr, Named::No).await?);
            }
        } else {
            let expr = figure.expr(self.arm, self.window, self.closed);
            let answer = self.ask(&expr, Named::Yes).await?;
            *names = Some(named(&answer));
            add(answer);
        }
        let of = |(end, sum)| (end, Vector::from([(Labels::new(), sum)]));
        Ok(sums.into_iter().map(of).collect())
    }
}

/// The metrics of an answer, if samples can be asked for by them.
fn named(answer: &Answer) -> Result<BTreeSet<String>, String> {
    let told = answer.values().flat_map(|values| values.keys());
    let names: BTreeSet<String> = told.filter_map(|l| l.get(NAME).cloned()).collect();
    if names.len() > MOST_METRICS {
        return Err(format!("more than {MOST_METRICS} metrics"));
    }
    match names.iter().any(|name| name.len() > NAME_BYTES) {
        true => Err(format!("a metric's name has more than {NAME_BYTES} bytes")),
        false => Ok(names),
    }
}

/// The agents' account at every end of a window from `first` to `last` at which it is whole.
fn own(
    figure: &Figure,
    fleet: &Fleet,
    side: usize,
    (first, last): (u64, u64),
    window: u64,
) -> Result<BTreeMap<u64, Vector>, String> {
    if let Some(why) = figure.alone() {
        return Err(why.into());
    }
    if let Some(why) = figure.unchecked(fleet) {
        return Err(format!("agents did not evaluate it: {why}"));
    }
    let ends = (first..=last).step_by(window.max(1) as usize);
    let own: BTreeMap<u64, Vector> = ends
        .filter_map(|end| Some((end, figure.own(fleet, side, end)?)))
        .collect();
    if own.is_empty() && figure.counts() && !fleet.known.is_empty() && fleet.volume.is_empty() {
        return Err(
            "an agent has more series than it counts, or is of a version that does not count them"
                .into(),
        );
    }
    Ok(own)
}

fn reason(silence: Silence) -> String {
    match silence {
        Silence::Away(why) | Silence::Refused(why) => why,
    }
}

/// Names of the arms, for what is shown.
pub fn arm(side: usize) -> &'static str {
    ARMS.get(side).copied().unwrap_or_default()
}

#[cfg(test)]
pub mod tests;
