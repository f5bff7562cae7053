//! Reads files of a proc file system relative to open folders, into buffers of the caller.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::mem::MaybeUninit;

/// Bytes of directory entries read in one call.
const ENTRIES: usize = 32 * 1024;
/// A command line longer than this is cut, as is anything else in /proc.
const FILE_MAX: usize = 128 * 1024;

/// Why a file gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// The process is not there any more.
    Gone,
    /// It may not be read.
    Unreadable,
}

impl From<Errno> for Missing {
    fn from(errno: Errno) -> Missing {
        match errno {
            Errno::NOENT | Errno::SRCH => Missing::Gone,
            _ => Missing::Unreadable,
        }
    }
}

/// Room for directory entries, used again for each folder.
pub(super) struct Entries(Vec<MaybeUninit<u8>>);

impl Entries {
    pub(super) fn new() -> Entries {
        Entries(vec![MaybeUninit::uninit(); ENTRIES])
    }

    /// Calls `each` with every entry's name but `.` and `..`.
    pub(super) fn list(
        &mut self,
        folder: impl AsFd,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Errno> {
        let mut entries = RawDir::new(folder, &mut self.0);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                each(name);
            }
        }
        Ok(())
    }
}

pub(super) fn open_folder(at: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Reads a whole file into `buffer`, in place of what it held.
pub(super) fn read(at: impl AsFd, name: &str, buffer: &mut Vec<u8>) -> Result<(), Missing> {
    buffer.clear();
    let file = rustix::fs::openat(at, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut filled = 0;
    loop {
        if buffer.len() - filled < 1024 {
            buffer.resize((buffer.len() * 2).max(4096), 0);
        }
        let count = match rustix::io::read(&file, &mut buffer[filled..]) {
            Ok(count) => count,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        filled += count;
        if count == 0 || filled >= FILE_MAX {
            buffer.truncate(filled);
            return Ok(());
        }
    }
}

/// The target of a link, or nothing where there is none (kernel threads) or it may not be read.
pub(super) fn link(at: impl AsFd, name: &str, buffer: &mut Vec<u8>) {
    let room = std::mem::take(buffer);
    if let Ok(target) = rustix::fs::readlinkat(at, name, room) {
        *buffer = target.into_bytes();
    }
}
