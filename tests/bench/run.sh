#!/bin/sh
# SPDX-License-Identifier: MIT
# Compares plyfs with kernel overlayfs, fuse-overlayfs, unionfs-fuse, mergerfs and a plain copy, and its
# volumes with a kernel bind mount and bindfs:
#
# sh tests/bench/run.sh [--quick] [--rounds N] [--files N] [--large MIB] [--backing tmpfs|ext4|xfs|btrfs]
#     [--contenders NAME,...] [--peer NAME=PATH]... [--promises] [--against FILE] [--record FILE]
#     [--output FILE.json] [--minutes N] [--continue] [WORKLOAD...]
#
# All of it takes hours: with --minutes a run ends after the workload it is at, and the same with --continue
# goes on with what is left.
#
# It prints tables, and writes build/bench.json and a chart, build/bench.svg. Whoever is not here is named and
# left out; whoever does other work than the rest is named at the end, and the status is 1. --peer adds a
# program with fuse-overlayfs's command line. tests/bench/recorded.json has ratios of `--quick`, against
# which `--quick --against tests/bench/recorded.json` holds a run; --record writes them anew.
#
# Unions: find tar grep untar rm-upper rm-lower chown chown-upper chmod copy git-status git-clone dpkg gcc python
# read-1m write-4k write-1m append randread-4k randwrite-4k sqlite sqlite-fsync copyup-chmod copyup-append copyup-truncate (of a file of
# --large, 1 GiB) directory (of 100,000 entries; a third of it with 5,000 --files) layers-2 layers-50 layers-500
# untar-500 image-walk first-answer memory (of 1,000,000 files, once; fewer as before) request (an empty one)
# parallel (1, 2 and 4 clients)
# Volumes, whose names begin with volume-: request find stat list chmod create rm untar, and by fio
# read-4k read-1m write-4k write-1m randread-4k randwrite-4k sync-4k randsync-4k
#
# What the ledger costs, ledger-: find untar chmod copyups. "without" and
# "named-without" are of a build without it; "unwatched" has no name, so nobody keeps account; "ledger" has.
#
# `run.sh session` is a session with buildah instead, on plyfs, fuse-overlayfs and the kernel's overlayfs as
# its mount program: tests/bench/session.py tells its options.
#
# Volumes are mounted by root, who gets passthrough, and by an ordinary user, coherent and :cached;
# whoever mounts, the same ordinary user works in them. What everything lies on is --backing's: databases
# lie on disks, where a call costs more than on tmpfs. Of FUSE mounts the requests are counted too.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" -ne 0 ]; then
    echo "the benchmark needs root: it mounts kernel overlayfs and bind mounts beside the others" >&2
    exit 2
fi
ninja -C "$here/../../build" tests/least >/dev/null 2>&1 || true # where it is not built, it is left out
# A mount namespace of its own: whatever happens, no mount is left behind.
program=bench.py
if [ "${1:-}" = session ]; then
    shift
    program=session.py
fi
exec unshare --mount --propagation private /usr/bin/python3 "$here/$program" "$@"
