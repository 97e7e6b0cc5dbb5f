#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh: installs what is missing, builds, runs every suite, and ends with the line
# "N passed, N failed" (", N skipped" when any was), the sum over all of them.
#
# Four builds: build/ (gcc, warnings are errors: the program that the suites run), build/clang
# (clang, compiled only, and so without optimisation), build/asan (address and undefined-behaviour
# sanitizers, and less optimisation, which spares more than it costs: the suites named in $sanitized
# run a second time with it) and, with --full, build/tsan (thread sanitizer: those in $threaded). A
# daemon in the background has no stderr, so the sanitizers write to files, and a file there is a
# failure. So is a process that a suite leaves behind: it is known by PLYFS_TEST_DIR in its
# environment, which no other suite shares.
#
# As many suites run at once as there are processors, each in a directory of its own; those of
# $alone, which measure or fill the machine, run one after the other when the rest is done.
set -eu

usage() {
    cat <<'END'
usage: sh tests/run.sh [--build] [--list] [--only SUITE]... [--full]
  --build       only install what is missing and build; the program is build/plyfs
  --list        name the suites and do nothing
  --only SUITE  run this suite alone (may be given again); NAME+asan is a suite with the sanitizers of
                memory and behaviour, NAME+tsan with that of threads
  --full        the long tests too (PLYFS_FULL=1), the suites NAME+tsan and all NAME+asan
environment: PLYFS_SUITE_SECONDS, after which a suite counts as hung (900; 7200 with --full);
PLYFS_LANES, how many suites run at once (the number of processors)
Logs are kept in build/log.
END
}

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
sanitized="unit semantics identity cli interop model io deep rootfs named layer commit image"
sanitized="$sanitized records mapping contract volumes shadow explain routes quota copyups report"
sanitized="$sanitized policy waste expect trace hostile callers faults disk together ahead locks"
# With --full alone, for the rest is to take less than 25 minutes: what these go through, others of them
# go through too, if not in as many ways.
long="report+asan policy+asan waste+asan expect+asan trace+asan faults+asan disk+asan image+asan"
long="$long interop+asan rootfs+asan model+asan identity+asan deep+asan copyups+asan explain+asan"
long="$long named+asan layer+asan cli+asan ahead+asan commit+asan volumes+asan records+asan"
threaded="semantics io model attach routes copyups trace together ahead locks"
alone="speed memory attach copyups copyups+asan"
alone="$alone attach+tsan copyups+tsan"

suites() {
    echo unit
    echo house
    for file in tests/test_*.py; do
        name=${file#tests/test_}
        name=${name%.py}
        [ "$name" = house ] || [ "$name" = '*' ] || echo "$name"
    done
    for name in $sanitized; do
        if [ "$name" = unit ] || [ -e "tests/test_$name.py" ]; then
            echo "$name+asan"
        fi
    done
    for name in $threaded; do
        echo "$name+tsan"
    done
}

# chosen: the suites of a run that names none.
chosen() {
    if [ "${PLYFS_FULL:-}" = 1 ]; then
        suites
    else
        suites | grep -v -e '+tsan$' -e "^\\($(echo "$long" | sed 's/ /\\|/g')\\)\$"
    fi
}

refuse() {
    echo "run.sh: $1" >&2
    usage >&2
    exit 2
}

add_suite() {
    suites | grep -qxF -e "$1" || refuse "no suite '$1'"
    only="$only $1"
}

only='' build_alone=''
while [ $# -gt 0 ]; do
    case $1 in
    --build) build_alone=1 ;;
    --list) suites && exit 0 ;;
    --only)
        [ $# -ge 2 ] || refuse "--only takes the name of a suite"
        add_suite "$2"
        shift
        ;;
    --only=*) add_suite "${1#--only=}" ;;
    --full) export PLYFS_FULL=1 ;;
    --help | -h) usage && exit 0 ;;
    *) refuse "unknown option '$1'" ;;
    esac
    shift
done

# The tests say what they mean in plain English and in UTC, whatever the machine is set to.
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8 TZ=UTC PYTHONDONTWRITEBYTECODE=1
umask 022
logs=$root/build/log
passed=0 failed=0 skipped=0 scratch='' fuse_mode=''

finish() {
    if [ "$skipped" -gt 0 ]; then
        echo "$passed passed, $failed failed, $skipped skipped"
    else
        echo "$passed passed, $failed failed"
    fi
    [ "$failed" -eq 0 ] && exit 0
    exit 1
}

# stop LOG WHAT: the end of a run that could not come as far as the tests.
stop() {
    tail -n 100 "$1" >&2
    echo "$2 failed; all of it is in $1" >&2
    failed=$((failed + 1))
    [ -z "$build_alone" ] || exit 1
    finish
}

