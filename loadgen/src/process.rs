//! What a process has used, from `/proc`.

use std::time::Duration;

use procfs::process::Process;
use procfs::{ProcResult, WithCurrentSystemInfo};
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

/// What one process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// User and system time of all its threads; ticks of 10 ms.
    pub(crate) cpu: Duration,
    /// The system's part of that.
    pub(crate) system: Duration,
    /// Memory that is resident now, in bytes.
    pub(crate) resident_bytes: u64,
}

impl Usage {
    /// What process `pid` has used. Takes longer the more memory it has: for the
    /// borders of phases.
    ///
    /// # Errors
    /// It is gone, is another user's, or `/proc` is not there.
    pub(crate) fn of(pid: u32) -> ProcResult<Self> {
        let process = open(pid)?;
        let stat = process.stat()?;
        // The figures in `stat` and `status` lag behind by some pages per
        // thread; the roll-up is counted when it is read.
        let rollup = process.smaps_rollup()?.memory_map_rollup;
        let sizes = rollup.iter().filter_map(|map| map.extension.map.get("Rss"));
        Ok(Self {
            cpu: time(stat.utime + stat.stime),
            system: time(stat.stime),
            resident_bytes: sizes.sum(),
        })
    }
}

/// Processor time that process `pid` has used and bytes that are resident, as
/// cheap as can be: memory may be some pages per thread behind.
///
/// # Errors
/// As [`Usage::of`].
pub(crate) fn cpu_and_memory(pid: u32) -> ProcResult<(Duration, u64)> {
    let stat = open(pid)?.stat()?;
    Ok((time(stat.utime + stat.stime), stat.rss_bytes().get()))
}

/// What one thread has used so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ThreadUsage {
    /// At most 15 bytes.
    pub(crate) name: String,
    /// User and system time; ticks of 10 ms.
    pub(crate) cpu: Duration,
}

/// How often threads gave up their cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    /// To wait.
    pub(crate) voluntary: u64,
    /// Because another was given it.
    pub(crate) involuntary: u64,
}

/// What each thread of process `pid` has used, and their switches together. A
/// thread that ends meanwhile is left out.
///
/// # Errors
/// As [`Usage::of`].
pub(crate) fn threads(pid: u32) -> ProcResult<(Vec<ThreadUsage>, Switches)> {
    let mut threads = Vec::new();
    let mut switches = Switches::default();
    for task in open(pid)?.tasks()? {
        let Ok((stat, status)) = task.and_then(|task| Ok((task.stat()?, task.status()?))) else {
            continue;
        };
        switches.voluntary += status.voluntary_ctxt_switches.unwrap_or(0);
        switches.involuntary += status.nonvoluntary_ctxt_switches.unwrap_or(0);
        threads.push(ThreadUsage {
            cpu: time(stat.utime + stat.stime),
            name: stat.comm,
        });
    }
    Ok((threads, switches))
}

/// Processor time that the calling thread has used so far.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn open(pid: u32) -> ProcResult<Process> {
    let pid = i32::try_from(pid).map_err(|_| procfs::ProcError::NotFound(None))?;
    Process::new(pid)
}

fn time(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory() {
        let usage = Usage::of(std::process::id()).expect("/proc");
        assert!(usage.resident_bytes > 0);
        assert!(usage.system <= usage.cpu);
        for nobody in [u32::MAX, i32::MAX as u32] {
            assert!(Usage::of(nobody).is_err());
            assert!(threads(nobody).is_err());
        }
    }

    #[test]
    fn this_thread_is_among_the_threads() {
        let thread = std::thread::Builder::new().name("one (of) many".into());
        let seen = thread.spawn(|| threads(std::process::id()).expect("/proc"));
        let (threads, switches) = seen.expect("a thread").join().expect("an end");
        assert!(threads.iter().any(|thread| thread.name == "one (of) many"));
        assert!(switches.voluntary > 0);
    }
}
