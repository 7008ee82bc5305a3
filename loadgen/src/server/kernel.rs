use std::fs;

use procfs::{Current, Meminfo};

/// Memory of the kernel, of the whole machine: both ends of a connection over
/// loopback, and whatever else runs here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// Objects: sockets, files, inodes.
    pub(crate) slab_bytes: u64,
    /// Buffers of TCP.
    pub(crate) tcp_bytes: u64,
}

impl Kernel {
    /// None where `/proc` does not tell.
    pub(crate) fn read() -> Option<Self> {
        let sockstat = fs::read_to_string("/proc/net/sockstat").ok()?;
        Some(Self {
            slab_bytes: Meminfo::current().ok()?.slab,
            tcp_bytes: tcp_pages(&sockstat)? * procfs::page_size(),
        })
    }
}

/// `TCP: inuse 5 orphan 0 tw 2 alloc 7 mem 3`, in pages.
fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat
        .lines()
        .find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_tcp() {
        let text =
            "sockets: used 9\nTCP: inuse 5 orphan 0 tw 2 alloc 7 mem 3\nUDP: inuse 1 mem 4\n";
        assert_eq!(tcp_pages(text), Some(3));
        assert_eq!(tcp_pages("TCP: inuse 5 mem"), None);
        assert_eq!(tcp_pages("UDP: inuse 1 mem 4"), None);
    }

    #[test]
    fn this_kernel_has_a_slab() {
        assert!(Kernel::read().expect("/proc").slab_bytes > 0);
    }
}
