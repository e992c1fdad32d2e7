# shellcheck shell=bash
# Story: shared by the outage scripts: a mesh in a scratch folder, narration, requests that are
# recorded in a history, and the external check at the end. Sourced:
#
#     . "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib/story.sh"
#     story "$@"                        options, scratch folder, cleanup
#     chapter "…"; tell "…"; request SUBJECT BODY; …
#     story_end                         the check; the exit code
#
# The script defines `help`. The narration goes to stdout, in colour on a terminal, plain in a log.
# shellcheck disable=SC2034 # each story uses only some of the variables
# shellcheck source=scripts/lib/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ! -t 1 ]]; then BOLD='' DIM='' RED='' GREEN='' YELLOW='' CYAN='' PLAIN=''; fi

# The part of --help that all stories have in common.
help_common() {
    cat <<HELP

    The story runs in a mesh of its own, in a scratch folder and on a free port, and ends with the
    external check (scripts/check). After a success the scratch folder is removed; after a failure
    its name is printed.

OPTIONS
    --short        the short form that scripts/test runs
    --dir DIR      keep the mesh's data and logs in DIR
    --build NAME   the build variant that runs (see scripts/dev/build); release
    --help         this text

EXIT CODES
    0  the story ended as expected, and all checks passed      1  a failure      2  usage
HELP
}

# ---- Beginning and end ---------------------------------------------------------------------------

story() {
    SHORT=0 DIR='' KEEP=0 VARIANT=release STEP=0 SEED=${SEED:-1} DURATION=''
    while (($#)); do
        case $1 in
            -h | --help) help; help_common; exit 0 ;;
            --short) SHORT=1 ;;
            --dir) option_value "$1" $#; DIR=$(realpath -m -- "$2") KEEP=1; shift ;;
            --build) option_value "$1" $#; VARIANT=$2; shift ;;
            --seed) option_value "$1" $#; SEED=$2; shift ;;
            --seconds) option_value "$1" $#; DURATION=$2; shift ;;
            *) usage_error "unknown option $1" ;;
        esac
        shift
    done
    unset NATS_URL NATS_CONTEXT JOURNEY_MESH_URL JOURNEY_MESH_DIR
    if [[ -z ${JOURNEY_BUILD_DIR:-} ]]; then
        "$ROOT/scripts/setup" ${JOURNEY_DEMO:+--demo}
        "$ROOT/scripts/dev/build" "$VARIANT" --story
    fi
    [[ -n $DIR ]] || DIR=$(mktemp -d "${TMPDIR:-/tmp}/mesh.XXXXXX")
    mkdir -p "$DIR"
    HISTORY=$DIR/history.jsonl
    HELPERS=()                         # pids of processes that the story started beside the mesh
    FINISHED=0
    trap story_tidy EXIT
    trap 'exit 130' INT TERM
}

