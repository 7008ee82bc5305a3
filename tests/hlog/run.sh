#!/usr/bin/env bash
# An interval log of a run, read by HdrHistogram's Python implementation: as many
# deliveries as the report counts, and a maximum that agrees.
#
#   run.sh PATH-TO-LOADGEN
set -euo pipefail
loadgen=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
python3 -m venv venv
venv/bin/pip install -q hdrhistogram==0.10.8
for run in a b; do
    "$loadgen" --self-host --clients 100 --rate 50 --warmup 500ms --duration 3s --hlog "$run.hlog" --json > "$run.json"
done
"$loadgen" merge a.hlog b.hlog -o both.hlog
venv/bin/python - <<'PYTHON'
import json
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

def total(path):
    # Three digits: a maximum is compared to within a hundredth.
    reader = HistogramLogReader(path, HdrHistogram(1, 60 * 10**9, 3))
    count = longest = 0
    while histogram := reader.get_next_interval_histogram():
        if histogram.get_tag() == "corrected":
            count += histogram.get_total_count()
            longest = max(longest, histogram.get_max_value())
    return count, longest

reports = [json.load(open(f"{run}.json")) for run in "ab"]
expected = sum(report["deliveries"]["delivered"] for report in reports)
longest = max(report["latency"]["corrected"]["max_us"] for report in reports)
count, seen = total("both.hlog")
assert count == expected, (count, expected)
assert abs(seen / 1000 / longest - 1) < 0.01, (seen, longest)
print(f"{count} deliveries in the merged log, as reported")
PYTHON
