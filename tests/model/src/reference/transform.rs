//! The transform stage: other names and attributes, written from its page. No state.

use super::Counts;
use super::document::{Aggregate, Match, Op, Place, Stage, Texts};
use super::identity::{Attributes, Identity, Kind, Temporality, Val, sort};
use super::matcher;
use super::point::{Company, Point};
use std::collections::BTreeSet;
use std::rc::Rc;

/// One transform stage.
#[derive(Debug, Clone)]
pub struct Transform {
    matching: Match,
    ops: Vec<Op>,
    /// The aggregation behind that adds up what lossy operations make equal.
    merged: Option<Aggregate>,
    pub counts: Counts,
}

/// A series on its way through the operations.
struct Work {
    id: Identity,
    company: Company,
    changed: bool,
    notes: BTreeSet<&'static str>,
}

impl Transform {
    /// `behind`: the stages after it.
    pub fn new(spec: &super::document::Transform, behind: &[Stage]) -> Transform {
        let any = |rule: &Match| {
            let star = |texts: &Texts| texts.list() == ["*"];
            let bare = Match {
                metric: None,
                ..rule.clone()
            };
            bare == Match::default() && rule.metric.as_ref().is_none_or(star)
        };
        let takes_all = |rule: &Match| any(rule) || (*rule == spec.matching && spec.keeps_match());
        let aggregate = behind
            .iter()
            .filter_map(|stage| stage.aggregate.as_ref())
            .find(|aggregate| takes_all(&aggregate.matching) && !aggregate.keep_original);
        Transform {
            matching: spec.matching.clone(),
            ops: spec.ops.clone(),
            merged: aggregate.cloned(),
            counts: Counts::new(),
        }
    }

    /// What the point is called from here on.
    pub fn take(&mut self, point: Point) -> Point {
        let (point, notes) = self.changed(point);
        for note in notes {
            *self.counts.entry(note).or_insert(0) += 1;
        }
        point
    }

    /// What a series is called from here on.
    pub fn renames(&self, id: &Rc<Identity>) -> Rc<Identity> {
        let company = Company::default();
        Rc::new(self.work(id, &company).id)
    }

    fn changed(&self, mut point: Point) -> (Point, BTreeSet<&'static str>) {
        let mut work = self.work(&point.identity, &point.company);
        if work.changed {
            work.notes.insert("transformed");
            point.identity = Rc::new(work.id);
            point.company = Rc::new(work.company);
        }
        (point, work.notes)
    }

    fn work(&self, id: &Identity, company: &Company) -> Work {
        let mut work = Work {
            id: id.clone(),
            company: company.clone(),
            changed: false,
            notes: BTreeSet::new(),
        };
        if matcher::matches(&self.matching, id) {
            for op in &self.ops {
                self.step(op, &mut work);
            }
        }
        work
    }

