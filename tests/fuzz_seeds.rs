//! Runs each fuzz target's seeds, and some thousand mutations of them that are
//! the same on every run, through the very functions that the fuzzer calls.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "public for the fuzz targets")]
mod targets;

use std::path::Path;
use std::{fs, iter};

const MUTATIONS: usize = 4000;

#[test]
fn http() {
    run("http", targets::http);
}

#[test]
fn frame() {
    run("frame", targets::frame);
}

#[test]
fn event() {
    run("event", targets::event);
}

#[test]
fn packet() {
    run("packet", targets::packet);
}

#[test]
fn deflate() {
    run("deflate", targets::deflate);
}

fn run(target: &str, check: fn(&[u8])) {
    let seeds = seeds(target);
    for seed in &seeds {
        check(seed);
        check(&seed[..seed.len() / 2]);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..MUTATIONS {
        check(&mutate(&seeds, &mut random));
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .expect("seeds")
        .map(|entry| entry.expect("readable").path())
        .collect();
    // The order of a folder is its own; that of a test is always the same.
    paths.sort();
    assert!(!paths.is_empty(), "no seeds in {}", folder.display());
    paths
        .iter()
        .map(|path| fs::read(path).expect("readable"))
        .collect()
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
