//! One scan of all processes: read, filter, write, with buffers that are used again.

use super::HostError;
use super::parse::{self, Stat};
use super::read::{self, Entries, Missing};
use super::rules::Rules;
use super::users::Users;
use super::write::{Process, Writer};
use crate::settings::HostReceiver;
use phoenix_engine::Nanos;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A request is handed over when it has grown to this.
const REQUEST: usize = 1 << 20;

/// What a scan saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Processes written.
    pub processes: u64,
    /// Points written.
    pub points: u64,
    /// Processes that vanished while they were read, or that may not be read at all.
    pub skipped: u64,
}

/// CPU time at the last scan, for the share since then.
#[derive(Debug, Clone, Copy)]
struct Before {
    start: u64,
    ticks: [u64; 3],
    time: Nanos,
    scan: u64,
}

/// The machine, read anew for each scan.
#[derive(Debug, Clone, Copy)]
struct Machine {
    boot: u64,
    cpus: u32,
    memory: u64,
    /// Clock ticks a second.
    ticks: u64,
    /// Bytes of a page.
    page: u64,
}

impl Machine {
    /// To the millisecond and by the Collector's arithmetic, so that both give one start time.
    fn started(self, stat: &Stat<'_>) -> Nanos {
        (stat.start * 1000 / self.ticks + self.boot * 1000) * 1_000_000
    }

    fn seconds(self, ticks: [u64; 3]) -> [f64; 3] {
        ticks.map(|t| t as f64 / self.ticks as f64)
    }

    /// Share of all CPUs between two scans.
    fn share(self, before: Before, now: Before) -> [f64; 3] {
        let elapsed = now.time.saturating_sub(before.time) as f64 / 1e9;
        if elapsed <= 0.0 {
            return [0.0; 3];
        }
        let (old, mut share) = (self.seconds(before.ticks), self.seconds(now.ticks));
        for (share, old) in share.iter_mut().zip(old) {
            *share = (*share - old) / elapsed / f64::from(self.cpus);
        }
        share
    }

    /// In percent and in single precision, as the Collector has it (its unit says otherwise).
    fn percent(self, resident: u64) -> f64 {
        f64::from(100.0 * resident as f32 / self.memory as f32)
    }
}

#[derive(Debug, Default)]
struct Buffers {
    stat: Vec<u8>,
    file: Vec<u8>,
    command: Vec<u8>,
    path: Vec<u8>,
    name: String,
}

/// Reads this machine's processes again and again.
pub struct Scanner {
    root: PathBuf,
    proc: OwnedFd,
    rules: Rules,
    users: Users,
    writer: Writer,
    before: HashMap<i64, Before>,
    scan: u64,
    entries: Entries,
    pids: Vec<i64>,
    buffers: Buffers,
    out: Vec<u8>,
}