    fn step(&self, op: &Op, work: &mut Work) {
        let before = work.id.clone();
        let mut after = before.clone();
        let mut gone = None;
        let mut lossy = false;
        if let Some(rename) = &op.rename_metric {
            after.name = match &rename.from {
                None => rename.to.replace("{name}", &before.name),
                Some(from) => match from.split_once('*') {
                    None if *from == before.name => rename.to.clone(),
                    Some((start, end))
                        if before.name.len() >= start.len() + end.len()
                            && before.name.starts_with(start)
                            && before.name.ends_with(end) =>
                    {
                        let middle = &before.name[start.len()..before.name.len() - end.len()];
                        rename.to.replace('*', middle)
                    }
                    _ => before.name.clone(),
                },
            };
            let whole = !rename.to.contains("{name}") && !rename.to.contains('*');
            let from_one = rename.from.as_ref().is_some_and(|from| !from.contains('*'));
            lossy = whole && !from_one && !self.one_metric();
        }
        if let Some(rename) = &op.rename_attribute
            && let Some(level) = place(&before, &rename.from)
        {
            if before.lookup(&rename.to).is_some() {
                work.notes.insert("attribute_exists");
                return;
            }
            for entry in on(&mut after, level) {
                if entry.0 == rename.from {
                    entry.0.clone_from(&rename.to);
                }
            }
            gone = (level == Place::Resource).then(|| rename.from.clone());
        }
        if let Some(set) = &op.set {
            let value = value(&set.value);
            match place(&before, &set.attribute) {
                None => {
                    let level = set.level.unwrap_or(Place::Point);
                    add(&mut after, level, &set.attribute, value);
                    // Those that have it already get the same value.
                    lossy = set.overwrite;
                }
                Some(_) if before.lookup(&set.attribute) == Some(&value) => {}
                Some(level) if set.overwrite => {
                    replace(&mut after, level, &set.attribute, value);
                    lossy = true;
                }
                Some(_) => {
                    work.notes.insert("attribute_exists");
                    return;
                }
            }
        }
        if let Some(copy) = &op.copy
            && let Some(level) = place(&before, &copy.from)
        {
            if before.lookup(&copy.to).is_some() {
                work.notes.insert("attribute_exists");
                return;
            }
            let value = before.lookup(&copy.from).expect("found").clone();
            add(&mut after, copy.level.unwrap_or(level), &copy.to, value);
        }
        if let Some(remove) = &op.remove {
            let level = match remove.level {
                Some(level)
                    if on(&mut after, level)
                        .iter()
                        .any(|(k, _)| *k == remove.attribute) =>
                {
                    Some(level)
                }
                Some(_) => None,
                None => place(&before, &remove.attribute),
            };
            if let Some(level) = level {
                let list = on(&mut after, level);
                let found = list.iter().find(|(k, _)| *k == remove.attribute);
                if found.is_some_and(|(_, v)| *v != value(&remove.constant)) {
                    work.notes.insert("not_constant");
                    return;
                }
                list.retain(|(k, _)| *k != remove.attribute);
                gone = (level == Place::Resource).then(|| remove.attribute.clone());
            }
        }
        if let Some(normalise) = &op.normalise
            && let Some(Val::Str(text)) = before.lookup(&normalise.attribute)
            && let Some(level) = place(&before, &normalise.attribute)
        {
            let mut text = text.clone();
            for rule in &normalise.rules {
                let bare = rule.replace.trim_matches('/');
                let expression = regex::Regex::new(bare).expect("an expression");
                text = expression
                    .replace_all(&text, rule.with.as_str())
                    .into_owned();
            }
            let text = scan(&text, &normalise.patterns);
            replace(&mut after, level, &normalise.attribute, Val::Str(text));
            lossy = true;
        }
        if let Some(classify) = &op.classify {
            let class = classify
                .rules
                .iter()
                .find(|rule| matcher::matches(&rule.matching, &before))
                .map(|rule| rule.class.clone())
                .or_else(|| classify.otherwise.clone());
            if let Some(class) = class {
                if before.lookup(&classify.into).is_some() {
                    work.notes.insert("attribute_exists");
                    return;
                }
                let level = classify.level.unwrap_or(Place::Point);
                add(&mut after, level, &classify.into, Val::Str(class));
            }
        }
        if after == before {
            return;
        }
        if lossy && !adds_up(&before, self.merged.as_ref()) {
            work.notes.insert("not_aggregated");
            return;
        }
        if let Some(key) = gone {
            work.company.entity_refs.retain(|r| {
                let mut keys = r.id_keys.iter().chain(&r.description_keys);
                keys.all(|k| *k != key)
            });
        }
        for level in [Place::Point, Place::Scope, Place::Resource] {
            sort(on(&mut after, level));
        }
        work.id = after;
        work.changed = true;
    }

    /// Whether `match` lets in just one metric.
    fn one_metric(&self) -> bool {
        self.matching.metric.as_ref().is_some_and(|texts| {
            let list = texts.list();
            list.len() == 1 && !list[0].contains(['*', '?']) && !list[0].starts_with('/')
        })
    }
}

fn adds_up(id: &Identity, merged: Option<&Aggregate>) -> bool {
    let named = |spec: &Aggregate| {
        let mut named = spec.functions.iter();
        named.any(|f| matcher::fits(&Some(f.metric.clone()), Some(&id.name)))
    };
    match id.kind {
        Kind::Gauge => merged.is_some_and(|spec| spec.function.is_some() || named(spec)),
        Kind::Summary => merged.is_some_and(|spec| spec.summary.is_some()),
        _ => id.temporality != Temporality::Unspecified,
    }
}

fn on(id: &mut Identity, level: Place) -> &mut Attributes {
    match level {
        Place::Point => &mut id.attributes,
        Place::Scope => &mut id.scope_attributes,
        Place::Resource => &mut id.resource,
    }
}

fn place(id: &Identity, key: &str) -> Option<Place> {
    let has = |list: &Attributes| list.iter().any(|(k, _)| k == key);
    if has(&id.attributes) {
        Some(Place::Point)
    } else if has(&id.scope_attributes) {
        Some(Place::Scope)
    } else {
        has(&id.resource).then_some(Place::Resource)
    }
}

fn add(id: &mut Identity, level: Place, key: &str, value: Val) {
    on(id, level).push((key.into(), value));
}

fn replace(id: &mut Identity, level: Place, key: &str, value: Val) {
    for entry in on(id, level) {
        if entry.0 == key {
            entry.1 = value.clone();
        }
    }
}

fn value(written: &serde_yaml::Value) -> Val {
    match written {
        serde_yaml::Value::String(s) => Val::Str(s.clone()),
        serde_yaml::Value::Bool(b) => Val::Bool(*b),
        serde_yaml::Value::Number(n) => match n.as_i64() {
            Some(i) => Val::Int(i),
            None => Val::Double(n.as_f64().expect("a number").to_bits()),
        },
        other => panic!("no value: {other:?}"),
    }
}

