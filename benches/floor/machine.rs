//! Cores, limits, and the CPU time of processes.

use std::fs;
use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Where servers run.
pub(crate) const SERVER_CORE: usize = 0;

/// Where their load runs.
pub(crate) const LOAD_CORE: usize = 1;

/// Pins the calling thread, and the threads that it starts. Left as it is on a
/// machine without that core.
pub(crate) fn pin_to_core(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    match sched_setaffinity(None, &cores) {
        Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes all descriptors that the hard limit grants.
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Nanoseconds of CPU that all living threads of a process have had, system
/// time included. Behind by up to one scheduler tick for a thread that runs just now.
pub(crate) fn cpu_ns(process: u32) -> io::Result<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let on_cpu = text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
        total += on_cpu.ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(total)
}

/// Anonymous resident memory of a process, in bytes.
pub(crate) fn private_bytes(process: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}
