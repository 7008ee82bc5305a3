use std::fs;
use std::path::{Path, PathBuf};

/// A host, read through the file system that it shows under a root: `/`, or a
/// folder with the same files in a test. What can't be read is `None`: not every
/// kernel has everything, and a container hides much.
pub struct Host {
    root: PathBuf,
}

/// No limit. The kernel's own way to say so differs from file to file.
pub(super) const UNLIMITED: u64 = u64::MAX;

impl Host {
    /// The host whose file system begins at `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A file's text without the blanks around it.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(path)).ok()?;
        Some(text.trim().to_owned())
    }

    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// The numbers of a sysctl, as `net.ipv4.tcp_mem`.
    pub(super) fn sysctl<const N: usize>(&self, key: &str) -> Option<[u64; N]> {
        let text = self.text(&format!("proc/sys/{}", key.replace('.', "/")))?;
        let numbers: Option<Vec<u64>> = text
            .split_whitespace()
            .map(|word| word.parse().ok())
            .collect();
        numbers?.try_into().ok()
    }

    /// Soft and hard limit of this process, as `Max open files`.
    pub(super) fn limit(&self, name: &str) -> Option<[u64; 2]> {
        let limits = self.text("proc/self/limits")?;
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        let mut words = line.split_whitespace().map(|word| match word {
            "unlimited" => Some(UNLIMITED),
            word => word.parse().ok(),
        });
        Some([words.next()??, words.next()??])
    }

    /// Bytes by their name in `meminfo`.
    pub(super) fn memory(&self, name: &str) -> Option<u64> {
        let info = self.text("proc/meminfo")?;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib.saturating_mul(1024))
    }

    /// What follows a name in the process's `status`.
    pub(super) fn status(&self, name: &str) -> Option<String> {
        let status = self.text("proc/self/status")?;
        let found = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(found.trim().to_owned())
    }

    /// Processors that this process may run on.
    pub(super) fn cores(&self) -> Option<Vec<u32>> {
        cpu_list(&self.status("Cpus_allowed_list")?)
    }

    /// Major and minor version of the kernel, and its whole name.
    pub(super) fn kernel(&self) -> Option<((u32, u32), String)> {
        let release = self.text("proc/sys/kernel/osrelease")?;
        let mut parts = release.split(|letter: char| !letter.is_ascii_digit());
        let version = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some((version, release))
    }

    /// The names in a folder, in order; empty where there is none.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(Path::new(path))
    }
}

/// The processors of a list as `0-2,5`.
pub(super) fn cpu_list(text: &str) -> Option<Vec<u32>> {
    let mut cores = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        // No machine has more; a broken file must not fill the memory.
        if last > 65_535 {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores)
}

/// The processors of a mask as `00000000,0000000f`, the highest word first.
pub(super) fn cpu_mask(text: &str) -> Option<Vec<u32>> {
    let mut cores = Vec::new();
    for (word, digits) in text.trim().rsplit(',').enumerate() {
        let bits = u32::from_str_radix(digits, 16).ok()?;
        let word = u32::try_from(word).ok()?;
        cores.extend(
            (0..32)
                .filter(|bit| bits >> bit & 1 == 1)
                .map(|bit| word * 32 + bit),
        );
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_masks_of_processors() {
        assert_eq!(cpu_list("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(cpu_list(""), Some(vec![]));
        assert_eq!(cpu_list("0-x"), None);
        assert_eq!(cpu_list("0-4000000000"), None);
        assert_eq!(cpu_mask("1,00000003"), Some(vec![0, 1, 32]));
        assert_eq!(cpu_mask("0"), Some(vec![]));
        assert_eq!(cpu_mask("y"), None);
    }
}