/// The table of built-in patterns, the first that fits at a place, from left to right.
pub fn scan(text: &str, patterns: &[String]) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < chars.len() {
        let order = ["uuids", "versions", "ids", "hex", "numbers"];
        let wanted = order
            .iter()
            .filter(|name| patterns.iter().any(|p| p == *name));
        let found = wanted
            .filter_map(|name| Some((fit(name, &chars, at)?, *name)))
            .next();
        match found {
            None => {
                out.push(chars[at]);
                at += 1;
            }
            Some((length, name)) => {
                out += match name {
                    "uuids" => "{uuid}",
                    "versions" => "{version}",
                    "ids" => "{id}",
                    "hex" => "{hex}",
                    _ => "{n}",
                };
                at += length;
            }
        }
    }
    out
}

/// A letter of ASCII, a digit, or anything beyond ASCII.
fn solid(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii()
}

/// How many characters a pattern takes at a place: the longest that touches nothing.
fn fit(name: &str, chars: &[char], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).map(|at| chars[at]);
    let touching = before.is_some_and(solid);
    let part = |length: usize| -> String { chars[at..at + length].iter().collect() };
    let free = |length: usize| chars.get(at + length).is_none_or(|c| !solid(*c));
    let word = (at..chars.len()).take_while(|i| solid(chars[*i])).count();
    match name {
        "uuids" => {
            let long = chars.len() - at >= 36;
            (!touching && long && uuid(&part(36)) && free(36)).then_some(36)
        }
        "versions" => {
            let digit_before = before.is_some_and(|c| c.is_ascii_digit());
            let in_number = before == Some('.') && at >= 2 && chars[at - 2].is_ascii_digit();
            if digit_before || in_number || (chars[at].eq_ignore_ascii_case(&'v') && touching) {
                return None;
            }
            let plain = matching(r"^[vV]?[0-9]+(\.[0-9]+)+", &chars[at..])?;
            if !free(plain) {
                return None;
            }
            let suffix = r"(?i)^-(alpha|beta|rc|dev|pre|snapshot|final|release)(\.?[0-9])*";
            let more = matching(suffix, &chars[at + plain..]).unwrap_or(0);
            Some(plain + if free(plain + more) { more } else { 0 })
        }
        "ids" => {
            let parts = "/?#&=:;, \t\n\r";
            if before.is_some_and(|c| !parts.contains(c)) {
                return None;
            }
            let end = (at..chars.len())
                .take_while(|i| !parts.contains(chars[*i]))
                .count();
            let segment = part(end);
            let digits = segment.chars().filter(char::is_ascii_digit).count();
            let all_digits = end > 0 && digits == end;
            let long =
                end >= 16 && digits >= 2 && segment.chars().all(|c| c.is_ascii_alphanumeric());
            (all_digits || uuid(&segment) || hex(&segment) || long).then_some(end)
        }
        "hex" => (!touching && hex(&part(word))).then_some(word),
        _ => {
            let digits = part(word).chars().all(|c| c.is_ascii_digit());
            (!touching && word > 0 && digits).then_some(word)
        }
    }
}

fn matching(expression: &str, chars: &[char]) -> Option<usize> {
    let text: String = chars.iter().collect();
    let expression = regex::Regex::new(expression).expect("an expression");
    expression
        .find(&text)
        .map(|found| found.as_str().chars().count())
}

fn uuid(text: &str) -> bool {
    let expression = "^(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
    regex::Regex::new(expression)
        .expect("an expression")
        .is_match(text)
}

fn hex(text: &str) -> bool {
    let is = |c: char| c.is_ascii_hexdigit();
    if text.starts_with("0x") || text.starts_with("0X") {
        return text.len() > 2 && text[2..].chars().all(is);
    }
    let letter = text.chars().any(|c| c.is_ascii_alphabetic());
    let digit = text.chars().any(|c| c.is_ascii_digit());
    text.len() >= 8 && text.chars().all(is) && letter && digit
}

impl super::document::Transform {
    /// Whether what `match` asks for holds after the operations as well.
    fn keeps_match(&self) -> bool {
        let mut keys: Vec<&String> = Vec::new();
        for op in &self.ops {
            if op.rename_metric.is_some() {
                return false;
            }
            keys.extend(op.rename_attribute.iter().flat_map(|r| [&r.from, &r.to]));
            keys.extend(op.set.iter().map(|s| &s.attribute));
            keys.extend(op.copy.iter().map(|c| &c.to));
            keys.extend(op.remove.iter().map(|r| &r.attribute));
            keys.extend(op.normalise.iter().map(|n| &n.attribute));
            keys.extend(op.classify.iter().map(|c| &c.into));
        }
        keys.iter()
            .all(|key| !self.matching.attributes.contains_key(*key))
    }
}