impl Scanner {
    /// Opens the proc file system under `root_path`. `node` stands in where the host has no name.
    ///
    /// # Errors
    /// No proc file system there, or rules that cannot be understood.
    pub fn open(settings: &HostReceiver, node: &str) -> Result<Scanner, HostError> {
        let path = settings.root_path.join("proc");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| HostError::Proc {
            path,
            source: e.into(),
        })?;
        let rules =
            Rules::compile(&settings.include, &settings.exclude).map_err(HostError::Rules)?;
        let mut scanner = Scanner {
            writer: Writer::new(host_name(&settings.root_path).unwrap_or_else(|| node.to_owned())),
            users: Users::of(&settings.root_path),
            root: settings.root_path.clone(),
            proc,
            rules,
            before: HashMap::new(),
            scan: 0,
            entries: Entries::new(),
            pids: Vec::new(),
            buffers: Buffers::default(),
            out: Vec::new(),
        };
        scanner.machine()?;
        Ok(scanner)
    }

    /// Reads every process; `take` gets requests of about a MiB, valid each by itself.
    ///
    /// # Errors
    /// The proc file system itself cannot be read any more.
    pub fn scan(
        &mut self,
        mut now: impl FnMut() -> Nanos,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Scanned, HostError> {
        let machine = self.machine()?;
        self.users.refresh();
        self.scan += 1;
        self.list()?;
        let mut scanned = Scanned::default();
        self.out.clear();
        let pids = std::mem::take(&mut self.pids);
        for &pid in &pids {
            match self.process(pid, machine, &mut now) {
                Ok(Some(points)) => {
                    scanned.processes += 1;
                    scanned.points += points;
                }
                Ok(None) => {}
                Err(_) => scanned.skipped += 1,
            }
            if self.out.len() >= REQUEST {
                take(&self.out);
                self.out.clear();
            }
        }
        self.pids = pids;
        if !self.out.is_empty() {
            take(&self.out);
        }
        let scan = self.scan;
        self.before.retain(|_, before| before.scan == scan);
        Ok(scanned)
    }

    fn error(&self, file: &str, kind: std::io::ErrorKind) -> HostError {
        HostError::Proc {
            path: self.root.join("proc").join(file),
            source: kind.into(),
        }
    }

    fn machine(&mut self) -> Result<Machine, HostError> {
        let mut text = std::mem::take(&mut self.buffers.file);
        let stat = read::read(&self.proc, "stat", &mut text)
            .ok()
            .and_then(|()| parse::machine(&text));
        let memory = read::read(&self.proc, "meminfo", &mut text)
            .ok()
            .and_then(|()| parse::total_memory(&text));
        self.buffers.file = text;
        let missing = |file| self.error(file, std::io::ErrorKind::InvalidData);
        let (boot, cpus) = stat.ok_or_else(|| missing("stat"))?;
        let memory = memory.ok_or_else(|| missing("meminfo"))?;
        Ok(Machine {
            boot,
            cpus,
            memory,
            ticks: rustix::param::clock_ticks_per_second().max(1),
            page: rustix::param::page_size() as u64,
        })
    }

    fn list(&mut self) -> Result<(), HostError> {
        let Scanner {
            entries,
            pids,
            proc,
            ..
        } = self;
        pids.clear();
        // Seeking back to the start is not enough for proc: a new descriptor sees a new list.
        let listed = read::open_folder(&*proc, ".").and_then(|folder| {
            entries.list(folder, |name| {
                let digits = std::str::from_utf8(name).ok();
                pids.extend(digits.and_then(|d| d.parse::<i64>().ok()));
            })
        });
        listed.map_err(|e| self.error("", e.kind()))
    }

    /// Writes one process; `None` where the rules leave it out.
    fn process(
        &mut self,
        pid: i64,
        machine: Machine,
        now: &mut impl FnMut() -> Nanos,
    ) -> Result<Option<u64>, Missing> {
        let buffers = &mut self.buffers;
        let mut number = [0u8; 20];
        let folder = read::open_folder(&self.proc, decimal(pid, &mut number))?;
        read::read(&folder, "stat", &mut buffers.stat)?;
        let stat = parse::stat(&buffers.stat).ok_or(Missing::Unreadable)?;
        read::read(&folder, "status", &mut buffers.file)?;
        let status = parse::status(&buffers.file);
        let command = readable(read::read(&folder, "cmdline", &mut buffers.command))?;
        let (first, line) = command_line(&mut buffers.command);
        let line = String::from_utf8_lossy(line);
        let first = line.get(..first).unwrap_or(&line);
        name(&stat, first, &mut buffers.name);
        let owner = status.uid.and_then(|uid| self.users.name(uid));
        if !self.rules.allow(&buffers.name, owner, &line) {
            return Ok(None);
        }
        read::link(&folder, "exe", &mut buffers.path);
        let disk = disk(&folder, &mut buffers.file)?;
        let files = open_files(&folder, &mut self.entries)?;
        let now = Before {
            start: stat.start,
            ticks: [stat.user, stat.system, stat.wait],
            time: now(),
            scan: self.scan,
        };
        // The same number with another start is another process.
        let before = self.before.insert(pid, now);
        let before = before.filter(|b| b.start == stat.start);
        let resident = stat.resident_pages * machine.page;
        let process = Process {
            pid,
            parent: stat.parent,
            name: &buffers.name,
            path: &String::from_utf8_lossy(&buffers.path),
            command: command.map(|()| (first, &*line)),
            owner,
            start: machine.started(&stat),
            time: now.time,
            switches: status.involuntary.zip(status.voluntary).map(Into::into),
            cpu: machine.seconds(now.ticks),
            cpu_share: before.map(|before| machine.share(before, now)),
            disk,
            resident,
            memory_percent: machine.percent(resident),
            virtual_bytes: stat.virtual_bytes,
            files,
            faults: [stat.major_faults, stat.minor_faults],
            threads: stat.threads,
        };
        Ok(Some(self.writer.write(&mut self.out, &process)))
    }
}

