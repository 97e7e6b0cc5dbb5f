# SPDX-License-Identifier: MIT
# Completion of plyfs for bash: commands and switches, which the program itself tells, names from its
# catalog, mount options, files and directories.

_plyfs_options='allow_other allow_root dev nodev suid nosuid exec noexec atime noatime diratime
    nodiratime sync async dirsync ro rw fsname= subtype= fsync=0 volatile noacl userxattr debug
    threads= spin=on spin=off passthrough=on passthrough=off timeout= writeback=on writeback=off io_uring=on io_uring=off shared_locks=off profile=auto
    profile=stateless profile=tracked redirect_dir=on redirect_dir=off metacopy=on metacopy=off
    index=on index=off default_permissions xino= static_nlink threaded= max_idle_threads= clone_fd
    private uidmapping= gidmapping= squash_to_root squash_to_uid= squash_to_gid= context=
    xattr_permissions='

_plyfs_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    return 0
}

_plyfs_directories() {
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -d -- "$1")
}

# Readline replaces only what stands behind the last word break, and = and : are such.
_plyfs_behind_break() {
    local break word=$1 longest='' cut
    for break in '=' ':'; do
        [[ $COMP_WORDBREAKS == *"$break"* && $word == *"$break"* ]] && {
            cut=${word%"$break"*}$break
            [[ -z $longest || ${#cut} -gt ${#longest} ]] && longest=$cut
        }
    done
    [[ -n $longest ]] && COMPREPLY=("${COMPREPLY[@]#"$longest"}")
    return 0
}

# The word after -o: the last of the options between commas, or a path in it.
_plyfs_mount_options() {
    local before='' last=$1 known="$_plyfs_options" path
    [[ $2 == drop-in ]] && known+=' lowerdir= upperdir= workdir='
    if [[ $last == *,* ]]; then
        before=${last%,*},
        last=${last##*,}
    fi
    case $last in
    lowerdir=* | upperdir=* | workdir=*)
        path=${last#*=}
        before+=${last%%=*}=
        if [[ $last == lowerdir=*:* ]]; then
            before+=${path%:*}:
            path=${path##*:}
        fi
        compopt -o nospace
        mapfile -t COMPREPLY < <(compgen -d -P "$before" -S / -- "$path")
        ;;
    *)
        compopt -o nospace
        mapfile -t COMPREPLY < <(compgen -W "$known" -P "$before" -- "$last")
        ;;
    esac
    _plyfs_behind_break "$1"
}

# The word after -v: the name of a volume or a directory, and behind its second colon a mode.
_plyfs_volume() {
    local before
    compopt -o nospace
    case $1 in
    *:*:*)
        before=${1%"${1##*[:,]}"}
        mapfile -t COMPREPLY < <(compgen -W 'ro rw nocopy z Z rprivate rshared rslave' -P "$before" \
            -- "${1##*[:,]}")
        ;;
    *:*) ;;
    /* | .*) mapfile -t COMPREPLY < <(compgen -d -S / -- "$1") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$(_plyfs_names volume)" -S : -- "$1") ;;
    esac
    _plyfs_behind_break "$1"
}

# The word after --mount: the last of its fields, or the value of that.
_plyfs_volume_record() {
    local before='' last=${1##*,} known='type= source= target= readonly volume-nocopy volume-subpath=
        volume-driver= volume-opt= volume-label= bind-propagation= bind-recursive= bind-create-src
        tmpfs-size= tmpfs-mode= image-subpath='
    [[ $1 == *,* ]] && before=${1%,*},
    before+=${last%"${last#*=}"}
    compopt -o nospace
    case $last in
    type=*) known='volume bind tmpfs image' ;;
    source=* | src=*)
        if [[ ,$1 == *,type=bind,* ]]; then
            mapfile -t COMPREPLY < <(compgen -d -P "$before" -S / -- "${last#*=}")
            _plyfs_behind_break "$1"
            return
        fi
        known=$(_plyfs_names volume)
        [[ ,$1 == *,type=image,* ]] && known=$(_plyfs_names image)
        ;;
    *=*) known='' ;;
    *) before=${1%"$last"} ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$known" -P "$before" -- "${last#*=}")
    _plyfs_behind_break "$1"
}

# The commands that `plyfs --help` or `plyfs GROUP --help` lists.
_plyfs_commands() {
    local line listed=''
    while IFS= read -r line; do
        if [[ $line == commands: ]]; then
            listed=1
        elif [[ -n $listed && $line =~ ^'  '([a-z][a-z-]*) ]]; then
            echo "${BASH_REMATCH[1]}"
        fi
    done < <("$@" --help 2> /dev/null)
}

# The switches that a command's --help lists, and of one switch the words that it takes.
_plyfs_switches() {
    local line
    while IFS= read -r line; do
        [[ $line =~ ^' '+(-[a-zA-Z], )?(--[a-z-]+=?) ]] && echo "${BASH_REMATCH[2]}"
    done < <("$@" --help 2> /dev/null)
}

_plyfs_values() {
    local line switch=$1
    shift
    while IFS= read -r line; do
        [[ $line =~ "$switch "[A-Z]+' '+[^:]*': '([a-z, ]+)$ ]] && echo "${BASH_REMATCH[1]//,/}"
    done < <("$@" --help 2> /dev/null)
}

# What the catalog has of a kind, for the store that the line speaks of.
_plyfs_names() {
    case $1 in
    layer) "${program[@]}" layer ls "${store[@]}" --format '{{.Id}} {{.Name}}' ;;
    image) "${program[@]}" image ls "${store[@]}" --format '{{.Id}} {{.Names}}' | tr , ' ' ;;
    volume) "${program[@]}" volume ls "${store[@]}" -q ;;
    mount) "${program[@]}" ps -a "${store[@]}" --format '{{.Name}}' ;;
    esac 2> /dev/null
}

# What the words of a command are: its own switches, names of the catalog, or files.
_plyfs_operands() {
    if [[ $current == -* ]]; then
        _plyfs_words "$(_plyfs_switches "${program[@]}" "${command[@]}")" "$current"
        return
    fi
    case ${command[*]} in
    'layer inspect' | 'layer rm' | 'layer export' | 'layer verify' | 'layer diff')
        _plyfs_words "$(_plyfs_names layer)" "$current"
        ;;
    'image inspect' | 'image rm' | 'image tag' | 'image export' | create)
        _plyfs_words "$(_plyfs_names image)" "$current"
        ;;
    inspect | rename | rm | export | commit | ls | cat | shadow | copyups | report | policy | waste)
        _plyfs_words "$(_plyfs_names mount)" "$current"
        ;;
    diff | explain | trace | stats)
        compopt -o filenames
        mapfile -t COMPREPLY < <(
            compgen -W "$(_plyfs_names mount)" -- "$current"
            [[ $current == [./]* ]] && compgen -f -- "$current")
        ;;
    expect)
        if [[ ${#words[@]} -eq 3 ]]; then
            _plyfs_words "$(_plyfs_names mount)" "$current"
        else
            _plyfs_words 'shadowed from-layer present absent whiteout unchanged copyups moved denied warned' \
                "$current"
        fi
        ;;
    attach | detach)
        if [[ ${#words[@]} -eq 3 ]]; then
            _plyfs_words "$(_plyfs_names mount)" "$current"
        elif [[ ${command[0]} == detach ]]; then
            _plyfs_words "$("${program[@]}" shadow "${store[@]}" --format '{{.Destination}}' \
                "${words[2]}" 2> /dev/null)" "$current"
        else
            _plyfs_volume "$current"
        fi
        ;;
    'volume inspect' | 'volume rm' | 'volume rename' | 'volume clone' | 'volume export' | 'volume diff' | \
        'volume reseed')
        _plyfs_words "$(_plyfs_names volume)" "$current"
        ;;
    'volume import')
        compopt -o filenames
        mapfile -t COMPREPLY < <(
            compgen -W "$(_plyfs_names volume)" -- "$current"
            compgen -f -- "$current")
        ;;
    run) _plyfs_words "$(_plyfs_names mount) $(_plyfs_names image)" "$current" ;;
    umount)
        _plyfs_directories "$current"
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$(_plyfs_names mount)" -- "$current")
        ;;
    mount)
        _plyfs_directories "$current"
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(
            compgen -W "$(_plyfs_names mount) $(_plyfs_names image)" -- "$current")
        ;;
    'layer import' | 'image import')
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        ;;
    esac
}

_plyfs() {
    local line=${COMP_LINE:0:COMP_POINT} current previous word
    # Words as the shell's user sees them: split at blanks only.
    local -a words program command=() store=()
    read -ra words <<< "$line"
    [[ $line == *[[:blank:]] ]] && words+=('')
    current=${words[-1]}
    previous=${words[-2]}
    program=("${words[0]}")
    COMPREPLY=()

    # The command is the first word, and for a group the first two.
    if [[ ${#words[@]} -gt 2 && ${words[1]} != -* ]]; then
        command=("${words[1]}")
        if [[ ${words[1]} == layer || ${words[1]} == image || ${words[1]} == volume ]]; then
            if [[ ${#words[@]} -eq 3 ]]; then
                _plyfs_words "$(_plyfs_commands "${program[@]}" "${words[1]}")" "$current"
                return
            fi
            command+=("${words[2]}")
        fi
    fi
    for ((word = 1; word < ${#words[@]} - 2; word++)); do
        [[ ${words[word]} == --root ]] && store=(--root "${words[word + 1]}")
        [[ ${words[word]} == --root=* ]] && store=("${words[word]}")
    done

    case $previous in
    --lower | --upper | --work | --root) _plyfs_directories "$current"; return ;;
    --output | --file)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --filter | -f)
        if [[ ${command[*]} == trace && $current != *[=,]* ]]; then
            _plyfs_words 'op= path= pid= slow=' "$current"
            return
        fi
        ;;&
    --format | --filter | --name | --max-size | --label | --opt | --deny | --warn | --allow | --budget | --before | --remove | --driver | --uid | --gid | --mode) [[ ${#command[@]} -gt 0 ]] && return ;;
    --volume | -v)
        if [[ ${command[*]} != rm ]]; then
            _plyfs_volume "$current"
            return
        fi
        ;;
    --mount) _plyfs_volume_record "$current"; return ;;
    --volumes-from)
        _plyfs_words "$(_plyfs_names mount)" "$current"
        return
        ;;
    --image)
        _plyfs_words "$(_plyfs_names image)" "$current"
        return
        ;;
    -o)
        if [[ ${command[*]} == mount ]]; then
            _plyfs_mount_options "$current" own
        elif [[ ${command[*]} == 'volume create' ]]; then
            _plyfs_words 'type= device= o= size=' "$current"
        elif [[ ${#command[@]} -eq 0 ]]; then
            _plyfs_mount_options "$current" drop-in
        else
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
        fi
        return
        ;;
    --*)
        _plyfs_words "$(_plyfs_values "$previous" "${program[@]}" "${command[@]}")" "$current"
        [[ ${#COMPREPLY[@]} -gt 0 ]] && return
        ;;
    esac
    case $current in
    --profile=*) _plyfs_words 'auto stateless tracked' "${current#*=}"; return ;;
    --redirect-dir=*) _plyfs_words 'on off follow nofollow' "${current#*=}"; return ;;
    --metacopy=* | --index=*) _plyfs_words 'on off' "${current#*=}"; return ;;
    esac
    if [[ ${#command[@]} -gt 0 ]]; then
        _plyfs_operands
    elif [[ ${#words[@]} -gt 2 ]]; then
        _plyfs_directories "$current"
    elif [[ $current == -* ]]; then
        _plyfs_words '-o -f -d --version --help' "$current"
    else
        _plyfs_words "$(_plyfs_commands "${program[@]}")" "$current"
    fi
}

complete -F _plyfs plyfs
