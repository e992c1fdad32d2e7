# shellcheck shell=bash
# Story: what the outage scripts share: a mesh of their own in a scratch folder, a narrator, requests that
# go into a history, and the check from outside at the end. Sourced:
#
#     . "$(dirname "${BASH_SOURCE[0]}")/lib/story.sh"
#     story "$@"                        options, scratch folder, tidying up
#     chapter "…"; tell "…"; request SUBJECT BODY; …
#     story_end                         the check; the exit code
#
# The script defines `help`. What is told goes to stdout, in colour on a terminal and plain in a log.
# shellcheck disable=SC2034 # what one story does not use, another does
# shellcheck source=scripts/lib/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ! -t 1 ]]; then BOLD='' DIM='' RED='' GREEN='' YELLOW='' CYAN='' PLAIN=''; fi

# The part of --help that all stories have in common.
help_common() {
    cat <<HELP

    It runs in a mesh of its own, in a scratch folder and on a free port, and ends with the check from
    outside (scripts/check). The folder goes when all was right; else its name is printed.

OPTIONS
    --short        as short as the tests have it
    --dir DIR      keep the mesh's data and logs in DIR
    --build NAME   the build variant that runs (see scripts/dev/build); release
    --help         this text

EXIT CODES
    0  the story came out as it should, and all checks passed      1  it did not      2  usage
HELP
}

# ---- Beginning and end ------------------------------------------------------------------------------

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
    unset NATS_URL NATS_CONTEXT JOURNEY_MESH_URL
    if [[ -z ${JOURNEY_BUILD_DIR:-} ]]; then
        "$ROOT/scripts/setup"
        "$ROOT/scripts/dev/build" "$VARIANT"
    fi
    [[ -n $DIR ]] || DIR=$(mktemp -d "${TMPDIR:-/tmp}/mesh.XXXXXX")
    mkdir -p "$DIR"
    HISTORY=$DIR/history.jsonl
    HELPERS=()                         # pids of what the story started beside the mesh
    FINISHED=0
    trap story_tidy EXIT
    trap 'exit 130' INT TERM
}

