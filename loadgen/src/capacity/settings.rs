//! What a machine should be set to, in the form that the broker reads.

use std::fmt::Write as _;

use super::report::CapacityReport;

/// Descriptors of a shard beside its connections, with room to spare.
const DESCRIPTORS_MARGIN: f64 = 1.25;

/// A file for `webrocket serve --config`; what belongs elsewhere is in comments.
pub(super) fn suggest(report: &CapacityReport) -> String {
    let most = report.edges.iter().filter(|it| it.rate_per_s.is_some());
    let most = most.map(|edge| edge.clients).max().unwrap_or(0);
    let shards = u32::from(report.shards.max(1));
    let each = (f64::from(most.div_ceil(shards)) * DESCRIPTORS_MARGIN).ceil();
    // Less than what every system gives would be a step back.
    let each = each.max(1024.0);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "\
# Suggested by `loadgen plan` for {slo} with {most} clients on this machine.
# Measured here, with the load generator beside the broker: try it before relying on it.

[node]
# As many as were measured.
shards = {shards}

[limits]
# A quarter more than were measured, so that a storm is refused and not half served.
connections_per_vhost = {connections}

# /etc/security/limits.d, or LimitNOFILE= in the unit: each shard has a table of its own.
#   webrocket  hard  nofile  {each:.0}
# /etc/sysctl.d: all of a reconnect storm may wait for its accept.
#   net.core.somaxconn = 65535
#   net.ipv4.tcp_max_syn_backlog = 65535
",
        slo = report.slo,
        connections = (f64::from(most) * DESCRIPTORS_MARGIN).ceil(),
    );
    text
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;
    use crate::capacity::report::tests::report;

    #[test]
    fn the_broker_can_read_it() {
        let text = suggest(&report());
        let table = DeTable::parse(&text).expect("TOML").into_inner();
        let number = |section: &str, key: &str| {
            let value = table[section].get_ref().get(key).expect(key).get_ref();
            value.as_integer().expect("a number").to_string()
        };
        assert_eq!(number("node", "shards"), "2");
        assert_eq!(number("limits", "connections_per_vhost"), "125000");
        assert!(text.contains("nofile  62500"), "{text}");
        let mut few = report();
        few.edges.truncate(1);
        let text = suggest(&few);
        assert!(text.contains("nofile  1024"), "{text}");
    }
}