story_tidy() {
    local code=$? pid folder
    set +e
    for pid in "${HELPERS[@]}"; do kill "$pid" 2>/dev/null; done
    for folder in "$DIR"/* "$DIR"; do  # a test may have several meshes there
        [[ ! -d $folder/run ]] || "$ROOT/scripts/mesh" --dir "$folder" down 2>/dev/null
    done
    wait
    # A sanitizer writes to the log of a service, some messages only when the service ends.
    if grep -rE --include='*.log' 'runtime error:|(Address|Leak|Thread)Sanitizer' "$DIR" >&2; then
        warn "a sanitizer found something"
        code=1
    fi
    if ((FINISHED && code == 0 && !KEEP)); then
        rm -rf "$DIR"
    else
        say "The data and the logs of this mesh are in $DIR"
    fi
    exit "$code"
}

# story_end: the external check, whose result is the story's.
story_end() {
    chapter "The external check: streams, logs and answers"
    if ! "$ROOT/scripts/check" --dir "$DIR" --wait 60; then
        die "the external check failed"
    fi
    FINISHED=1
}

# ---- Narration -----------------------------------------------------------------------------------

chapter() {
    STEP=$((STEP + 1))
    printf '\n%s%d. %s%s\n' "$BOLD" "$STEP" "$*" "$PLAIN"
}
tell() { printf '   %s\n' "$*"; }
good() { printf '   %s✓ %s%s\n' "$GREEN" "$*" "$PLAIN"; }
command_line() { printf '   %s$ %s%s\n' "$CYAN" "$*" "$PLAIN"; }
quote() { sed 's/^/     /'; }

# ---- Actions -------------------------------------------------------------------------------------

mesh() { "$ROOT/scripts/mesh" --dir "$DIR" --build "$VARIANT" "$@"; }

# do_mesh COMMAND…: runs scripts/mesh and prints the command line.
do_mesh() {
    command_line "scripts/mesh $*"
    mesh "$@"
}

MESH_OPTIONS=()                        # more options of `mesh up`
begin_mesh() {
    do_mesh up --port "${MESH_PORT:-0}" "${MESH_OPTIONS[@]}" 2>/dev/null ||
        { mesh logs | tail -n 30 >&2; die "the mesh did not start"; }
    NATS_URL=$(cat "$DIR/run/url")
    export NATS_URL XDG_CONFIG_HOME=$DIR/xdg
    if ((${#MESH_OPTIONS[@]})); then tell "It runs; the data is in $DIR."
    else tell "A NATS server, account-svc and order-svc run; the data is in $DIR."; fi
}

# begin_load SECONDS: customers, in the background, until end_load.
LOAD_OPTIONS=()                        # more options of scripts/load
begin_load() {
    command_line "scripts/load --seconds $1 --history history.jsonl &"
    "$ROOT/scripts/load" --seconds "$1" --hold --seed "$SEED" --history "$HISTORY" \
        "${LOAD_OPTIONS[@]}" >"$DIR/log/load.log" 2>&1 &
    LOAD=$!
    HELPERS+=("$LOAD")
}

end_load() {
    await_load
    tell "Each idempotency key is sent again; the answers must be the same."
    "$ROOT/scripts/load" --again --history "$HISTORY" | quote
}

await_load() {
    kill -USR1 "$LOAD"
    wait "$LOAD" || { cat "$DIR/log/load.log"; die "requests were left without an answer"; }
    HELPERS=()
    quote <"$DIR/log/load.log"
    good "every request has its answer"
}

# end_load_after_take_over: who takes over has the events, and not the refusals under a key.
end_load_after_take_over() {
    await_load
    tell "Each key of an accepted request is sent again; the answers must be the same."
    jq -c 'select((.key | startswith("load-")) and .answer and (.answer | has("error") | not))' \
        "$HISTORY" >"$DIR/accepted.jsonl"
    "$ROOT/scripts/load" --again --history "$DIR/accepted.jsonl" | quote
}

# ---- A cluster -----------------------------------------------------------------------------------

# raft_of STREAM FILTER: what jq's filter selects of the stream's cluster: leader and replicas.
raft_of() {
    local subject="\$JS.API.STREAM.INFO.$1"
    [[ ! -f $DIR/run/secure ]] || subject=$1.JS.API.STREAM.INFO.$1
    ASK_S=1 ask "$subject" '' | jq -r ".cluster | $2"
}

# The server that is the Raft leader of a stream; empty while there is none.
raft_leader() { raft_of "$1" '.leader // empty' || true; }

# Has each stream a leader, and each of its replicas all that the leader has?
replicas_are_current() {
    local log all='.leader != null and ([.replicas[]? | .current and (.offline | not) and
        (.lag // 0) == 0] | length > 0 and all)'
    for log in ACCOUNT ORDER; do [[ $(raft_of "$log" "$all") == true ]] || return 1; done
}

# ---- Several instances of a service --------------------------------------------------------------

# begin_instances: a cluster, two instances of each service, which take over by themselves; what is
# answered is in the stream.
begin_instances() {
    local flags='--answer-when published --take-over auto'
    export ACCOUNT_SVC_FLAGS=$flags ORDER_SVC_FLAGS=$flags
    command_line "export ACCOUNT_SVC_FLAGS='$flags' ORDER_SVC_FLAGS='$flags'"
    MESH_OPTIONS=(--servers 3 --instances 2)
    begin_mesh
    wait_until 20 replicas_are_current || die "the streams have not three copies"
}

# The process that leads a service, such as order-svc-2; 1 while none does.
leader_of() {
    local pid file found
    pid=$(ASK_S=1 ask "\$SRV.PING.$1" '' --replies 2 | jq -rs '
        map(select(.metadata.lead == "leading") | .metadata) | max_by(.term | tonumber) | .pid')
    for file in "$DIR/run/$1"-*.pid; do
        read -r found _ <"$file" || continue
        [[ $found != "$pid" ]] || { basename "$file" .pid; return 0; }
    done
    return 1
}

# instance_has PROCESS FILTER: does the jq filter hold for the process's own statistics?
instance_has() {
    local pid
    pid=$(process_of "$DIR/run/$1.pid") || return 1
    [[ $(services_data "${1%-*}" 2 "select(.metadata.pid == \"$pid\")" | jq "$2") == true ]]
}

# stands_by PROCESS POSITION: does it follow the leader, whose log it has up to there?
stands_by() { instance_has "$1" ".state == \"standby\" and .position >= $2"; }

# An order under one key until it is accepted: a dead leader's subscription may have taken one of
# the tries. answered_after START WHAT: says how long it took.
is_accepted() {
    local body
    body=$(order_body "$ADA" tea 1)
    ANSWER=$(nats request --raw --timeout 300ms -H "Idempotency-Key:$KEY" order.place "$body" \
        2>/dev/null </dev/null) && [[ -n $(answer .order_id) ]] || return 1
    jq -nc --arg key "$KEY" --argjson body "$body" --argjson answer "$ANSWER" \
        '{key: $key, subject: "order.place", body: $body, answer: $answer}' >>"$HISTORY"
}
answered_after() {
    KEY=story-$RANDOM$RANDOM-$(now_ms)
    wait_until 40 is_accepted || die "no order is answered: $2"
    good "an order is answered, $(($(now_ms) - $1)) ms after $2"
}

# send SUBJECT BODY [OPTION…]: sends a request under a new idempotency key. ANSWER is the reply's
# body, empty without a reply. The history records both cases. The options are the nats CLI's.
send() { send_as "story-$RANDOM$RANDOM-$(now_ms)" "$@"; }

# send_as KEY SUBJECT BODY [OPTION…]: send under this key.
send_as() {
    local key=$1 subject=$2 body=$3
    shift 3
    ANSWER=$(ASK_S=${ASK_S:-$((5 * PATIENCE))} \
        ask "$subject" "$body" -H "Idempotency-Key:$key" "$@") || ANSWER=''
    jq -nc --arg key "$key" --arg subject "$subject" --argjson body "$body" \
        --argjson answer "${ANSWER:-null}" \
        '{key: $key, subject: $subject, body: $body, answer: $answer}' >>"$HISTORY"
}

# request SUBJECT BODY: send, and print request and answer.
request() {
    command_line "nats req $1 '$2'"
    send "$1" "$2"
    printf '%s\n' "${ANSWER:-(no answer)}" | printable | quote
}

# answer FIELD: a field of the last answer; empty when the answer has no such field.
answer() { jq -r "$1 // empty" <<<"${ANSWER:-null}"; }

accepted() {
    [[ -n $ANSWER && -z $(answer .error.code) ]] ||
        die "the request should have been accepted: ${ANSWER:-no answer}"
}
refused() {
    [[ $(answer .error.code) == "$1" ]] ||
        die "the request should have been refused as $1: ${ANSWER:-no answer}"
}
unanswered() { [[ -z $ANSWER ]] || die "no service should have answered: $ANSWER"; }

# query SUBJECT BODY FILTER: sends a query and prints what jq's filter selects of the answer.
query() { ask "$1" "$2" | jq -c "$3" 2>/dev/null; }
query_is() { [[ $(query "$1" "$2" "$3") == "$4" ]]; }

# see SECONDS WHAT SUBJECT BODY FILTER VALUE: waits until a query's answer has this value.
see() {
    local seconds=$1 what=$2
    shift 2
    wait_until "$seconds" query_is "$@" ||
        die "not within $((seconds * PATIENCE)) s: $what ($(query "$1" "$2" "$3"))"
    good "$what"
}

# look SUBJECT BODY FILTER: prints a query, and what jq's filter selects of the answer.
look() {
    command_line "nats req $1 '$2' | jq -c '$3'"
    { query "$1" "$2" "$3" || true; } | quote
}

# ---- The customers and products of the stories ---------------------------------------------------

address() { printf '{"street":"%s","city":"%s","postal_code":"%s","country":"%s"}' "$@"; }

# register NAME EMAIL BIRTHDAY ADDRESS: ID is the account's id.
register() {
    request account.register \
        "{\"name\":\"$1\",\"email\":\"$2\",\"birthday\":\"$3\",\"address\":$4}"
    accepted
    ID=$(answer .account_id)
}

# add_card ACCOUNT TOKEN LAST4
add_card() {
    local card="\"card_token\":\"$2\",\"brand\":\"visa\",\"last4\":\"$3\",\"expires\":\"2099-12\""
    request account.add-card "{\"account_id\":\"$1\",$card}"
    accepted
}

order_body() { printf '{"account_id":"%s","lines":[{"sku":"%s","quantity":%d}]}' "$@"; }

# place ACCOUNT SKU QUANTITY: an accepted order; ID is its id.
place() {
    request order.place "$(order_body "$@")"
    accepted
    ID=$(answer .order_id)
}

# order-svc knows an account and its cards when its cursor has reached the end of account-svc's log.
order_svc_has_read_accounts() {
    local account order
    account=$(service_data account-svc | jq -r .position) &&
        order=$(service_data order-svc | jq -r .sources.ACCOUNT.cursor) &&
        [[ $account == "$order" ]]
}
account_svc_has_read_orders() {
    local order account
    order=$(service_data order-svc | jq -r .position) &&
        account=$(service_data account-svc | jq -r .sources.ORDER.cursor) &&
        [[ $order == "$account" ]]
}

open_shop() {
    request order.add-product \
        '{"sku":"tea","name":"Green tea","price":{"amount":450,"currency":"EUR"},"stock":500}'
    accepted
    register "Ada Lovelace" ada@example.org 1915-12-10 \
        "$(address '1 Rue de la Paix' Paris 75002 FR)"
    ADA=$ID
    add_card "$ADA" tok_ok 4242
    wait_until 10 order_svc_has_read_accounts || die "order-svc does not read account-svc's events"
}
