# shellcheck shell=bash
# Processes: of a mesh: starting, awaiting, ending them. Sourced by scripts/mesh, which has recall,
# pid_file, log_file, runs, program_of, service_of, instance_data and DIR.

# launch NAME PROGRAM ARGUMENT…: starts the program in a session of its own, out of reach of Ctrl-C.
launch() {
    local name=$1
    shift
    setsid "$@" >>"$(log_file "$name")" 2>&1 </dev/null 9>&- &
    process_remember "$(pid_file "$name")" $!
}

# say_why MESSAGE PROCESS: the message, and the end of the log.
say_why() {
    warn "$1"
    tail -n 15 "$(log_file "$2")" | sed 's/^/    /' | printable >&2
}

# takes_requests INSTANCE: has it compared its log with its stream, and caught up? One that stands
# by has nothing to do.
takes_requests() {
    local state
    state=$(instance_data "$1" | jq -r .state) || return 1
    [[ -n $state && $state != starting && $state != replaying ]]
}
# Has the start succeeded, or failed for good?
service_settled() { ! runs "$1" || takes_requests "$1"; }

launch_service() {
    local instance=$1 name flags url=$URL more=() own=()
    runs "$instance" && return 0
    name=$(service_of "$instance")
    flags=$(upper "$name")_FLAGS
    read -ra own <<<"${!flags:-}"
    if ((INSTANCE_COUNT > 1)); then
        flags=$(upper "$instance")_FLAGS
        read -ra more <<<"${!flags:-}"
        own+=("${more[@]}") more=()
    fi
    ! is_secure || more=(
        --nkey "$(key_of "$name")" --tlsca "$DIR/keys/ca.pem" --source-api 'JS.{log}.API'
    )
    ! is_cluster || more+=(--stream-replicas "${#SERVERS[@]}")
    ! is_cluster || ((INSTANCE_COUNT == 1)) || url=$(urls_from "${instance##*-}")
    mkdir -p "$DIR/$instance"
    remember "program.$name" "$(program_of "$name")"
    ! is_cluster || remember "log.$name" "$("$(program_of "$name")" --print-contract | jq -r .log)"
    launch "$instance" "$(program_of "$name")" --server "$url" --data-dir "$DIR/$instance" \
        "${more[@]}" "${own[@]}"
}

await_service() {
    ((WAIT)) || return 0
    if wait_until "$READY_S" service_settled "$1" && runs "$1"; then return 0; fi
    if runs "$1" && instance_data "$1" >/dev/null; then
        warn "$1 answers, but takes no requests yet; see: $(this_mesh) status"
        return 0
    fi
    say_why "$1 does not answer; the end of $(log_file "$1"):" "$1"
    return 1
}

stop_process() {
    local name=$1 file pid
    file=$(pid_file "$name")
    if pid=$(process_of "$file"); then
        kill -TERM "$pid" 2>/dev/null || true
        kill -CONT "$pid" 2>/dev/null || true
        if ! wait_until "$STOP_S" process_is_gone "$file"; then
            warn "$name did not end within $STOP_S s and is killed"
            kill -KILL "$pid" 2>/dev/null || true
            wait_until 5 process_is_gone "$file" ||
                die "$name (pid $pid) does not end after SIGKILL"
        fi
    fi
    rm -f "$file"
}

kill_process() {
    local file pid
    file=$(pid_file "$1")
    pid=$(process_of "$file") || die "$1 does not run"
    kill -KILL "$pid"
    wait_until 5 process_is_gone "$file" || die "$1 (pid $pid) does not end after SIGKILL"
    rm -f "$file"
}

signal_process() {
    local pid
    pid=$(process_of "$(pid_file "$2")") || die "$2 does not run"
    kill "-$1" "$pid"
}

# One `up`, `start` or `down` at a time: a service that another one is just starting would stay.
take_lock() {
    exec 9>"$DIR/run/lock"
    flock -n 9 || { note "mesh: waits until another command ends: up, start or down"; flock 9; }
}
