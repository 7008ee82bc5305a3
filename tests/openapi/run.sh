#!/usr/bin/env bash
# The OpenAPI document as others see it: a validator accepts it, and a client
# generated from it calls every route of a running node.
#
#   tests/openapi/run.sh target/release/webrocket
#
# Needs Python 3 with venv; everything else goes into a temporary directory.
set -euo pipefail
webrocket=$(realpath "${1:?usage: $0 path/to/webrocket}")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
node=

finish() {
    if [ -n "$node" ]; then
        kill "$node" 2>/dev/null || true
        wait "$node" || true
    fi
    rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
# The generator formats what it writes with a tool that it looks for in the path.
export PATH="$work/venv/bin:$PATH"

"$webrocket" serve --node-name openapi --storage-dir "$work/store" --shards 2 \
    --websocket-addr 127.0.0.1:0 --backend-addr 127.0.0.1:0 --admin-addr 127.0.0.1:0 \
    >"$work/node.log" 2>&1 &
node=$!
for _ in $(seq 200); do
    grep -q '^admin ' "$work/node.log" && break
    kill -0 "$node" || { cat "$work/node.log"; exit 1; }
    sleep 0.1
done
admin=$(awk '$1 == "admin" { print $2 }' "$work/node.log")
websocket=$(awk '$1 == "websocket" { print $2 }' "$work/node.log")

python - "$admin/openapi.json" "$work/openapi.json" <<'PYTHON'
import sys, urllib.request
urllib.request.urlretrieve(sys.argv[1], sys.argv[2])
PYTHON
openapi-spec-validator "$work/openapi.json"
openapi-python-client generate --path "$work/openapi.json" --meta none --fail-on-warning \
    --output-path "$work/webrocket_admin"
PYTHONPATH="$work" python "$here/client.py" "$admin" "$websocket" "$work/store/openapi.cookie"
