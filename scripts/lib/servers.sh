# shellcheck shell=bash
# Servers: the nats-servers of a mesh: one, named `server`, or a cluster of `server-1`, `server-2` …
# with routes between them. Sourced by scripts/mesh, which has recall, launch, say_why, DIR and URL.
# The ports of all servers are in DIR/run/port, those of their routes in DIR/run/route-port.

own_server() { [[ -f $DIR/run/port ]]; }
is_cluster() { ((${#SERVERS[@]} > 1)); }

# know_servers COUNT
know_servers() {
    local i
    SERVERS=(server)
    ((${1:-1} > 1)) || return 0
    SERVERS=()
    for ((i = 1; i <= $1; i++)); do SERVERS+=("server-$i"); done
}

# number_of SERVER: 1 for the first.
number_of() {
    if [[ $1 == server ]]; then printf 1; else printf '%s' "${1##*-}"; fi
}

# port_of SERVER [port|route-port]
port_of() {
    local ports
    read -ra ports <<<"$(recall "${2:-port}")"
    printf '%s' "${ports[$(number_of "$1") - 1]}"
}

url_of() {
    printf '%s://127.0.0.1:%s' "$(is_secure && printf tls || printf nats)" "$(port_of "$1")"
}

# urls_from NUMBER: the addresses of all servers, beginning with this one's, so that instances that
# stand on machines of their own have their own server first.
urls_from() {
    local i urls=() count=${#SERVERS[@]}
    for ((i = 0; i < count; i++)); do
        urls+=("$(url_of "${SERVERS[($1 - 1 + i) % count]}")")
    done
    (IFS=,; printf '%s' "${urls[*]}")
}

# free_ports COUNT: prints so many free ports, no two of them the same.
free_ports() {
    local port
    local -A taken=()
    while ((${#taken[@]} < $1)); do
        port=$(free_port) || return 1
        taken[$port]=1
    done
    printf '%s' "${!taken[*]}"
}

any_server_runs() {
    local name
    for name in "${SERVERS[@]}"; do ! runs "$name" || return 0; done
    return 1
}

running_servers() {
    local name count=0
    for name in "${SERVERS[@]}"; do ! runs "$name" || count=$((count + 1)); done
    printf '%s' "$count"
}
have_quorum() { (($(running_servers) * 2 > ${#SERVERS[@]})); }

# ---- Choosing ------------------------------------------------------------------------------------

# Chooses the servers: those of the last run, else NATS_URL, else servers of this mesh. A NATS_URL
# that `mesh env` has set belongs to the mesh that set it, and is ignored.
choose_servers() {
    local url=${NATS_URL:-} name
    [[ -z $SECURE || -f $DIR/run/secure || ! -f $DIR/run/port ]] ||
        die "the mesh in $DIR was made without --secure; choose another --dir"
    [[ -z $SECURE && -z $PORT && $url != "${JOURNEY_MESH_URL:-}" ]] && ! is_cluster || url=''
    if [[ -n $url ]]; then
        rm -f "$DIR/run/port"
        remember url "$url"
        return 0
    fi
    any_server_runs || choose_ports
    [[ -z $SECURE ]] || remember secure yes
    for name in "${SERVERS[@]}"; do mkdir -p "$DIR/$name"; done
    remember url "$(urls_from 1)"
}

# The ports of the last run, from --port on, or any free ones.
choose_ports() {
    local first before chosen count=${#SERVERS[@]}
    read -ra before <<<"$(recall port)"
    first=${PORT:-${before[0]:-4222}} chosen=${before[*]}
    if [[ $first == 0 ]]; then
        chosen=$(free_ports "$count") || die "no free port was found; choose one with --port N"
    elif ((${#before[@]} != count)) || [[ ${before[0]} != "$first" ]]; then
        chosen=$(seq -s ' ' "$first" $((first + count - 1)))
    fi
    remember port "$chosen"
    ! is_cluster || remember route-port "$(free_ports "$count")"
}

# ---- Configuration -------------------------------------------------------------------------------

config_of() { printf '%s/%s.conf' "$DIR/$1" "$(is_secure && printf mesh || printf nats)"; }

# The addresses of all routes; a server skips its own.
routes() {
    local name routes=()
    for name in "${SERVERS[@]}"; do
        routes+=("\"nats://127.0.0.1:$(port_of "$name" route-port)\"")
    done
    (IFS=,; printf '%s' "${routes[*]}")
}

# write_config SERVER: of a mesh without rights.
write_config() {
    {
        printf '# Written by scripts/mesh. The server listens on the loopback only.\n'
        printf 'listen: "127.0.0.1:%s"\n' "$(port_of "$1")"
        printf 'server_name: "%s"\n' "$(is_cluster && printf '%s' "$1" || printf mesh)"
        printf 'jetstream { store_dir: %s }\n' "$(conf_text "$DIR/$1")"
        ! is_cluster ||
            printf 'cluster { name: "mesh", listen: "127.0.0.1:%s"\n  routes: [%s] }\n' \
                "$(port_of "$1" route-port)" "$(routes)"
        [[ ! -f $DIR/$1/extra.conf ]] || cat "$DIR/$1/extra.conf"
    } >"$(config_of "$1")"
}

# ---- Starting ------------------------------------------------------------------------------------

jetstream_answers() {
    if is_secure; then ASK_S=1 ask ACCOUNT.JS.API.INFO '' >/dev/null
    else ASK_S=1 ask "\$JS.API.INFO" '' >/dev/null; fi
}

# Has the start succeeded, or failed for good? A cluster has no streams without a majority.
server_settled() {
    ! runs "$1" || { ! port_is_free "$(port_of "$1")" && { ! have_quorum || jetstream_answers; }; }
}

warn_of_advisories() {
    local version advisories
    version=$(server_version "$1")
    advisories=$(server_advisories "$version")
    [[ -z $advisories ]] ||
        warn "$1 is nats-server $version, with known advisories:
${advisories}
All are fixed in $SERVER_WANTED$(is_installed || printf ', which scripts/setup builds')"
}

# launch_servers SERVER…
launch_servers() {
    local program name port
    own_server ||
        die "the server $URL came from NATS_URL; scripts/mesh neither started it nor can start it"
    program=$(find_server) ||
        die "no nats-server $SERVER_FLOOR or later is installed; $(how_to_get)"
    warn_of_advisories "$program"
    for name in "$@"; do
        ! runs "$name" || continue
        port=$(port_of "$name")
        port_is_free "$port" ||
            die "port $port is in use; choose another with --port N, or --port 0 for any"
        is_secure || write_config "$name"
        launch "$name" "$program" -c "$(config_of "$name")"
    done
}

# await_servers SERVER…
await_servers() {
    local name
    ((WAIT)) || return 0
    for name in "$@"; do
        if ! wait_until "$READY_S" server_settled "$name" || ! runs "$name"; then
            say_why "nats-server did not start; the end of $(log_file "$name"):" "$name"
            return 1
        fi
    done
}

# start_servers SERVER…: those that do not run, at the same time, and waits until they answer.
start_servers() {
    launch_servers "$@"
    await_servers "$@"
}

# The streams of a mesh that had one server keep the one copy that they had, as all that an operator
# may set: here the operator is `up --servers N`.
replicate_streams() {
    local name log account=()
    for name in "${SERVICES[@]}"; do
        log=$(recall "log.$name")
        ! is_secure || account=(env NATS_CONTEXT="$name")
        "${account[@]}" nats stream edit "$log" --replicas "${#SERVERS[@]}" --force \
            >/dev/null 2>&1 ||
            warn "stream $log did not get ${#SERVERS[@]} replicas; see: $(this_mesh) status"
    done
}
