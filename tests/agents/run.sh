#!/usr/bin/env bash
# Two agents in network namespaces of their own, and a broker and a leader in a
# third: a load over real addresses. Needs root, for the namespaces.
#   tests/agents/run.sh target/release/webrocket target/release/loadgen
set -euo pipefail

webrocket=$(realpath "$1")
loadgen=$(realpath "$2")
work=$(mktemp -d)
pids=()
names=(wr-hub-$$ wr-a-$$ wr-b-$$)
hub=${names[0]}

cleanup() {
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    for name in "${names[@]}"; do ip netns del "$name" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT

for name in "${names[@]}"; do
    ip netns add "$name" || { echo "no network namespaces here: run as root" >&2; exit 2; }
    ip -n "$name" link set lo up
done
for number in 1 2; do
    name=${names[$number]}
    ip link add "up$$n$number" netns "$hub" type veth peer name eth0 netns "$name"
    ip -n "$hub" addr add "10.77.$number.1/24" dev "up$$n$number"
    ip -n "$hub" link set "up$$n$number" up
    ip -n "$name" addr add "10.77.$number.2/24" dev eth0
    ip -n "$name" link set eth0 up
    # Both reach the broker by one address.
    ip -n "$name" route add 10.77.0.1/32 via "10.77.$number.1"
done
ip -n "$hub" addr add 10.77.0.1/32 dev lo

ip netns exec "$hub" "$webrocket" serve --storage-dir "$work/store" \
    --websocket-addr 10.77.0.1:8080 --backend-addr 10.77.0.1:8081 --admin-addr 127.0.0.1:8082 \
    >"$work/broker.log" 2>&1 &
pids+=($!)
export LOADGEN_AGENT_TOKEN=a-token-of-this-test
for number in 1 2; do
    ip netns exec "${names[$number]}" "$loadgen" agent --listen "10.77.$number.2:7200" \
        >"$work/agent$number.log" 2>&1 &
    pids+=($!)
done

in_hub() { ip netns exec "$hub" "$@"; }
for _ in $(seq 100); do
    cookie=$(cat "$work"/store/*.cookie 2>/dev/null || true)
    if [ -n "$cookie" ] && in_hub "$webrocket" admin --admin-addr 127.0.0.1:8082 --cookie "$cookie" list_vhosts >/dev/null 2>&1; then break; fi
    sleep 0.2
done
token=$(in_hub "$webrocket" admin --admin-addr 127.0.0.1:8082 --cookie "$cookie" --json add_vhost /load | grep -oE '[0-9a-f]{40}' | head -1)

in_hub timeout 120 "$loadgen" --agents 10.77.1.2:7200,10.77.2.2:7200 \
    --url ws://10.77.0.1:8080/load --backend "wr://$token@10.77.0.1:8081/load" \
    --metrics-url http://127.0.0.1:8082/metrics \
    --clients 400 --channels 8 --rate 80 --duration 3s --json >"$work/report.json"
python3 - "$work/report.json" <<'PYTHON'
import json, sys
report = json.load(open(sys.argv[1]))
assert report["verdict"] == "passed", report["verdict"]
assert report["connections"]["subscribed"] == 400
assert report["deliveries"]["delivered"] == 80 * 3 * 50, report["deliveries"]
assert [part["name"] for part in report["parts"]] == ["10.77.1.2:7200", "10.77.2.2:7200"]
print("agents: 2 in namespaces, 400 clients, 12,000 deliveries, none lost")
PYTHON
