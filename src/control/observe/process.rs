use procfs::process::{LimitValue, Process as Proc};
use procfs::{Current, Meminfo};

/// What the kernel tells of this process and its memory.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) threads: u64,
    /// User and system time since the start.
    pub(super) cpu_seconds: f64,
    /// Seconds since the Unix epoch.
    pub(super) started_seconds: f64,
    pub(super) descriptors: u64,
    pub(super) descriptors_max: u64,
    pub(super) memory: Vec<Memory>,
    /// Ports that one address of this host can connect from.
    pub(super) ports: u64,
}

/// Memory that may run out: the host's, or that of the control group.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) used_bytes: u64,
    pub(super) max_bytes: u64,
    pub(super) source: &'static str,
}

impl Process {
    /// None where `/proc` can't be read; then these metrics are missing, and
    /// nothing else.
    pub(super) fn read() -> Option<Self> {
        match Self::try_read() {
            Ok(process) => Some(process),
            Err(error) => {
                tracing::debug!(%error, "/proc unreadable");
                None
            }
        }
    }

    fn try_read() -> procfs::ProcResult<Self> {
        let proc = Proc::myself()?;
        let (stat, limits) = (proc.stat()?, proc.limits()?);
        let ticks = procfs::ticks_per_second() as f64;
        let booted = procfs::boot_time_secs()? as f64;
        Ok(Self {
            resident_bytes: stat.rss * procfs::page_size(),
            virtual_bytes: stat.vsize,
            threads: stat.num_threads.max(0) as u64,
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            started_seconds: booted + stat.starttime as f64 / ticks,
            descriptors: proc.fd_count()? as u64,
            descriptors_max: match limits.max_open_files.soft_limit {
                LimitValue::Value(value) => value,
                LimitValue::Unlimited => u64::MAX,
            },
            ports: local_ports()?,
            memory: host_memory()?
                .into_iter()
                .chain(group_memory(&proc))
                .collect(),
        })
    }
}

/// Descriptors that are open in the table of one of this process's threads;
/// none where there is no such thread.
pub(super) fn descriptors_of(thread_id: u64) -> Option<u64> {
    let folder = format!("/proc/self/task/{thread_id}/fd");
    // The kernel gives their number as the folder's size, from 6.2 on.
    match std::fs::metadata(&folder).ok()?.len() {
        0 => Some(std::fs::read_dir(&folder).ok()?.count() as u64),
        count => Some(count),
    }
}

fn local_ports() -> std::io::Result<u64> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    ports_in(&range).ok_or_else(|| std::io::Error::other("a malformed port range"))
}

/// `32768\t60999`, both included.
fn ports_in(range: &str) -> Option<u64> {
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    Some((last + 1).saturating_sub(first))
}

/// Kernels before 3.14 do not tell what is available.
fn host_memory() -> procfs::ProcResult<Option<Memory>> {
    let info = Meminfo::current()?;
    Ok(info.mem_available.map(|available| Memory {
        used_bytes: info.mem_total.saturating_sub(available),
        max_bytes: info.mem_total,
        source: "MemTotal less MemAvailable",
    }))
}

/// The bound of the process's own control group (version 2), where there is one.
fn group_memory(proc: &Proc) -> Option<Memory> {
    let groups = proc.cgroups().ok()?;
    let group = groups.into_iter().find(|group| group.hierarchy == 0)?;
    let folder = format!("/sys/fs/cgroup{}", group.pathname.trim_end_matches('/'));
    let read = |file| std::fs::read_to_string(format!("{folder}/{file}")).ok();
    let max_bytes = read("memory.max")?.trim().parse().ok()?;
    let current: u64 = read("memory.current")?.trim().parse().ok()?;
    // Cached files go before anything else does.
    let cached = read("memory.stat").and_then(|stat| inactive_file(&stat));
    Some(Memory {
        used_bytes: current.saturating_sub(cached.unwrap_or(0)),
        max_bytes,
        source: "memory.current less inactive files of memory.max",
    })
}

fn inactive_file(stat: &str) -> Option<u64> {
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file "));
    line?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let process = Process::read().expect("/proc");
        assert!(process.resident_bytes > 0 && process.virtual_bytes > process.resident_bytes);
        assert!(process.threads > 0);
        assert!(process.descriptors > 0 && process.descriptors <= process.descriptors_max);
        assert!(process.started_seconds > 0.0 && process.cpu_seconds >= 0.0);
        for memory in &process.memory {
            assert!(memory.max_bytes > 0, "{memory:?}");
        }
    }

    #[test]
    fn descriptors_of_a_thread_are_those_of_its_table() {
        let count = std::thread::spawn(|| {
            let open = || descriptors_of(crate::sys::thread_id().into());
            crate::sys::unshare_descriptors(&[]).expect("a table");
            let before = open().expect("a thread");
            let files: Vec<_> = (0..100).map(|_| std::fs::File::open("/dev/null")).collect();
            let opened = open().expect("a thread") - before;
            drop(files);
            opened
        });
        assert_eq!(count.join().expect("no panic"), 100);
        assert_eq!(descriptors_of(0), None);
    }

    #[test]
    fn both_ends_of_a_port_range_are_in_it() {
        assert_eq!(ports_in("32768\t60999\n"), Some(28_232));
        assert_eq!(ports_in("5 5"), Some(1));
        assert_eq!(ports_in("5"), None);
        assert_eq!(ports_in("a b"), None);
    }

    #[test]
    fn cached_files_of_a_group() {
        let stat = "anon 5\nfile 90\ninactive_anon 1\ninactive_file 70\nactive_file 20\n";
        assert_eq!(inactive_file(stat), Some(70));
        assert_eq!(inactive_file("anon 5\n"), None);
    }
}
