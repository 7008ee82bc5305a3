#!/usr/bin/env bash
# All cases of the Autobahn suite against the echo example, which is made of the
# broker's own driver and codecs. Prints the summary that docs/conformance.md holds.
#
#   run.sh PATH-TO-ECHO [DIRECTORY-FOR-THE-REPORT]
set -euo pipefail
echo=$(realpath "${1:?usage: $0 path/to/echo [directory for the report]}")
work=$(mktemp -d)
report=${2:-$work/report}
server=

finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check kosoku==0.1.0

"$echo" 127.0.0.1:0 >"$work/echo.log" &
server=$!
for _ in $(seq 100); do
    grep -q '^echo on ' "$work/echo.log" && break
    kill -0 "$server"
    sleep 0.1
done
address=$(awk '{ print $3 }' "$work/echo.log")

# It exits with 1 where a case fails; the summary tells which.
"$work/venv/bin/kosoku" "$address" -p 4 -o "$report" >"$work/kosoku.log" || tail -30 "$work/kosoku.log"

"$work/venv/bin/python" - "$report/index.json" <<'PYTHON'
import json, sys

SECTIONS = {
    1: "framing", 2: "pings and pongs", 3: "reserved bits", 4: "opcodes", 5: "fragmentation",
    6: "UTF-8", 7: "close handling", 9: "limits and speed", 10: "auto-fragmentation",
    12: "compression: kinds and sizes of messages", 13: "compression: parameters",
}
(cases,) = json.load(open(sys.argv[1])).values()
GOOD = ("OK", "NON-STRICT", "INFORMATIONAL")
failed = [name for name, case in cases.items()
          if case["behavior"] not in GOOD or case["behaviorClose"] not in GOOD]
print("| section | cases | passed | of these not strict | for information |")
print("|---|---|---|---|---|")
rows = [(str(number), f"{number} {what}") for number, what in SECTIONS.items()] + [("", "all")]
for prefix, title in rows:
    inside = {name: case["behavior"] for name, case in cases.items()
              if not prefix or name.split(".")[0] == prefix}
    passed = sum(name not in failed for name in inside)
    kinds = [sum(behavior == kind for behavior in inside.values()) for kind in GOOD[1:]]
    print(f"| {title} | {len(inside)} | {passed} | {kinds[0]} | {kinds[1]} |")
assert len(cases) >= 517, f"only {len(cases)} cases ran"
assert not failed, f"failed: {', '.join(sorted(failed))}"
PYTHON
