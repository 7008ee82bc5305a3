//! Which core each shard of a node stays on.

mod support;

use std::fs;
use std::path::Path;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use support::serve::{Host, Serve};

fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).expect("an affinity");
    (0..CpuSet::MAX_CPU)
        .filter(|core| set.is_set(*core))
        .collect()
}

/// Lets this test's thread, and what it starts, run on these cores alone.
fn allow(cores: &[usize]) {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    sched_setaffinity(None, &set).expect("allowed");
}

/// What each shard may run on, in the order of the shards.
fn shards(node: &Serve) -> Vec<String> {
    let tasks = format!("/proc/{}/task", node.pid().as_raw_nonzero());
    let mut found: Vec<(usize, String)> = fs::read_dir(tasks)
        .expect("threads")
        .filter_map(|task| shard(&task.expect("a thread").path()))
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, cores)| cores).collect()
}

/// The number of a thread that is a shard, and the list of its cores.
fn shard(task: &Path) -> Option<(usize, String)> {
    let name = fs::read_to_string(task.join("comm")).ok()?;
    let number = name.trim().strip_prefix("shard-")?.parse().ok()?;
    Some((number, cores_of(task)))
}

fn cores_of(task: &Path) -> String {
    let status = fs::read_to_string(task.join("status")).expect("a status");
    let line = |line: &str| Some(line.strip_prefix("Cpus_allowed_list:")?.trim().to_owned());
    status.lines().find_map(line).expect("a list of cores")
}

/// A unit with the second half of the cores has its shards there, and not on the first.
#[test]
fn shards_stay_on_the_cores_that_the_node_may_use() {
    let host = Host::new();
    let all = allowed();
    let last = *all.last().expect("a core");
    allow(&[last]);
    let node = host.start(&["--shards", "1"]);
    assert_eq!(shards(&node), [last.to_string()]);
    node.stop();

    allow(&all);
    let node = host.start(&["--shards", &all.len().to_string()]);
    let own: Vec<String> = all.iter().map(usize::to_string).collect();
    assert_eq!(shards(&node), own);
    node.stop();
}

#[test]
fn more_shards_than_cores_are_not_pinned() {
    let host = Host::new();
    let count = allowed().len() + 1;
    let node = host.start(&["--shards", &count.to_string()]);
    let any = cores_of(Path::new("/proc/thread-self"));
    assert_eq!(shards(&node), vec![any; count]);
    node.stop();
}