/// Bytes read and written, operations read and written.
fn disk(folder: &OwnedFd, buffer: &mut Vec<u8>) -> Result<Option<[u64; 4]>, Missing> {
    let read = readable(read::read(folder, "io", buffer))?;
    let io = read.and_then(|()| parse::io(buffer));
    Ok(io.map(|io| [io.read_bytes, io.write_bytes, io.reads, io.writes]))
}

/// Open file descriptors.
fn open_files(folder: &OwnedFd, entries: &mut Entries) -> Result<Option<u64>, Missing> {
    let mut count = 0;
    let listed = read::open_folder(folder, "fd").and_then(|f| entries.list(f, |_| count += 1));
    Ok(readable(listed.map_err(Missing::from))?.map(|()| count))
}

/// What may not be read is absent; what is gone ends the process' turn.
fn readable<T>(result: Result<T, Missing>) -> Result<Option<T>, Missing> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Missing::Unreadable) => Ok(None),
        Err(Missing::Gone) => Err(Missing::Gone),
    }
}

/// The kernel cuts names at 15 bytes; the command line may know the rest.
fn name(stat: &Stat<'_>, command: &str, name: &mut String) {
    name.clear();
    let comm = String::from_utf8_lossy(stat.comm);
    let longer = command.trim_end_matches('/').rsplit('/').next();
    match longer.filter(|l| comm.len() >= 15 && l.starts_with(&*comm)) {
        Some(longer) => name.push_str(longer),
        None => name.push_str(&comm),
    }
}

/// Turns the zero bytes between words into spaces; gives the length of the first word, too.
fn command_line(text: &mut Vec<u8>) -> (usize, &[u8]) {
    while text.last() == Some(&0) {
        text.pop();
    }
    let first = text.iter().position(|b| *b == 0).unwrap_or(text.len());
    for byte in text.iter_mut().filter(|b| **b == 0) {
        *byte = b' ';
    }
    let replaced = String::from_utf8_lossy(&text[..first]).len();
    (replaced, text)
}

fn decimal(mut value: i64, digits: &mut [u8; 20]) -> &str {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value.rem_euclid(10)).unwrap_or(0);
        value /= 10;
        if value == 0 || at == 0 {
            break;
        }
    }
    std::str::from_utf8(&digits[at..]).unwrap_or("0")
}

/// The host's name. Under a mounted root, /proc would give the container's, so its file is asked.
fn host_name(root: &Path) -> Option<String> {
    let file = if root == Path::new("/") {
        Cow::Borrowed(Path::new("/proc/sys/kernel/hostname"))
    } else {
        Cow::Owned(root.join("etc/hostname"))
    };
    let name = std::fs::read_to_string(file).ok()?;
    Some(name.trim().to_owned()).filter(|n| !n.is_empty())
}
