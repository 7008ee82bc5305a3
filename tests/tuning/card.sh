#!/usr/bin/env bash
# tuning/webrocket-card against a real kernel: a pair of virtual cards with two queues
# in a network namespace. Needs root, for the namespace.
#   tests/tuning/card.sh
set -euo pipefail

script=$(realpath "$(dirname "$0")/../../tuning/webrocket-card")
name=wr-card-$$
card=wrcard$$
trap 'ip netns del "$name" 2>/dev/null || true; rm -f "/run/webrocket-card/$card"' EXIT

ip netns add "$name" || { echo "no network namespaces here: run as root" >&2; exit 2; }
ip -n "$name" link add "$card" numrxqueues 2 numtxqueues 2 type veth peer name far0

inside() { ip netns exec "$name" "$@"; }
# Every setting that the script may touch, as the kernel shows it.
shown() {
    # shellcheck disable=SC2016 # the inner shell's
    inside sh -c 'cd "/sys/class/net/$1" && grep -H . queues/rx-*/rps_* queues/tx-*/xps_cpus napi_defer_hard_irqs gro_flush_timeout' - "$card"
}
expect() {
    shown | grep -Eqx "$1" || { echo "not so: $1" >&2; shown >&2; exit 1; }
}

before=$(shown)
inside "$script" --cpus 0 --only xps --defer-irqs 10,20000 "$card"
expect 'queues/tx-0/xps_cpus:0*1'
expect 'napi_defer_hard_irqs:10'
expect 'gro_flush_timeout:20000'
if inside "$script" --cpus 0 --only xps --defer-irqs 10,20000 "$card" | grep -v ' already$'; then
    echo "written twice" >&2
    exit 1
fi
inside "$script" --undo "$card"
[ "$(shown)" = "$before" ] || { echo "not as it was" >&2; shown >&2; exit 1; }
inside "$script" --undo "$card"

# One queue and all cores: RPS.
ip -n "$name" link del "$card"
ip -n "$name" link add "$card" type veth peer name far0
cores=$(cat /sys/devices/system/cpu/online)
if [ "$cores" != 0 ]; then
    before=$(shown)
    inside "$script" --cpus 0-1 --only rps "$card"
    expect 'queues/rx-0/rps_cpus:0*3'
    inside "$script" --undo "$card"
    [ "$(shown)" = "$before" ] || { echo "not as it was" >&2; shown >&2; exit 1; }
fi
echo "webrocket-card: the kernel takes what it writes, and has it back"
