//! Cores, limits, and the CPU time of processes.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use webrocket::limits::SHARDS_MAX;

/// Where servers run.
pub(crate) const SERVER_CORE: usize = 0;

/// Where their load runs.
pub(crate) const LOAD_CORE: usize = 1;

/// Far longer than the kernel keeps what is free until nobody can look at it.
const SETTLING: Duration = Duration::from_millis(200);

/// What was closed a hundred thousand at a time has gone by then.
const SETTLINGS_MAX: usize = 50;

/// By how much bytes of the whole machine may fall between two looks at it.
const SETTLED_BYTES: u64 = 64 * 1024;

/// Pins the calling thread, and the threads that it starts. Left as it is on a
/// machine without that core.
pub(crate) fn pin_to_core(core: usize) -> io::Result<()> {
    pin_to(&[core])
}

/// Lets the calling thread, and those that it starts, have both cores.
pub(crate) fn unpin() -> io::Result<()> {
    pin_to(&[SERVER_CORE, LOAD_CORE])
}

fn pin_to(numbers: &[usize]) -> io::Result<()> {
    let mut cores = CpuSet::new();
    numbers.iter().for_each(|&core| cores.set(core));
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

/// Descriptors of a table that are no connections'.
const TABLE_SPARE: u64 = 256;

/// Connections that a table has room for, at the most: what is over is the system's.
pub(crate) fn table_connections_max() -> usize {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(TABLE_SPARE)).unwrap_or(usize::MAX)
}

/// The fewest descriptor tables that hold so many connections, where the kernel
/// deals them out by a hash: six standard deviations fit beside the mean.
pub(crate) fn tables(connections: usize) -> usize {
    let room = table_connections_max() as f64;
    let share = |tables: usize| {
        let part = 1.0 / tables as f64;
        let mean = connections as f64 * part;
        mean + 6.0 * (mean * (1.0 - part)).sqrt()
    };
    (1..SHARDS_MAX)
        .find(|tables| share(*tables) <= room)
        .unwrap_or(SHARDS_MAX)
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
    kib(
        &fs::read_to_string(format!("/proc/{process}/status"))?,
        "RssAnon:",
    )
}

/// Slab caches of what a connection has in the kernel. File systems and processes,
/// which others on the machine use, are not among them.
const SOCKET_CACHES: [&str; 10] = [
    "TCP",
    "sock_inode_cache",
    "filp",
    "dentry",
    "io_kiocb",
    "eventpoll_epi",
    "eventpoll_pwq",
    "kmalloc-",
    "tcp_bind",
    "skbuff",
];

/// What the kernel keeps for sockets and whoever watches them, on the whole
/// machine, in bytes: objects in use, each with its share of its pages. All slab
/// pages where only root may know more. What was closed before is waited for.
pub(crate) fn socket_bytes() -> io::Result<u64> {
    let mut last = slab_bytes()?;
    for _ in 0..SETTLINGS_MAX {
        thread::sleep(SETTLING);
        let bytes = slab_bytes()?;
        if bytes + SETTLED_BYTES >= last {
            return Ok(bytes);
        }
        last = bytes;
    }
    Ok(last)
}

fn slab_bytes() -> io::Result<u64> {
    let Ok(text) = fs::read_to_string("/proc/slabinfo") else {
        return kib(&fs::read_to_string("/proc/meminfo")?, "Slab:");
    };
    let caches = text
        .lines()
        .filter(|line| SOCKET_CACHES.iter().any(|name| line.starts_with(name)));
    caches
        .map(|line| cache_bytes(line).ok_or_else(|| io::ErrorKind::InvalidData.into()))
        .sum()
}

/// `name active_objs num_objs objsize objperslab pagesperslab …`, as slabinfo(5) has it.
fn cache_bytes(line: &str) -> Option<u64> {
    const PAGE_BYTES: u64 = 4096;
    let mut numbers = line.split_whitespace().skip(1).map(str::parse::<u64>);
    let active = numbers.next()?.ok()?;
    let mut rest = numbers.skip(2);
    let (objects, pages) = (rest.next()?.ok()?, rest.next()?.ok()?);
    Some(active * pages * PAGE_BYTES / objects.max(1))
}

/// The value of a line such as `Slab:  1234 kB`, in bytes.
fn kib(text: &str, name: &str) -> io::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Nanoseconds of CPU that the calling thread has had.
pub(crate) fn thread_cpu_ns() -> u64 {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    spent.tv_sec as u64 * 1_000_000_000 + spent.tv_nsec as u64
}
