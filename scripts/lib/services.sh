# shellcheck shell=bash
# Services: the two of this tree, and those that --with has added; and the map that shows them.
# Sourced by scripts/mesh, which has recall, die, say, DIR and URL.

# A service of one's own is a link in DIR/run/with, named as its contract names it, to its program.
program_of() {
    if [[ -L $DIR/run/with/$1 ]]; then printf '%s' "$DIR/run/with/$1"
    elif is_installed && [[ -z ${JOURNEY_BUILD_DIR:-} ]]; then
        type -P "$1"
    else printf '%s' "$JOURNEY_BUILD_DIR/$1/$1"; fi
}

know_services() {
    local link
    for link in "$DIR"/run/with/*; do
        [[ ! -L $link ]] || SERVICES+=("${link##*/}")
    done
}

# add_service PROGRAM
add_service() {
    local name
    name=$("$1" --print-contract 2>/dev/null | jq -r .name 2>/dev/null) || name=''
    [[ $name =~ ^[a-z0-9-]+$ ]] ||
        die "--with $1: not the program of a service: it prints no contract (--print-contract)"
    case $name in
        account-svc | order-svc | server | server-[0-9])
            die "--with $1: the mesh has $name already" ;;
    esac
    mkdir -p "$DIR/run/with"
    ln -sfn "$(realpath "$1")" "$DIR/run/with/$name"
}

# ---- The map -------------------------------------------------------------------------------------

# map: runs journey-map for this mesh, until it is interrupted; in a secure mesh with the rights of
# --as, a reader's unless given.
map() {
    local program=$JOURNEY_BUILD_DIR/common/map/journey-map user=${AS:-reader} more=() link
    local contracts=''
    if [[ -z $JOURNEY_BUILD_DIR ]]; then program=$(program_of journey-map)
    elif [[ ! -x $program ]]; then "$ROOT/scripts/dev/build" "$(recall variant)" --services; fi
    ! is_secure || more=(
        --nkey "$(key_of "$user")" --tlsca "$DIR/keys/ca.pem" --source-api '{log}.JS.API'
    )
    for link in "$DIR"/run/with/*; do # what their events mean, for stories
        [[ -L $link && $DIR != *,* ]] || continue
        "$link" --print-contract >"$DIR/run/contract.${link##*/}" &&
            contracts+=${contracts:+,}$DIR/run/contract.${link##*/}
    done
    [[ -z $contracts ]] || more+=(--contracts "$contracts")
    if [[ -n $PLAY ]]; then
        ! is_secure || die "map --play wants a mesh without --secure: anybody may all there"
        own_server || die "map --play wants a mesh that has its own server"
        export JOURNEY_MESH_DIR=$DIR
        more+=(--play "$ROOT/scripts/mesh" --plugs "$(IFS=,; printf '%s' "${PROCESSES[*]}")")
    fi
    say "The map of this mesh: ${BOLD}http://$HTTP/${PLAIN}   (Ctrl-C ends it)"
    exec "$program" --server "$URL" --as "$user" --http "$HTTP" "${more[@]}"
}
