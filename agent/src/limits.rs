//! What the process may use and what it uses: cgroup limit, resident bytes, CPU time.

use phoenix_engine::engine::meter::Reading;
use std::path::{Path, PathBuf};

/// Memory limit of this process's cgroup (v1 or v2), the smallest on the way to the root.
pub fn cgroup_memory() -> Option<usize> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    memory_limit(&own, Path::new("/sys/fs/cgroup"))
}

/// As `cgroup_memory`, with the content of `/proc/self/cgroup` and the mount point given.
fn memory_limit(own: &str, mount: &Path) -> Option<usize> {
    let mut smallest = None;
    for line in own.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(kind), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (root, file) = if kind.is_empty() {
            (mount.to_owned(), "memory.max")
        } else if kind.split(',').any(|k| k == "memory") {
            (mount.join("memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        for folder in ancestors(&root, path) {
            if let Some(limit) = read_limit(&folder.join(file)) {
                smallest = Some(smallest.map_or(limit, |s: usize| s.min(limit)));
            }
        }
    }
    smallest
}

/// The cgroup's folder and its parents up to the mount point. In a container the path may be that
/// of the host and not exist here: then only the mount point does.
fn ancestors(root: &Path, path: &str) -> Vec<PathBuf> {
    let mut folders = vec![root.to_owned()];
    let mut folder = root.to_owned();
    for part in path.split('/').filter(|p| !p.is_empty() && *p != "..") {
        folder.push(part);
        folders.push(folder.clone());
    }
    folders
}

/// "max" and the huge number that v1 writes both mean no limit.
fn read_limit(file: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(file).ok()?;
    text.trim().parse().ok().filter(|n| *n < 1 << 60)
}

/// Resident bytes of this process, shared pages (its own program text) included.
pub fn resident() -> Option<usize> {
    Some(resident_pages()?.0 * rustix::param::page_size())
}

/// Resident bytes that the system cannot take back: what the memory limit is about.
pub fn private() -> Option<usize> {
    let (all, shared) = resident_pages()?;
    Some(all.saturating_sub(shared) * rustix::param::page_size())
}

fn resident_pages() -> Option<(usize, usize)> {
    let status = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut fields = status.split_ascii_whitespace().skip(1);
    let resident = fields.next()?.parse().ok()?;
    Some((resident, fields.next()?.parse().ok()?))
}

/// CPU time of this process, seconds.
pub fn process_cpu() -> f64 {
    seconds(rustix::time::ClockId::ProcessCPUTime)
}

/// CPU time of the calling thread, seconds.
pub fn thread_cpu() -> f64 {
    seconds(rustix::time::ClockId::ThreadCPUTime)
}

/// CPU time of the calling thread and the time that passes, for the engine to measure arms by. The first
/// is a system call, the second is not.
pub fn reading() -> Reading {
    let nanos = |clock| {
        let time = rustix::time::clock_gettime(clock);
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
            + u64::try_from(time.tv_nsec).unwrap_or(0)
    };
    Reading {
        cpu: nanos(rustix::time::ClockId::ThreadCPUTime),
        wall: nanos(rustix::time::ClockId::Monotonic),
    }
}

fn seconds(clock: rustix::time::ClockId) -> f64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn the_smallest_limit_on_the_way_to_the_root_counts_in_v2() {
        let dir = folder(&[("a/memory.max", "67108864\n"), ("a/b/memory.max", "max\n")]);
        assert_eq!(memory_limit("0::/a/b\n", dir.path()), Some(67_108_864));
    }

    #[test]
    fn v1_writes_a_huge_number_for_no_limit() {
        let dir = folder(&[
            ("memory/memory.limit_in_bytes", "9223372036854771712"),
            ("memory/x/memory.limit_in_bytes", "1000000"),
        ]);
        assert_eq!(
            memory_limit("9:cpu:/\n5:memory:/x", dir.path()),
            Some(1_000_000)
        );
        assert_eq!(memory_limit("5:memory:/", dir.path()), None);
    }

    #[test]
    fn a_path_of_the_host_falls_back_to_the_mount_point() {
        let dir = folder(&[("memory/memory.limit_in_bytes", "5000000")]);
        assert_eq!(
            memory_limit("5:memory:/docker/abc", dir.path()),
            Some(5_000_000)
        );
    }

    #[test]
    fn a_process_knows_what_it_uses() {
        assert!(private().unwrap() > 10_000 && resident() >= private());
        assert!(process_cpu() > 0.0 && thread_cpu() > 0.0);
    }
}