# ---- set up and build ----------------------------------------------------------------------------

# build DIRECTORY COMPILER [OPTION]...: configures once, then compiles what changed.
build() {
    directory=$1 compiler=$2 log=$logs/build-$(basename "$1").log
    shift 2
    started=$(date +%s)
    if [ ! -f "$directory/build.ninja" ]; then
        CC=$compiler meson setup "$directory" . --pkg-config-path="$pkg_config_path" \
            -Dwerror=true "$@" >"$log" 2>&1 || stop "$log" "configuring $directory"
    fi
    ninja -C "$directory" >>"$log" 2>&1 || stop "$log" "building $directory"
    echo "built $directory with $compiler ($(($(date +%s) - started)) s)"
}

mkdir -p "$logs"
echo "looking for what is missing"
sh tests/setup.sh ${build_alone:+--build} >"$logs/setup.log" 2>&1 ||
    stop "$logs/setup.log" "installing what is missing"
cat "$logs/setup.log"
pkg_config_path=$root/build/deps/prefix/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
build build gcc
[ -z "$build_alone" ] || exit 0
selected=${only:-$(chosen)}
if [ -z "$only" ]; then
    build build/clang clang -Doptimization=0
fi
case "$selected" in
*+asan*)
    # The two runtimes share one log file only when they are linked in (as shared libraries each has
    # its own settings, and the undefined-behaviour one then writes to stderr).
    build build/asan gcc -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false \
        "-Dc_link_args=-static-libasan -static-libubsan"
    ;;
esac
case "$selected" in
*+tsan*) build build/tsan clang -Db_sanitize=thread -Db_lundef=false ;;
esac

# ---- run -----------------------------------------------------------------------------------------

# ours_alive DIRECTORY: processes that carry its mark in their environment.
ours_alive() {
    for process in /proc/[0-9]*; do
        if grep -qzxF "PLYFS_TEST_DIR=$1" "$process/environ" 2>/dev/null; then
            echo "${process#/proc/}"
        fi
    done
}

# sweep_mounts DIRECTORY: whatever is still mounted below it is aborted and taken away.
sweep_mounts() {
    awk -v at="$1/" 'index($5, at) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        while read -r point; do
            point=$(printf '%b' "$point")
            umount -f "$point" 2>/dev/null || umount -l "$point" 2>/dev/null ||
                fusermount3 -uz "$point" 2>/dev/null || true
        done
}

sweep() {
    sweep_mounts "$1"
    left=''
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        left=$(ours_alive "$1")
        [ -n "$left" ] || return 0
        sleep 0.5
    done
    for pid in $left; do
        echo "  left behind: process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
        kill -9 "$pid" 2>/dev/null || true
    done
    sweep_mounts "$1"
    return 1
}

