# shellcheck shell=bash
# Lib: shared by the scripts: messages, waiting, the places of tools. Sourced, never run:
#
#     . "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib/lib.sh"
#
# A script may be called by a symbolic link, hence the realpath.
# Nothing here prints unasked, keeps state outside of the shell, or waits without a bound.
# shellcheck disable=SC2034 # each script uses only some of the variables
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
TOOLS=$ROOT/.tools
export ROOT TOOLS
# Installed with the library (libjourney-dev), scripts/mesh is the command journey-mesh, and the
# services are programs on PATH.
is_installed() { [[ ! -f $ROOT/meson.build ]]; }
# In a user's locale the letter i may have another capital (tr_TR), a number a decimal comma, and a
# sorted list another order.
export LC_ALL=C.UTF-8

# Our own tools first; /usr/sbin last, because Debian puts nats-server there.
case ":$PATH:" in
    *":$TOOLS/bin:"*) ;;
    *) export PATH="$TOOLS/bin:$PATH:/usr/sbin" ;;
esac

# The demo does without the nats CLI, whose build would take longer than the demo; with
# JOURNEY_DEMO=stand-in also where it is there.
if [[ -n ${JOURNEY_DEMO:-} ]] && { [[ $JOURNEY_DEMO == stand-in ]] || ! type -P nats >/dev/null; }
then
    export PATH="$ROOT/scripts/lib/stand-in:$PATH"
fi

SERVICES=(account-svc order-svc)
SERVER_FLOOR=2.10.27                   # an older nats-server is not used, see docs/CONVENTIONS.md
SERVER_WANTED=2.15.3                   # what scripts/setup builds, and tests and scripts/mesh use

# ---- Messages: text for a reader goes to stderr, output for a program to stdout ------------------

