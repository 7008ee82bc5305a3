use crate::fixture::{Fixture, RESERVED, limits};

fn bounds(fixture: &Fixture) -> Vec<(&'static str, u64)> {
    let bounds = fixture.examine().ceiling.bounds;
    bounds
        .iter()
        .map(|bound| (bound.name, bound.connections))
        .collect()
}

#[test]
fn the_least_bound_binds_and_the_next_is_known() {
    let memory = (15_728_640_u64 * 1024 / 4 * 3 - 4 * (16 << 20)) / 5_632;
    let expected = [
        ("conntrack", 262_144),
        // Four times 520,347, of which the fullest has 3,748 more.
        ("nofile", 2_081_390),
        ("memory", memory),
        ("file-max", 4_194_304 - 1_200 - RESERVED),
        ("slots", 4 << 24),
    ];
    let fixture = Fixture::fit();
    assert_eq!(bounds(&fixture), expected);
    assert_eq!(fixture.examine().ceiling.connections, 262_144);
}

#[test]
fn raising_what_binds_gives_what_was_said_to_be_next() {
    let max = ("proc/sys/net/netfilter/nf_conntrack_max", "4194304");
    let raised = Fixture::with(&[max]);
    assert_eq!(raised.examine().ceiling.bounds[0].name, "nofile");

    let more = limits("1024 2000000", "8388608 8388608");
    let raised = Fixture::with(&[max, ("proc/self/limits", &more)]);
    assert_eq!(raised.examine().ceiling.bounds[0].name, "memory");
}

#[test]
fn a_group_with_little_memory_lowers_the_ceiling() {
    let path = "sys/fs/cgroup/system.slice/memory.max";
    let fixture = Fixture::with(&[(path, "536870912")]);
    let expected = ((512_u64 << 20) / 4 * 3 - 4 * (16 << 20)) / 5_632;
    assert_eq!(bounds(&fixture)[0], ("memory", expected));
    // Less than the shards themselves take.
    let fixture = Fixture::with(&[(path, "1048576")]);
    assert_eq!(bounds(&fixture)[0], ("memory", 0));
}

#[test]
fn a_conntrack_that_tracks_nothing_binds_nothing() {
    let fixture = Fixture::with(&[("proc/sys/net/netfilter/nf_conntrack_count", "0")]);
    assert!(
        bounds(&fixture)
            .iter()
            .all(|(name, _)| *name != "conntrack")
    );
}

#[test]
fn fewer_descriptors_than_the_node_needs_itself() {
    let few = limits("64 64", "8388608 8388608");
    let fixture = Fixture::with(&[("proc/self/limits", &few)]);
    assert_eq!(bounds(&fixture)[0], ("nofile", 0));
}
