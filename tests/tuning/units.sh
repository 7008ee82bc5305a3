#!/usr/bin/env bash
# The units of tuning/, as systemd reads them: not a word of complaint.
#   tests/tuning/units.sh
set -euo pipefail

tuning=$(realpath "$(dirname "$0")/../../tuning")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -r "$tuning/webrocket.service" "$tuning/webrocket.service.d" "$tuning/webrocket-card@.service" "$work"
# The programs need not be installed here.
sed -i 's,/usr/local/s\?bin/webrocket[a-z-]*,/bin/true,' "$work"/*.service

verify() {
    local said
    said=$(SYSTEMD_UNIT_PATH="$work:" systemd-analyze verify --man=no "$@" 2>&1) || said+=" (exit status $?)"
    # Only of these units: those of the machine are its own business.
    said=$(grep -E "webrocket|exit status" <<<"$said" || true)
    [ -z "$said" ] || { echo "$said"; return 1; }
}

verify webrocket.service webrocket-card@eth0.service
# It does read them: what is wrong is found.
sed -i 's/^CPUAffinity=.*/CPUAffinity=all/' "$work/webrocket.service.d/numa.conf"
if verify webrocket.service >/dev/null; then
    echo "systemd-analyze takes any value for CPUAffinity" >&2
    exit 1
fi
echo "units: systemd takes them"
