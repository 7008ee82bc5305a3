//! What a process has used, from `/proc`.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;

/// What one process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// User and system time of all its threads; ticks of 10 ms.
    pub(crate) cpu: Duration,
    /// Memory that is resident now, in bytes.
    pub(crate) resident_bytes: u64,
}

impl Usage {
    /// What process `pid` has used.
    ///
    /// # Errors
    /// It is gone, or `/proc` is not there.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        // The figures in `stat` and `status` lag behind by some pages per
        // thread; the roll-up is counted when it is read.
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let parsed = cpu_ticks(&stat).zip(resident_kib(&memory));
        let (ticks, kib) = parsed.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            cpu: Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64),
            resident_bytes: kib * 1024,
        })
    }
}

/// Fields 14 and 15 of proc(5) `stat`. The second field is a name in brackets
/// that may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_kib(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 210 0 0 0 31 11 0 0 20 0 1 0 99 2 3 18";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn resident_memory() {
        let rollup = "00400000-7fff [rollup]\nRss:                 892 kB\nPss:  1 kB\n";
        assert_eq!(resident_kib(rollup), Some(892));
        assert_eq!(resident_kib("Pss: 1 kB"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let usage = Usage::of(std::process::id()).expect("/proc");
        assert!(usage.resident_bytes > 0);
        assert!(Usage::of(u32::MAX).is_err());
    }
}
