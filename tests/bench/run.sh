#!/bin/sh
# SPDX-License-Identifier: MIT
# Compares plyfs with kernel overlayfs and fuse-overlayfs: sh tests/bench/run.sh [--quick] [WORKLOAD...]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" -ne 0 ]; then
    echo "the benchmark needs root: it mounts kernel overlayfs beside the others" >&2
    exit 2
fi
# A mount namespace of its own: whatever happens, no mount is left behind.
exec unshare --mount --propagation private /usr/bin/python3 "$here/bench.py" "$@"
