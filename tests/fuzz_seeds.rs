//! Runs each fuzz target's seeds, and some thousand mutations of them that are
//! the same on every run, through the very functions that the fuzzer calls.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "public for the fuzz targets")]
mod targets;

use std::path::{Path, PathBuf};
use std::{fs, iter};

/// A target, how many mutations of its seeds are tried, and what it does.
type Target = (&'static str, usize, fn(&[u8]));

/// A world of hubs is much more work than a message.
const TARGETS: [Target; 6] = [
    // Deflaters are made anew each time.
    ("deflate", 1000, targets::deflate),
    ("event", 4000, targets::event),
    ("frame", 4000, targets::frame),
    ("http", 4000, targets::http),
    ("hub", 300, targets::hub),
    ("packet", 4000, targets::packet),
];

#[test]
fn event() {
    run("event");
}

#[test]
fn frame() {
    run("frame");
}

#[test]
fn http() {
    run("http");
}

#[test]
fn hub() {
    run("hub");
}

#[test]
fn packet() {
    run("packet");
}

#[test]
fn deflate() {
    run("deflate");
}

#[test]
fn every_target_is_here() {
    let known: Vec<_> = TARGETS.iter().map(|(name, ..)| *name).collect();
    for folder in ["fuzz/fuzz_targets", "fuzz/seeds"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let names = paths(&folder).into_iter().map(|path| {
            let stem = path.file_stem().expect("a name");
            stem.to_string_lossy().into_owned()
        });
        assert_eq!(names.collect::<Vec<_>>(), known, "{}", folder.display());
    }
}

#[test]
fn the_fuzzed_floors_have_the_dependencies_of_the_broker() {
    let manifest = |path: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        fs::read_to_string(path).expect("readable")
    };
    let (floors, broker) = (manifest("fuzz/floors/Cargo.toml"), manifest("Cargo.toml"));
    let names = section(&floors, "[dependencies]").map(|line| {
        let end = line.find([' ', '.']).expect("a name");
        &line[..end]
    });
    let names: Vec<_> = names.collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert_eq!(wanted(&floors, name), wanted(&broker, name), "{name}");
    }
}

/// The lines of a section that name a dependency.
fn section<'a>(manifest: &'a str, title: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = manifest.lines().skip_while(move |&line| line != title);
    let lines = lines.skip(1).take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Version and features of a dependency, with what is said for the whole workspace.
fn wanted<'a>(manifest: &'a str, name: &'a str) -> (&'a str, &'a str) {
    let line = |title| {
        section(manifest, title).find(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '.']))
        })
    };
    let own = line("[dependencies]").expect("a line");
    let shared = line("[workspace.dependencies]").filter(|_| own.contains("workspace"));
    let version = shared.unwrap_or(own).split('"').nth(1).expect("a version");
    let features = own.split_once("features = ").map_or("", |(_, rest)| rest);
    (version, features)
}

fn run(target: &str) {
    let known = TARGETS.iter().find(|(name, ..)| *name == target);
    let &(_, mutations, check) = known.expect("a target");
    let seeds = seeds(target);
    for seed in &seeds {
        check(seed);
        check(&seed[..seed.len() / 2]);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..mutations {
        check(&mutate(&seeds, &mut random));
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let paths = paths(&folder);
    assert!(!paths.is_empty(), "no seeds in {}", folder.display());
    paths
        .iter()
        .map(|path| fs::read(path).expect("readable"))
        .collect()
}

/// What is in the folder. The order of a folder is its own; that of a test is
/// always the same.
fn paths(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    paths
}

/// A seed, perhaps with the end of another, with a few bytes changed.
fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    if random.below(4) == 0 {
        let other = &seeds[random.below(seeds.len())];
        bytes.truncate(random.below(bytes.len() + 1));
        bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
    }
    for _ in 0..random.below(5) {
        let at = random.below(bytes.len() + 1);
        let any = random.below(256) as u8;
        let byte = [b'"', b'\\', b'{', b'}', b',', b':', b'\n', b'\r', any][random.below(9)];
        match random.below(3) {
            0 => bytes.insert(at, byte),
            1 if at < bytes.len() => bytes[at] = byte,
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.extend(iter::repeat_n(byte, random.below(3))),
        }
    }
    bytes
}

/// xorshift: no quality is asked for but that each run is like the last.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}