story_tidy() {
    local code=$? pid folder
    set +e
    for pid in "${HELPERS[@]}"; do kill "$pid" 2>/dev/null; done
    for folder in "$DIR"/* "$DIR"; do  # a test may have more than one mesh there
        [[ ! -d $folder/run ]] || "$ROOT/scripts/mesh" --dir "$folder" down 2>/dev/null
    done
    wait
    # A sanitizer speaks in the log of a service, some of it only when that ends.
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

# story_end: the check from outside; its result is the story's.
story_end() {
    chapter "Is all of it right? The check from outside"
    if ! "$ROOT/scripts/check" --dir "$DIR" --wait 60; then
        die "the check found something wrong"
    fi
    FINISHED=1
}

# ---- Telling -----------------------------------------------------------------------------------------

chapter() {
    STEP=$((STEP + 1))
    printf '\n%s%d. %s%s\n' "$BOLD" "$STEP" "$*" "$PLAIN"
}
tell() { printf '   %s\n' "$*"; }
good() { printf '   %s✓ %s%s\n' "$GREEN" "$*" "$PLAIN"; }
command_line() { printf '   %s$ %s%s\n' "$CYAN" "$*" "$PLAIN"; }
quote() { sed 's/^/     /'; }

# ---- Acting ------------------------------------------------------------------------------------------

mesh() { "$ROOT/scripts/mesh" --dir "$DIR" --build "$VARIANT" "$@"; }

# do_mesh COMMAND…: the same, told.
do_mesh() {
    command_line "scripts/mesh $*"
    mesh "$@"
}

begin_mesh() {
    do_mesh up --port "${MESH_PORT:-0}" 2>/dev/null || { mesh logs | tail -n 30 >&2; die "the mesh did not start"; }
    NATS_URL=$(cat "$DIR/run/url")
    export NATS_URL XDG_CONFIG_HOME=$DIR/xdg
    tell "A NATS server, account-svc and order-svc run; the data is in $DIR."
}

# send SUBJECT BODY [OPTION…]: a request under an idempotency key of its own; ANSWER is the reply's body, or
# empty when none came. It goes into the history either way. The options are the nats CLI's.
send() { send_as "story-$RANDOM$RANDOM-$(now_ms)" "$@"; }

# send_as KEY SUBJECT BODY [OPTION…]: the same, under this key.
send_as() {
    local key=$1 subject=$2 body=$3
    shift 3
    ANSWER=$(ask "$subject" "$body" -H "Idempotency-Key:$key" "$@") || ANSWER=''
    jq -nc --arg key "$key" --arg subject "$subject" --argjson body "$body" --argjson answer "${ANSWER:-null}" \
        '{key: $key, subject: $subject, body: $body, answer: $answer}' >>"$HISTORY"
}

# request SUBJECT BODY: the same, told.
request() {
    command_line "nats req $1 '$2'"
    send "$1" "$2"
    printf '%s\n' "${ANSWER:-(nobody answers)}" | quote
}

# answer FIELD: a field of the last answer; empty when it has none.
answer() { jq -r "$1 // empty" <<<"${ANSWER:-null}"; }

accepted() { [[ -n $ANSWER && -z $(answer .error.code) ]] || die "this should have been accepted: ${ANSWER:-no answer}"; }
refused() { [[ $(answer .error.code) == "$1" ]] || die "this should have been refused as $1: ${ANSWER:-no answer}"; }
unanswered() { [[ -z $ANSWER ]] || die "nobody should have answered: $ANSWER"; }

# query SUBJECT BODY FILTER: a question and the part of the answer that jq's filter takes.
query() { ask "$1" "$2" | jq -c "$3" 2>/dev/null; }
query_is() { [[ $(query "$1" "$2" "$3") == "$4" ]]; }

# see SECONDS WHAT SUBJECT BODY FILTER VALUE: waits until a query's answer has this value.
see() {
    local seconds=$1 what=$2
    shift 2
    wait_until "$seconds" query_is "$@" || die "this did not come true within $seconds s: $what ($(query "$1" "$2" "$3"))"
    good "$what"
}

# look SUBJECT BODY FILTER: the question told, with the part of the answer that matters.
look() {
    command_line "nats req $1 '$2' | jq -c '$3'"
    { query "$1" "$2" "$3" || true; } | quote
}

# ---- The people and things of the stories -------------------------------------------------------------

address() { printf '{"street":"%s","city":"%s","postal_code":"%s","country":"%s"}' "$@"; }

# register NAME EMAIL BIRTHDAY ADDRESS: ID is the account's id.
register() {
    request account.register "{\"name\":\"$1\",\"email\":\"$2\",\"birthday\":\"$3\",\"address\":$4}"
    accepted
    ID=$(answer .account_id)
}

# add_card ACCOUNT TOKEN LAST4
add_card() {
    request account.add-card "{\"account_id\":\"$1\",\"card_token\":\"$2\",\"brand\":\"visa\",\"last4\":\"$3\",\"expires\":\"2099-12\"}"
    accepted
}

order_body() { printf '{"account_id":"%s","lines":[{"sku":"%s","quantity":%d}]}' "$@"; }

# place ACCOUNT SKU QUANTITY: an accepted order; ID is its id.
place() {
    request order.place "$(order_body "$@")"
    accepted
    ID=$(answer .order_id)
}

# order-svc knows an account, and a card of it, as soon as it has read account-svc's log so far.
order_svc_has_read_accounts() {
    local account order
    account=$(service_data account-svc | jq -r .position) && order=$(service_data order-svc | jq -r .sources.ACCOUNT.cursor) &&
        [[ $account == "$order" ]]
}
account_svc_has_read_orders() {
    local order account
    order=$(service_data order-svc | jq -r .position) && account=$(service_data account-svc | jq -r .sources.ORDER.cursor) &&
        [[ $order == "$account" ]]
}

open_shop() {
    request order.add-product '{"sku":"tea","name":"Green tea","price":{"amount":450,"currency":"EUR"},"stock":500}'
    accepted
    register "Ada Lovelace" ada@example.org 1915-12-10 "$(address '1 Rue de la Paix' Paris 75002 FR)"
    ADA=$ID
    add_card "$ADA" tok_ok 4242
    wait_until 10 order_svc_has_read_accounts || die "order-svc does not read account-svc's events"
}
