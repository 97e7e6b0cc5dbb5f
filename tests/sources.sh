#!/bin/sh
# SPDX-License-Identifier: MIT
#
# sources.sh TYPE SUITE BASE: writes an apt source list that asks this machine's own mirror of the
# main archive for another suite, and prints the name of the file (BASE.sources or BASE.list).
#
# TYPE is deb or deb-src; SUITE may be "own", the suite of this machine. Mirror, keyring and the
# other options of the entry stay as the machine's owner wrote them, so signatures are checked as
# ever; only type, suite and components are replaced. Security, updates and backports are other
# suites and are left out by that; entries of third parties are left out where they can be told.
set -eu

type=$1 suite=$2 base=$3
codename=$(. /etc/os-release && printf %s "${VERSION_CODENAME:-}")
[ "$suite" != own ] || suite=$codename
if [ -z "$suite" ] || [ -z "$codename" ]; then
    echo "sources.sh: /etc/os-release names no suite" >&2
    exit 1
fi

eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"

# Both forms are read in two passes: entries whose URI ends as the main archive's does are taken
# alone when there are any, for a third party may use the same suite and component names.
deb822='
    function has(list, word) { return (" " list " ") ~ ("[ \t]" word "[ \t]") }
    BEGIN { RS = ""; FS = "\n"; names = codename "|stable|oldstable|testing|unstable|sid" }
    {
        split("", fields); kept = ""; skip = 0
        for (i = 1; i <= NF; i++) {
            if ($i ~ /^#/)
                continue
            if ($i ~ /^[ \t]/) {          # a continuation: part of the field above
                if (!skip) kept = kept $i "\n"
                else fields[last] = fields[last] " " $i
                continue
            }
            colon = index($i, ":"); last = tolower(substr($i, 1, colon - 1))
            fields[last] = substr($i, colon + 1)
            skip = last ~ /^(types|suites|components|architectures|enabled)$/
            if (!skip) kept = kept $i "\n"
        }
        if (!has(fields["types"], "deb") || tolower(fields["enabled"]) ~ /no|false/ ||
            !has(fields["suites"], "(" names ")") || !has(fields["components"], "main") ||
            fields["uris"] ~ /cdrom:/ || (strict && fields["uris"] !~ /\/debian(\.list)?\/?[ \t]*$/))
            next
        print kept "Types: " type "\nSuites: " suite "\nComponents: main\n"
    }'
oneline='
    BEGIN { names = "^(" codename "|stable|oldstable|testing|unstable|sid)$" }
    $1 == "deb" {
        sub(/#.*/, ""); options = ""; rest = $0
        sub(/^[ \t]*deb[ \t]+/, "", rest)
        if (rest ~ /^\[/) {
            options = substr(rest, 1, index(rest, "]")); rest = substr(rest, index(rest, "]") + 1)
        }
        n = split(rest, word, " "); main = 0
        for (i = 3; i <= n; i++) if (word[i] == "main") main = 1
        if (!main || word[2] !~ names || word[1] ~ /^cdrom:/ ||
            (strict && word[1] !~ /\/debian(\.list)?\/?$/))
            next
        print type (options == "" ? "" : " " options), word[1], suite, "main"
    }'

for strict in 1 0; do
    for file in "$parts"*.sources; do
        [ -r "$file" ] || continue
        awk -v strict="$strict" -v codename="$codename" -v type="$type" -v suite="$suite" \
            "$deb822" "$file"
    done >"$base.sources"
    if [ -s "$base.sources" ]; then
        echo "$base.sources"
        exit 0
    fi
    rm -f "$base.sources"
    for file in "$list" "$parts"*.list; do
        [ -r "$file" ] || continue
        awk -v strict="$strict" -v codename="$codename" -v type="$type" -v suite="$suite" \
            "$oneline" "$file"
    done | sort -u >"$base.list"
    if [ -s "$base.list" ]; then
        echo "$base.list"
        exit 0
    fi
    rm -f "$base.list"
done
echo "sources.sh: no entry of the main archive for $codename in apt's configuration" >&2
exit 1
