#!/usr/bin/env bash
# What a plan predicts, run by itself: the highest rate of each number of clients
# has to hold its SLO, and the next step up has not. Figures are this machine's.
#   tests/plan/run.sh target/release/loadgen ['p99<50ms,loss=0'] [CLIENTS,CLIENTS]
set -euo pipefail

loadgen=$(realpath "$1")
slo=${2:-p99<50ms,loss=0}
clients=${3:-1000}
duration=${DURATION:-10s}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$loadgen" plan --self-host --slo "$slo" --connections "$clients" --duration "$duration" --json >"$work/plan.json"
python3 - "$work/plan.json" <<'PYTHON' >"$work/edges"
import json, sys
for edge in json.load(open(sys.argv[1]))["edges"]:
    if edge["is_confirmed"]:
        print(edge["clients"], edge["rate_per_s"], edge["fails_at_per_s"])
PYTHON
[ -s "$work/edges" ] || { echo "no edge was confirmed" >&2; exit 1; }

failed=0
run() {
    "$loadgen" --self-host --clients "$1" --channels $((($1 + 99) / 100)) --rate "$2" --warmup 1s --drain 1s \
        --duration "$duration" --assert "$slo" --json 2>/dev/null >"$work/run.json" || true
    python3 - "$work/run.json" <<'PYTHON'
import json, sys
report = json.load(open(sys.argv[1]))
print("holds" if all(it["holds"] for it in report["assertions"]) else "does not hold")
PYTHON
}
while read -r count rate next; do
    at=$(run "$count" "$rate")
    above=$(run "$count" "$next")
    echo "$count clients: $rate/s $at, $next/s $above ($slo)"
    [ "$at" = holds ] && [ "$above" = "does not hold" ] || failed=1
done <"$work/edges"
exit $failed