if [[ -t 2 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    BOLD=$'\e[1m' DIM=$'\e[2m' PLAIN=$'\e[0m'
    RED=$'\e[31m' GREEN=$'\e[32m' YELLOW=$'\e[33m' CYAN=$'\e[36m'
else
    BOLD='' DIM='' RED='' GREEN='' YELLOW='' CYAN='' PLAIN=''
fi
ME=${0##*/}

say() { printf '%s\n' "$*" >&2; }
note() { printf '%s%s%s\n' "$DIM" "$*" "$PLAIN" >&2; }
warn() { printf '%s%s: %s%s\n' "$YELLOW" "$ME" "$*" "$PLAIN" >&2; }

# die MESSAGE [EXIT_CODE]
die() {
    printf '%s%s: %s%s\n' "$RED" "$ME" "$1" "$PLAIN" >&2
    exit "${2:-1}"
}

# usage_error MESSAGE: the command line is wrong.
usage_error() {
    local me=$ME
    is_installed || me=$(realpath --relative-to="$ROOT" "$0")
    printf '%s: %s\nTry: %s --help\n' "$ME" "$1" "$me" >&2
    exit 2
}

# option_value NAME COUNT: ends with a usage error unless a value follows the option.
option_value() { (($2 >= 2)) || usage_error "$1 needs a value"; }

# need_tools NAME…: ends with advice when a program is missing.
need_tools() {
    local name
    for name in "$@"; do
        command -v "$name" >/dev/null ||
            die "$name is missing; $(how_to_get)"
    done
}
how_to_get() {
    if is_installed; then printf 'install it'
    else printf 'run scripts/setup, with --tests for tools that only tests need'; fi
}

# named_as_here: copies a help text, with the names that the commands have where this runs.
named_as_here() {
    if is_installed; then sed -E 's#scripts/(mesh|check|samples|timeline)#journey-\1#g'
    else cat; fi
}

# printable: copies its input for a person: nothing of it steers the terminal.
printable() { /usr/bin/env python3 -B "$ROOT/scripts/lib/journey/terminal.py"; }

# ---- Waiting -------------------------------------------------------------------------------------

now_ms() { printf '%s' "$((${EPOCHREALTIME/./} / 1000))"; }

# The factor of all waits for conditions, which tests set: on a loaded machine everything takes
# longer, and only a condition that never comes true may reach the limit of its wait.
PATIENCE=${JOURNEY_PATIENCE:-1}

# wait_until SECONDS COMMAND…: runs the command every 50 ms until it succeeds; 1 after PATIENCE
# times the seconds.
wait_until() {
    local end=$((SECONDS + $1 * PATIENCE + 1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

# slower NUMBER: a timeout that may pass, or a limit of a measured time, scaled by the load
# (runnable processes per processor) and by JOURNEY_SLOWER, which tests of a build with sanitizers
# set.
slower() {
    local minute running wanted
    read -r minute _ _ running _ </proc/loadavg
    minute=${minute%.*} running=${running%/*}
    wanted=$((minute > running ? minute : running))
    wanted=$((wanted > PROCESSORS ? wanted : PROCESSORS))
    printf '%s' $(($1 * ${JOURNEY_SLOWER:-1} * wanted / PROCESSORS))
}
PROCESSORS=$(nproc)

# ---- Versions, ports -----------------------------------------------------------------------------

# version_at_least HAVE WANT
version_at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | sed -n 1p) == "$2" ]]; }

# The version of a nats-server program: "2.10.27"; empty for any other program.
server_version() { "$1" --version 2>/dev/null | sed -n 's/^nats-server: v\{0,1\}//p' || true; }

# server_advisories VERSION: prints the known advisories of such a server, one a line; nothing when
# all are fixed. A row of the table names the releases in which one was fixed, oldest branch first.
# The services read the same table.
server_advisories() {
    local start branch_1 branch_2 newest id reason fixed _
    while IFS='"' read -r start branch_1 _ branch_2 _ newest _ id _ reason _; do
        [[ $start == '{ { ' ]] || continue          # a line of the comment
        for fixed in "$branch_1" "$branch_2"; do
            [[ $1 != "${fixed%.*}".* ]] || ! version_at_least "$1" "$fixed" || continue 2
        done
        version_at_least "$1" "$newest" || printf '%s: %s\n' "$id" "$reason"
    done <"$ROOT/common/bus/server_advisories.inc"
}

# find_server: prints the path of a nats-server: the first one without known advisories, else the
# first one that is new enough; 1 when there is none. NATS_SERVER may name one, which is preferred.
find_server() {
    local program version installed second=''
    mapfile -t installed < <(type -ap nats-server)
    for program in ${NATS_SERVER:+"$NATS_SERVER"} "$TOOLS/bin/nats-server" \
        "${installed[@]}" /usr/sbin/nats-server; do
        [[ -x $program ]] || continue
        version=$(server_version "$program")
        if [[ -z $version ]] || ! version_at_least "$version" "$SERVER_FLOOR"; then continue; fi
        if [[ $program == "${NATS_SERVER:-}" || -z $(server_advisories "$version") ]]; then
            printf '%s' "$program"
            return 0
        fi
        second=${second:-$program}
    done
    printf '%s' "$second"
    [[ -n $second ]]
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port: a free TCP port of the loopback. The port is below the range from which the kernel
# takes the ports of outgoing connections, so that a server can bind it again after an outage.
free_port() {
    local port try
    for ((try = 0; try < 200; try++)); do
        port=$((20000 + RANDOM % 12000))
        if port_is_free "$port"; then
            printf '%s' "$port"
            return 0
        fi
    done
    return 1
}

# apt_sources: the files with this machine's sources of packages, one a line.
apt_sources() {
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources; do
        ! grep -qsE '^(deb|Types:)' "$file" || printf '%s\n' "$file"
    done
}

# ---- Processes: a pid file has "PID START", so that a reused pid is detected ---------------------

# The time at which a process started, in ticks since boot; empty when there is no such process.
process_start() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    stat=${stat##*) }
    # shellcheck disable=SC2086 # the fields are wanted one by one
    set -- $stat
    [[ $1 == Z ]] || printf '%s' "${20}"
}

# process_remember FILE PID
process_remember() { printf '%s %s\n' "$2" "$(process_start "$2")" >"$1"; }

# process_of FILE: prints the pid if the process of the pid file still runs; 1 if not.
process_of() {
    local pid start
    { read -r pid start <"$1"; } 2>/dev/null || return 1
    [[ -n $start && $(process_start "$pid") == "$start" ]] || return 1
    printf '%s' "$pid"
}

process_is_gone() { ! process_of "$1" >/dev/null; }

# running, paused or dead
process_state() {
    local pid stat
    pid=$(process_of "$1") || { printf 'dead'; return 0; }
    { read -r stat <"/proc/$pid/stat"; } 2>/dev/null || { printf 'dead'; return 0; }
    stat=${stat##*) }
    if [[ ${stat:0:1} == T ]]; then printf 'paused'; else printf 'running'; fi
}

# ---- The nats CLI, with its own configuration folder, so that a user's contexts stay untouched ---

# ask SUBJECT BODY [OPTION…]: sends a request and prints the reply's body alone; 1 without a reply
# within ASK_S seconds, scaled by the load. The CLI takes {{ in a body as a template; our bodies
# have none.
ask() {
    local subject=$1 body=$2 reply
    shift 2
    reply=$(nats request --raw --timeout "$(slower "${ASK_S:-5}")s" "$@" "$subject" "$body" \
        2>/dev/null </dev/null) || return 1
    [[ -n $reply ]] || return 1
    printf '%s\n' "$reply"
}

# service_answers SERVICE: succeeds when the service answers $SRV.PING.
service_answers() { ASK_S=1 ask "\$SRV.PING.$1" '' >/dev/null; }

# services_data SERVICE COUNT FILTER: the statistics of that instance, of COUNT, whose answer the jq
# filter lets pass; one line of JSON.
services_data() {
    ASK_S=1 ask "\$SRV.STATS.$1" '' --replies "$2" |
        jq -cen "first(inputs | $3 | first(.endpoints[].data | objects))" 2>/dev/null
}

# service_data SERVICE: the statistics of the instance that serves, one line of JSON. A standby
# answers, too, and says who that is.
service_data() {
    local reply serving
    reply=$(ASK_S=1 ask "\$SRV.STATS.$1" '') || return 1
    serving=$(jq -r '.metadata.serving // empty' <<<"$reply")
    [[ -z $serving ]] || reply=$(ASK_S=1 ask "\$SRV.STATS.$1.$serving" '') || return 1
    jq -ce '[.endpoints[].data | objects][0]' <<<"$reply" 2>/dev/null
}
