//! Parsers of /proc texts: over bytes, without allocation; a text of another shape gives `None`.

/// What is used of `/proc/PID/stat`; sizes in bytes, times in clock ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat<'a> {
    pub comm: &'a [u8],
    pub parent: i64,
    pub minor_faults: u64,
    pub major_faults: u64,
    pub user: u64,
    pub system: u64,
    pub threads: u64,
    /// Since boot.
    pub start: u64,
    pub virtual_bytes: u64,
    pub resident_pages: u64,
    /// Delay of block I/O, which the Collector calls `wait`; 0 where the kernel does not say.
    pub wait: u64,
}

/// The command is in parentheses and may hold any byte, parentheses too: the last one ends it.
pub(super) fn stat(text: &[u8]) -> Option<Stat<'_>> {
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')')?;
    let comm = text.get(open + 1..close)?;
    let mut fields = [0i128; 43];
    let rest = text.get(close + 1..)?;
    // Field 3 is the state's letter; numbers begin at 4.
    let mut index = 3;
    for word in words(rest) {
        if index > 3 && index < fields.len() {
            fields[index] = number(word)?;
        }
        index += 1;
    }
    if index <= 24 {
        return None;
    }
    let field = |at: usize| u64::try_from(fields[at]).ok();
    Some(Stat {
        comm,
        parent: i64::try_from(fields[4]).ok()?,
        minor_faults: field(10)?,
        major_faults: field(12)?,
        user: field(14)?,
        system: field(15)?,
        threads: field(20)?,
        start: field(22)?,
        virtual_bytes: field(23)?,
        resident_pages: field(24)?,
        wait: field(42)?,
    })
}

/// What is used of `/proc/PID/status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// The real user.
    pub uid: Option<u32>,
    pub voluntary: Option<u64>,
    pub involuntary: Option<u64>,
}

pub(super) fn status(text: &[u8]) -> Status {
    let mut status = Status::default();
    for line in text.split(|b| *b == b'\n') {
        if let Some(rest) = line.strip_prefix(b"Uid:") {
            status.uid = first(rest).and_then(|n| u32::try_from(n).ok());
        } else if let Some(rest) = line.strip_prefix(b"voluntary_ctxt_switches:") {
            status.voluntary = first(rest);
        } else if let Some(rest) = line.strip_prefix(b"nonvoluntary_ctxt_switches:") {
            status.involuntary = first(rest);
        }
    }
    status
}

/// What is used of `/proc/PID/io`: what the process asked for, whether or not a disk was touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Io {
    pub read_bytes: u64,
    pub write_bytes: u64,
    pub reads: u64,
    pub writes: u64,
}

pub(super) fn io(text: &[u8]) -> Option<Io> {
    let mut found = [None; 4];
    for line in text.split(|b| *b == b'\n') {
        for (slot, name) in [&b"rchar:"[..], b"wchar:", b"syscr:", b"syscw:"]
            .iter()
            .enumerate()
        {
            if let Some(rest) = line.strip_prefix(*name) {
                found[slot] = first(rest);
            }
        }
    }
    Some(Io {
        read_bytes: found[0]?,
        write_bytes: found[1]?,
        reads: found[2]?,
        writes: found[3]?,
    })
}

/// What is used of `/proc/stat`: when the machine booted (Unix seconds) and how many CPUs it has.
pub(super) fn machine(text: &[u8]) -> Option<(u64, u32)> {
    let (mut boot, mut cpus) = (None, 0);
    for line in text.split(|b| *b == b'\n') {
        if let Some(rest) = line.strip_prefix(b"cpu") {
            cpus += u32::from(rest.first().is_some_and(u8::is_ascii_digit));
        } else if let Some(rest) = line.strip_prefix(b"btime") {
            boot = first(rest);
        }
    }
    Some((boot?, cpus)).filter(|(_, cpus)| *cpus > 0)
}

/// Total memory from `/proc/meminfo`, bytes.
pub(super) fn total_memory(text: &[u8]) -> Option<u64> {
    let line = text
        .split(|b| *b == b'\n')
        .find_map(|line| line.strip_prefix(b"MemTotal:"))?;
    first(line)?.checked_mul(1024)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| b.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
}

fn first(text: &[u8]) -> Option<u64> {
    u64::try_from(number(words(text).next()?)?).ok()
}

fn number(word: &[u8]) -> Option<i128> {
    let (negative, digits) = match word.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, word),
    };
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    let mut value = 0i128;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i128::from(digit - b'0');
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_command_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = b"42 (a) b (c)) S 1 42 42 0 -1 4194560 100 7 3 1 250 50 9 9 20 0 4 0 9876 1048576 256 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 12 0 0\n";
        let stat = stat(text).unwrap();
        assert_eq!(stat.comm, b"a) b (c)");
        assert_eq!(
            (stat.parent, stat.minor_faults, stat.major_faults),
            (1, 100, 3)
        );
        assert_eq!((stat.user, stat.system, stat.wait), (250, 50, 12));
        assert_eq!((stat.threads, stat.start), (4, 9876));
        assert_eq!((stat.virtual_bytes, stat.resident_pages), (1_048_576, 256));
    }

    #[test]
    fn texts_that_end_too_early_are_nothing() {
        assert_eq!(stat(b""), None);
        assert_eq!(stat(b"1 (x) S 1 2 3"), None);
        assert_eq!(stat(b"1 )x( S"), None);
        assert_eq!(io(b"rchar: 1\nwchar: 2\nsyscr: 3\n"), None);
        assert_eq!(io(b"rchar: 1\nwchar: 2\nsyscr: x\nsyscw: 4\n"), None);
        assert_eq!(machine(b"cpu  1 2\nbtime 5\n"), None);
        assert_eq!(status(b"Name:\tx\n"), Status::default());
    }

    #[test]
    fn status_io_and_machine_are_read_by_name() {
        let text = b"Name:\tx\nUid:\t1000\t0\t0\t0\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t6\n";
        let expected = Status {
            uid: Some(1000),
            voluntary: Some(5),
            involuntary: Some(6),
        };
        assert_eq!(status(text), expected);
        let text = b"rchar: 10\nwchar: 20\nsyscr: 3\nsyscw: 4\nread_bytes: 0\n";
        let expected = Io {
            read_bytes: 10,
            write_bytes: 20,
            reads: 3,
            writes: 4,
        };
        assert_eq!(io(text), Some(expected));
        assert_eq!(
            machine(b"cpu  1\ncpu0 1\ncpu1 1\nintr 5\nbtime 77\n"),
            Some((77, 2))
        );
        assert_eq!(total_memory(b"MemTotal:       16 kB\n"), Some(16_384));
    }
}