clean_up() {
    [ -z "$fuse_mode" ] || chmod "$fuse_mode" /dev/fuse
    [ -n "$scratch" ] || return 0
    for directory in "$scratch"/*/; do
        sweep "${directory%/}" >/dev/null || true
    done
    chmod -R u+rwx "$scratch" 2>/dev/null || true
    rm -rf --one-file-system "$scratch" 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

base=/dev/shm
[ -w "$base" ] || base=${TMPDIR:-/tmp}
scratch=$(mktemp -d "$base/plyfs-run.XXXXXX")
chmod 755 "$scratch"
# Suites that run at once would each put back the mode that another one needs.
if [ "$(id -u)" -eq 0 ] && [ -e /dev/fuse ]; then
    fuse_mode=$(stat -c %a /dev/fuse)
    chmod 666 /dev/fuse
fi
limit=${PLYFS_SUITE_SECONDS:-$([ "${PLYFS_FULL:-}" = 1 ] && echo 7200 || echo 900)}

# run_suite SUITE: one suite, its counts left in $logs/SUITE.counts, one line said.
run_suite() {
    suite=$1 name=${1%+*} directory=$root/build log=$logs/$1.log xml=$logs/$1.xml
    # No suite has a name that begins with a point: those are ours.
    here=$scratch/$name sanitized_run=
    case $suite in
    *+*)
        directory=$root/build/${suite#*+} here=$here-${suite#*+} sanitized_run=1
        ;;
    esac
    reports=$here/sanitizer
    started=$(date +%s) status=0
    report=$logs/$suite.report
    rm -rf "$xml" "$report"
    # Daemons of ordinary users report here too.
    mkdir "$here" "$reports"
    chmod 1777 "$here" "$reports"
    if [ "$name" = unit ]; then
        set -- meson test -C "$directory" --no-rebuild --suite unit --print-errorlogs
        rm -f "$directory/meson-logs/testlog.junit.xml"
    else
        # An interrupt, so that pytest unmounts what it mounted; its own limit dumps the stacks first.
        set -- /usr/bin/python3 -m pytest -q -rs -p no:cacheprovider --tb=short \
            -o "faulthandler_timeout=$((limit - 30))" --junitxml="$xml" "tests/test_$name.py"
    fi
    # In a mount namespace of its own: whoever else makes one meanwhile would take a copy of every
    # mount along, and an upper stays in use as long as a copy is there.
    if [ "$(id -u)" -eq 0 ] && unshare -m --propagation private true 2>/dev/null; then
        set -- unshare -m --propagation private "$@"
    fi
    env PLYFS="$directory/plyfs" PLYFS_TEST_DIR="$here" PLYFS_REPORT="$report" \
        PLYFS_SANITIZED="$sanitized_run" ASAN_OPTIONS="log_path=$reports/report:detect_leaks=1" \
        UBSAN_OPTIONS="log_path=$reports/report:print_stacktrace=1" \
        TSAN_OPTIONS="log_path=$reports/report:second_deadlock_stack=1" \
        timeout -s INT -k 60 "$limit" "$@" </dev/null >"$log" 2>&1 || status=$?
    if [ "$name" = unit ] && [ -e "$directory/meson-logs/testlog.junit.xml" ]; then
        cp "$directory/meson-logs/testlog.junit.xml" "$xml"
    fi

    set -- 0 0 0
    [ ! -e "$xml" ] || set -- $(/usr/bin/python3 tests/count.py "$xml" || echo 0 1 0)
    p=$1 f=$2 s=$3 notes=''
    # The program ended badly and no test tells of it: it was hung, died, or found no tests.
    # (5: pytest ran no test, as when a module skips itself whole.)
    [ "$status" -ne 5 ] || [ "$s" -eq 0 ] || status=0
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
        f=1 notes="  ended with status $status"
        [ "$status" -ne 124 ] && [ "$status" -ne 137 ] || notes="  did not end in $limit s"
    fi
    behind=$(sweep "$here") || f=$((f + 1))
    found=$(find "$reports" -type f 2>/dev/null | wc -l)
    [ "$found" -eq 0 ] || f=$((f + 1))
    echo "$p $f $s" >"$logs/$suite.counts"
    tell >"$here/told"
    flock "$scratch" cat "$here/told"
    chmod -R u+rwx "$here" 2>/dev/null || true
    rm -rf --one-file-system "$here" 2>/dev/null || true
}

# What is said of the suite that run_suite has run.
tell() {
    verdict=ok
    [ "$f" -eq 0 ] || verdict=FAILED
    printf '%-24s %-6s %4d passed %3d failed %3d skipped %5d s\n' "$suite" "$verdict" \
        "$p" "$f" "$s" $(($(date +%s) - started))
    [ ! -s "$report" ] || sed 's/^/  /' "$report"
    grep '^SKIPPED' "$log" | sed 's/^/  /' || true
    if [ "$f" -ne 0 ]; then
        [ -z "$notes" ] || echo "$notes"
        tail -n 150 "$log" | sed 's/^/  | /'
        echo
        [ -z "$behind" ] || echo "$behind"
        if [ "$found" -ne 0 ]; then
            echo "  $found sanitizer reports:"
            cat "$reports"/* | tee "$logs/$suite.sanitizer" | head -n 150 | sed 's/^/  | /'
        fi
    fi
}

# ---- lanes ---------------------------------------------------------------------------------------

is_alone() {
    case " $alone " in *" $1 "*) return 0 ;; esac
    return 1
}

# in_lanes: reads suites, a line each, and runs as many at once as there are turns to take.
in_lanes() {
    while read -r suite; do
        read -r _ <&3
        (
            trap - EXIT HUP INT TERM
            run_suite "$suite" || true
            echo >&3
        ) </dev/null &
    done
    wait
}

mkfifo "$scratch/.turns"
exec 3<>"$scratch/.turns"
lanes=${PLYFS_LANES:-$(nproc)}
while [ "$lanes" -gt 0 ]; do
    echo >&3
    lanes=$((lanes - 1))
done
for suite in $selected; do
    rm -f "$logs/$suite.counts"
    is_alone "$suite" || echo "$suite"
done >"$scratch/.together"
in_lanes <"$scratch/.together"
for suite in $selected; do
    ! is_alone "$suite" || run_suite "$suite"
done
for suite in $selected; do
    # A suite that left no counts came to an end that nobody saw.
    read -r p f s <"$logs/$suite.counts" || p=0 f=1 s=0
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
finish
