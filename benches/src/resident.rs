//! Where the resident memory of a process lies: its program, the program's relocated data, libraries,
//! heap and stacks, from `/proc/PID/smaps`.

use anyhow::Context;
use std::path::Path;
use std::time::Duration;

/// Between two looks at how much is resident.
const LOOK: Duration = Duration::from_millis(20);
/// A new high that is smaller than this is not worth walking the page tables for.
const STEP: u64 = 128 * 1024;

/// Resident bytes by what they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resident {
    /// Code of the program, as in its file: the system can take it back.
    pub code: u64,
    /// Constants of the program, as in its file.
    pub constants: u64,
    /// Pages of the program that were written to, by relocation mostly.
    pub written: u64,
    /// Libraries and the loader.
    pub libraries: u64,
    /// Stacks that the system knows as such: the main thread's.
    pub stack: u64,
    /// Everything without a file: heap, the other threads' stacks.
    pub heap: u64,
}

impl Resident {
    /// All of it.
    pub fn all(&self) -> u64 {
        self.code + self.constants + self.written + self.libraries + self.stack + self.heap
    }

    /// Reads the text of a `smaps` file of a process that runs `program`.
    ///
    /// # Errors
    /// It has another form.
    pub fn parse(smaps: &str, program: &Path) -> anyhow::Result<Resident> {
        let program = program.to_str().context("UTF-8 path")?;
        let mut sum = Resident::default();
        let (mut permissions, mut file) = ("", "");
        let mut resident = 0;
        for line in smaps.lines() {
            let mut fields = line.split_ascii_whitespace();
            let first = fields.next().unwrap_or_default();
            if !first.ends_with(':') {
                // address permissions offset device inode [path]
                permissions = fields.next().context("permissions")?;
                file = fields.nth(3).unwrap_or_default();
                continue;
            }
            let mut bytes = || -> anyhow::Result<u64> {
                Ok(fields.next().context("a figure")?.parse::<u64>()? * 1024)
            };
            match first {
                "Rss:" => resident = bytes()?,
                "Anonymous:" => {
                    let own = bytes()?;
                    sum.add((permissions, file == program, file), resident, own);
                }
                _ => {}
            }
        }
        Ok(sum)
    }

    fn add(&mut self, (permissions, is_program, file): (&str, bool, &str), all: u64, own: u64) {
        let place = match (is_program, file) {
            (true, _) if permissions.contains('x') => &mut self.code,
            (true, _) => &mut self.constants,
            (false, "[stack]") => &mut self.stack,
            (false, "" | "[heap]") => &mut self.heap,
            (false, file) if file.starts_with("[anon") => &mut self.heap,
            (false, _) => &mut self.libraries,
        };
        if is_program {
            *place += all - own;
            self.written += own;
        } else {
            *place += all;
        }
    }
}

/// Follows a process until it ends or the task is dropped; what was resident at its highest.
#[derive(Debug, Default)]
pub struct Watch {
    /// The highest so far.
    pub highest: Resident,
}

impl Watch {
    /// Looks fifty times a second; the page tables are walked at new highs only.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub async fn follow(&mut self, process: u32) -> anyhow::Result<()> {
        let folder = std::path::PathBuf::from(format!("/proc/{process}"));
        let mut seen = 0;
        loop {
            let statm = std::fs::read_to_string(folder.join("statm"))?;
            let pages: u64 = statm.split_whitespace().nth(1).context("statm")?.parse()?;
            let now = pages * rustix::param::page_size() as u64;
            if now >= seen + STEP {
                seen = now;
                let program = std::fs::read_link(folder.join("exe"))?;
                let smaps = std::fs::read_to_string(folder.join("smaps"))?;
                let resident = Resident::parse(&smaps, &program)?;
                if resident.all() > self.highest.all() {
                    self.highest = resident;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_resident_page_of_this_process_is_counted_once() {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let program = std::env::current_exe().unwrap();
        let resident = Resident::parse(&smaps, &program).unwrap();
        let lines = smaps.lines().filter_map(|l| l.strip_prefix("Rss:"));
        let all: u64 = lines
            .map(|l| l.trim().trim_end_matches(" kB").parse::<u64>().unwrap())
            .sum();
        assert_eq!(resident.all(), all * 1024);
        for part in [resident.code, resident.libraries, resident.heap] {
            assert!(part > 0, "{resident:?}");
        }
    }

    #[test]
    fn pages_of_the_program_that_were_written_to_are_apart() {
        let smaps = "\
            55d0-55d1 r-xp 0000 fe:00 99  /bin/agent\n\
            Rss:                 100 kB\n\
            Anonymous:             0 kB\n\
            55d1-55d2 r--p 0000 fe:00 99  /bin/agent\n\
            Rss:                  50 kB\n\
            Anonymous:            40 kB\n\
            7f00-7f01 rw-p 0000 00:00 0\n\
            Rss:                   7 kB\n\
            Anonymous:             7 kB\n\
            7f00-7f01 rw-p 0000 00:00 0 [anon:glibc: malloc]\n\
            Rss:                   1 kB\n\
            Anonymous:             1 kB\n\
            7f00-7f01 r-xp 0000 fe:00 98  /lib/libc.so.6\n\
            Rss:                   3 kB\n\
            Anonymous:             1 kB\n";
        let resident = Resident::parse(smaps, Path::new("/bin/agent")).unwrap();
        let kib = |n: u64| n * 1024;
        assert_eq!(
            resident,
            Resident {
                code: kib(100),
                constants: kib(10),
                written: kib(40),
                libraries: kib(3),
                stack: 0,
                heap: kib(8),
            }
        );
    }
}
