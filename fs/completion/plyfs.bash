# SPDX-License-Identifier: MIT
# Completion of plyfs for bash: commands, switches, mount options and directories.

_plyfs_options='allow_other allow_root dev nodev suid nosuid exec noexec atime noatime diratime
    nodiratime sync async dirsync ro rw fsname= subtype= fsync=0 volatile noacl userxattr debug
    threads= spin=on spin=off timeout= writeback=on writeback=off io_uring=on io_uring=off profile=auto
    profile=stateless profile=tracked redirect_dir=on redirect_dir=off metacopy=on metacopy=off
    index=on index=off default_permissions xino= static_nlink threaded= max_idle_threads= clone_fd
    private'

_plyfs_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    return 0
}

_plyfs_directories() {
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -d -- "$1")
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
    # Readline replaces only what stands behind the last word break, and = and : are such.
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

_plyfs() {
    local line=${COMP_LINE:0:COMP_POINT} current previous command=''
    # Words as the shell's user sees them: split at blanks only.
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:blank:]] ]] && words+=('')
    current=${words[-1]}
    previous=${words[-2]}
    [[ ${#words[@]} -gt 2 ]] && command=${words[1]}
    COMPREPLY=()

    case $previous in
    --lower | --upper | --work) _plyfs_directories "$current"; return ;;
    -o)
        if [[ $command == mount ]]; then
            _plyfs_mount_options "$current" own
        else
            _plyfs_mount_options "$current" drop-in
        fi
        return
        ;;
    esac
    case $current in
    --profile=*) _plyfs_words 'auto stateless tracked' "${current#*=}"; return ;;
    --redirect-dir=* | --metacopy=* | --index=*) _plyfs_words 'on off' "${current#*=}"; return ;;
    esac
    case $command:$current in
    mount:-*)
        _plyfs_words '--lower --upper --work --ro --profile= --redirect-dir= --metacopy= --index=
            --foreground --debug --help -o -f -d' "$current"
        ;;
    umount:-*) _plyfs_words '--lazy --help' "$current" ;;
    :-*) _plyfs_words '-o -f -d --version --help' "$current" ;;
    :*) _plyfs_words 'mount umount' "$current" ;;
    *) _plyfs_directories "$current" ;;
    esac
}

complete -F _plyfs plyfs
