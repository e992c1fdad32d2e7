# shellcheck shell=bash
# Chaos, the faults that scripts/chaos --help lists, a function each: it injects the fault and heals
# it. Sourced by scripts/chaos, which has the services, their lines and disks.

declare -A SETTING=() OTHER=()         # what others have set, and the durables that are theirs
BACKUPS=0 OTHERS=0

# random_service: a service, for what happens to its stream; random_instance: an instance of one,
# for what happens to a process, its disk or its line. One instance has the name of its service.
# shellcheck disable=SC2153 # scripts/chaos has SERVICES, INSTANCES and PROCESSES
random_service() { draw 2; SERVICE=${SERVICES[DRAWN]}; }
random_instance() {
    draw ${#INSTANCES[@]}
    SERVICE=${INSTANCES[DRAWN]}
    streams_are_whole
}
random_process() {
    draw ${#PROCESSES[@]}
    PROCESS=${PROCESSES[DRAWN]}
    streams_are_whole
}
file_of() { printf '%s' "$DIR/$1/$(service_of "$1").db"; }
program_of() { printf '%s' "$BUILD/$(service_of "$1")/$(service_of "$1")"; }

# Who takes over has what is in the stream. So the leader of a pair has an accident only while the
# stream is whole: otherwise both copies of an event would be lost at once.
streams_are_whole() {
    local name
    ((COUNT_OF_INSTANCES > 1)) || return 0
    for name in "${SERVICES[@]}"; do
        wait_until 90 stream_is_whole "$name" ||
            die "the stream of $name does not get whole: $(service_data "$name")"
    done
}
# When the server is away, the command fails and this fault does not happen.
js_done() { nats --timeout 3s "$@" >>"$DIR/log/nats.log" 2>&1 </dev/null; }
js() { js_done "$@" || true; }

fault_kill() { random_process; mesh kill "$PROCESS"; pause_up_to 800; start_again "$PROCESS"; }
fault_both() {
    local first
    random_process; first=$PROCESS
    random_process
    mesh kill "$first"
    [[ $first == "$PROCESS" ]] || mesh kill "$PROCESS"
    pause_up_to 800
    start_again "$first"
    [[ $first == "$PROCESS" ]] || start_again "$PROCESS"
}
fault_pause() { random_process; mesh pause "$PROCESS"; pause_up_to 6000; mesh resume "$PROCESS"; }
fault_stop() {
    random_instance
    mesh stop "$SERVICE" 2>>"$DIR/log/start.log"
    pause_up_to 500
    start_again "$SERVICE"
}
# A disk that failed may end it later than the fault: it is started again, when there is one alone.
answers_alone() { ((COUNT_OF_INSTANCES > 1)) || answers_or_starts "$1"; }
is_ready_or_starts() { answers_alone "$1" && service_is_ready "$1"; }
sees_others_or_starts() { answers_alone "$1" && has_seen_others "$1"; }
# A lost or old database needs the stream: the stream stays until the service has its log again, and
# has seen what others have set (I18), at the next audit.
has_its_log() {
    local before='' now
    until wait_until 60 is_ready_or_starts "$1"; do  # a long stream may be made anew just now
        now=$(service_data "$1" | grep -oE '"(position|cursor|published)":[0-9]+' || true)
        [[ $now && $now != "$before" ]] ||
            die "$1 does not get ready, and reads nothing: $(service_data "$1")"
        before=$now
    done
    wait_until 60 sees_others_or_starts "$1" || die "$1 does not see what was set: $(in_file "$1")"
}
in_file() {                            # of the instance that leads
    local leader=$1
    ((COUNT_OF_INSTANCES == 1)) || leader=$(leader_of "$1") || return 1
    sqlite3 "file:$(file_of "$leader")?mode=ro" "SELECT json_extract(config, '\$.description')
        || ' ' || (json_extract(config, '\$.duplicate_window') / 1000000000)
        || ' ' || json_extract(config, '\$.max_bytes') FROM kept_streams;
        SELECT name FROM kept_durables" 2>&1
}
has_seen_others() {
    local seen durable
    seen=$(in_file "$1") || return 1
    [[ -z ${SETTING[$1]:-} ]] || grep -qxF -- "${SETTING[$1]}" <<<"$seen" || return 1
    for durable in ${OTHER[$1]:-}; do grep -qxF -- "$durable" <<<"$seen" || return 1; done
}

fault_delete() { random_service; has_its_log "$SERVICE"; js stream rm -f "${STREAM[$SERVICE]}"; }
fault_purge() { random_service; has_its_log "$SERVICE"; js stream purge -f "${STREAM[$SERVICE]}"; }
last_sequence() {
    nats --timeout 3s stream info "$1" -j 2>/dev/null | jq -r '.state.last_seq // 0'
}
fault_unlast() {
    local last
    random_service
    has_its_log "$SERVICE"
    last=$(last_sequence "${STREAM[$SERVICE]}") || last=0
    ((last == 0)) || js stream rmm -f "${STREAM[$SERVICE]}" "$last"
}
fault_middle() {
    local last
    random_service
    has_its_log "$SERVICE"
    last=$(last_sequence "${STREAM[$SERVICE]}") || last=0
    ((last < 3)) || js stream rmm -f "${STREAM[$SERVICE]}" "$((1 + last / 2))"
}
fault_durable() {
    random_service
    js consumer rm -f "${STREAM[$SERVICE]}" "${READER[${STREAM[$SERVICE]}]}"
}
fault_wipe() {
    for SERVICE in "${SERVICES[@]}"; do has_its_log "$SERVICE"; done
    SERVICE=''
    mesh kill server
    rm -rf "$DIR/server/jetstream" "$DIR/server/store"
    start_again server
}

# A second instance of a service, with a folder of its own, empty or a copy.
second_instance() {
    "$BUILD/$SERVICE/$SERVICE" --server "$NATS_URL" --data-dir "$1" "${PAIR_FLAGS[@]}" \
        >>"$DIR/log/second.log" 2>&1 &
    SECOND=$!
    pause_up_to 4000
    kill -KILL "$SECOND" 2>/dev/null || true
    wait "$SECOND" 2>/dev/null || true
    rm -rf "$1"
}
fault_second() {
    random_service
    mkdir "$DIR/second"
    second_instance "$DIR/second"
}
fault_copied() {
    random_service
    local from=$SERVICE
    ((COUNT_OF_INSTANCES == 1)) || from=$(leader_of "$SERVICE") || return 0
    mkdir "$DIR/second"
    "$BUILD/$SERVICE/$SERVICE" --data-dir "$DIR/$from" backup "$DIR/second/$SERVICE.db" \
        >>"$DIR/log/start.log" 2>&1 || { rm -rf "$DIR/second"; return 0; }
    pause_up_to 500
    second_instance "$DIR/second"
}

# Files that do not belong together, or are not where they were. Nothing of it may be served; then
# a person puts right what he did. A backup of the same life is made whole by the WAL: it is served.
position_in() { sqlite3 "$1" 'SELECT coalesce(max(position), 0) FROM event_log'; }
is_gone_or_whole() {                   # SERVICE POSITION
    process_is_gone "$DIR/run/$1.pid" ||
        [[ $(service_data "$1" | jq ".state == \"ready\" and .position >= $2") == true ]]
}
fault_beside() {
    local position folder saved=$DIR/saved backup=$DIR/backup-$((BACKUPS += 1)).db
    random_instance
    folder=$DIR/$SERVICE
    "$BUILD/$SERVICE/$SERVICE" --data-dir "$folder" backup "$backup" \
        >>"$DIR/log/start.log" 2>&1 || return 0
    draw 2
    if ((DRAWN)); then                 # the backup is of an earlier life
        mesh kill "$SERVICE"
        start_again "$SERVICE"
        has_its_log "$SERVICE"
    fi
    pause_up_to 1500
    mesh kill "$SERVICE"
    if [[ ! -s $folder/$SERVICE.db-wal ]]; then
        start_again "$SERVICE"         # all was in the file: a copy over it would be a restored one
        return
    fi
    rm -rf "$saved"
    cp -a "$folder" "$saved"
    position=$(position_in "$saved/$SERVICE.db")
    rm -rf "$saved"
    cp -a "$folder" "$saved"
    cp "$backup" "$folder/$SERVICE.db"
    : >"$DIR/disk-$SERVICE/undo"       # the power goes with the files
    start_again "$SERVICE"
    wait_until 60 is_gone_or_whole "$SERVICE" "$position" ||
        die "$SERVICE serves a mixture of two files: $(service_data "$SERVICE")"
    if process_is_gone "$DIR/run/$SERVICE.pid"; then
        rm -rf "$folder"
        mv "$saved" "$folder"
        start_again "$SERVICE"
    fi
}
is_in_state() { [[ $(service_data "$1" | jq -r .state) == "$2" ]]; }
fault_moved() {
    local file
    random_instance
    file=$DIR/$SERVICE/$SERVICE.db
    mv "$file" "$DIR/aside.db"
    wait_until 60 is_in_state "$SERVICE" moved ||
        die "$SERVICE does not see that its file was moved: $(service_data "$SERVICE")"
    mesh kill "$SERVICE"
    mv "$DIR/aside.db" "$file"
    start_again "$SERVICE"
}

# What an operator sets on a stream, and the durable that is somebody else's; looked at in the end.
fault_edit() {
    random_service
    draw 1000
    if js_done stream edit -f "${STREAM[$SERVICE]}" --description "set $DRAWN" \
        --dupe-window "$((60 + DRAWN))s" --max-bytes "$((1000000000 + DRAWN))"; then
        # shellcheck disable=SC2034 # scripts/chaos looks at it
        SETTING[$SERVICE]="set $DRAWN $((60 + DRAWN)) $((1000000000 + DRAWN))"
    fi
}
fault_other() {
    local before
    random_service
    read -ra before <<<"${OTHER[$SERVICE]:-}"
    ((${#before[@]} < 40)) || return 0 # a service gives back 64
    js_done consumer add "${STREAM[$SERVICE]}" "analytics-$((OTHERS += 1))" --pull --ack explicit \
        --deliver all --defaults || return 0
    OTHER[$SERVICE]+=" analytics-$OTHERS"
}
# The reader's durable, otherwise than the reader wants it.
fault_consumer() {
    random_service
    draw 3
    local edits=('--max-pull-batch 10' '--max-pull-expire 1s' '--max-pending 5')
    # shellcheck disable=SC2086 # an option and its value
    js consumer edit -f "${STREAM[$SERVICE]}" "${READER[${STREAM[$SERVICE]}]}" ${edits[DRAWN]}
}

# Another writer in the stream, who knows nothing, or fences as the relay does.
fault_foreign() {
    random_service
    has_its_log "$SERVICE"
    js publish "evt.${SERVICE%-svc}.Intruder" '{"x":1}'
}
fault_fenced() {
    local last
    random_service
    has_its_log "$SERVICE"
    last=$(last_sequence "${STREAM[$SERVICE]}") || return 0
    js publish -H "Nats-Expected-Last-Sequence:$last" "evt.${SERVICE%-svc}.Intruder" '{"x":1}'
}
fault_forged() { SERVICE=order-svc; has_its_log order-svc; strange forge; }

# A client that means no good, see stranger.py.
strange() { draw 10000; python3 "$ROOT/scripts/lib/journey/stranger.py" "$1" "$NATS_URL" "$DRAWN"; }
fault_headers() { strange headers; }
fault_flood() { strange flood; }
fault_bodies() { strange bodies; }

fault_cut() {
    random_instance
    draw ${#LINES[@]}
    line "$SERVICE" "${LINES[DRAWN]}"
    pause_up_to 6000
    line "$SERVICE" heal
}
fault_bad() {
    random_instance
    draw ${#BAD_LINES[@]}
    line "$SERVICE" "${BAD_LINES[DRAWN]}"
    pause_up_to 4000
    line "$SERVICE" heal
}
fault_reset() { random_instance; line "$SERVICE" reset; }
fault_locked() {
    random_instance
    # When the database is busy, the lock fails and this fault does not happen.
    python3 - "$(file_of "$SERVICE")" "$((RANDOM % 3000))" <<'PYTHON' || true
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None)
database.execute("BEGIN IMMEDIATE")
time.sleep(int(sys.argv[2]) / 1000)
database.execute("ROLLBACK")
PYTHON
}
# strike PLAN MS: the disk follows the plan (tests/mesh/breakable/faulty_disk.h) for up to MS.
strike() {
    printf '%s\n' "$1" >"$DIR/disk-$SERVICE/plan"
    pause_up_to "$2"
    : >"$DIR/disk-$SERVICE/plan"
}
fault_full() { random_instance; strike 'change full 1 0' 2000; }
fault_eio() { random_instance; draw 10000; strike "change io chance 20 $DRAWN" 800; }
fault_torn() { random_instance; draw 10000; strike "write torn chance 20 $DRAWN" 800; }
fault_sync() { random_instance; draw 10000; strike "sync io chance 50 $DRAWN" 800; }
fault_power() {
    random_instance
    draw 10000
    mesh kill "$SERVICE"
    PYTHONDONTWRITEBYTECODE=1 python3 "$ROOT/tests/mesh/faults/disk.py" \
        "$(file_of "$SERVICE")" "$DIR/disk-$SERVICE" "$DRAWN"
    start_again "$SERVICE"
}
fault_clock() {
    random_instance
    draw ${#JUMPS_MS[@]}
    printf '%s\n' "${JUMPS_MS[DRAWN]}" >"$DIR/clock-$SERVICE"
    pause_up_to 3000
    : >"$DIR/clock-$SERVICE"
}

# stream_counts SERVICE: the last sequence and the number of messages of its stream.
stream_counts() {
    nats --timeout 3s stream info "${STREAM[$1]}" -j 2>/dev/null |
        jq -r '.state | "\(.last_seq) \(.messages)"'
}

# Stops the service; 0 when its outbox is empty and its stream whole. Otherwise the only copy of an
# event would be lost with the file.
stop_with_a_whole_stream() {
    mesh stop "$1" 2>>"$DIR/log/start.log"
    local head last messages
    head=$(sqlite3 "$(file_of "$1")" 'SELECT coalesce(max(position), 0) FROM event_log')
    read -r last messages <<<"$(stream_counts "$(service_of "$1")")"
    # the other one of a pair goes on; and void messages may be there, which have no position
    ((COUNT_OF_INSTANCES == 1)) || { ((last == messages && last >= head)); return; }
    [[ "$head $head" == "$last $messages" ]]
}
fault_lost() {
    random_instance
    if stop_with_a_whole_stream "$SERVICE"; then
        rm -r "${DIR:?}/$SERVICE"
        : >"$DIR/disk-$SERVICE/undo"   # a power cut has nothing left to take back
    fi
    start_again "$SERVICE"
}
fault_restored() {
    local backup
    random_instance
    backup=$DIR/backup-$((BACKUPS += 1)).db
    "$(program_of "$SERVICE")" --data-dir "$DIR/$SERVICE" backup "$backup" \
        >>"$DIR/log/start.log" 2>&1 || return 0
    pause_up_to 1500
    if stop_with_a_whole_stream "$SERVICE"; then
        rm -f "$(file_of "$SERVICE")"*
        mv "$backup" "$(file_of "$SERVICE")"
        : >"$DIR/disk-$SERVICE/undo"
    fi
    start_again "$SERVICE"
}
