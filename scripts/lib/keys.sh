# shellcheck shell=bash
# Keys: of a mesh with --secure: the server's configuration with the rights, the users' keys, test
# certificates, contexts of the nats CLI. Sourced by scripts/mesh, which has upper, recall,
# program_of and DIR.

key_of() { printf '%s' "$DIR/keys/$1.nkey"; }
rights_file() { printf '%s' "$DIR/server/mesh.conf.rights"; }

# write_rights: the servers' configuration, from the contracts of the mesh's services, and the
# users' keys. Servers that run take it.
write_rights() {
    local name contracts=() changed=0
    need_tools python3 nats openssl
    mkdir -p "$DIR/server/contracts" "$DIR/keys"
    for name in "${SERVICES[@]}"; do
        "$(program_of "$name")" --print-contract >"$DIR/server/contracts/$name.json" ||
            die "$name prints no contract (--print-contract)"
        contracts+=("$DIR/server/contracts/$name.json")
    done
    PATH="$ROOT/schemas:$PATH" journey-rights "${contracts[@]}" >"$(rights_file)" ||
        die "the rights of the services cannot be written"
    for name in $(users); do make_key "$name"; done
    make_certificate
    write_customers
    for name in "${SERVERS[@]}"; do
        secure_config "$name" >"$(config_of "$name").new"
        ! cmp -s "$(config_of "$name").new" "$(config_of "$name")" || continue
        mv "$(config_of "$name").new" "$(config_of "$name")"
        changed=1
    done
    ((changed == 0)) || reload_servers
}

# secure_config SERVER: mesh.conf, and cluster.conf for a cluster, behind the variables of both.
secure_config() {
    server_settings "$1"
    cat "$(rights_file)"
    is_cluster || return 0
    route_settings "$1"
    grep -v '^include' "$ROOT/deploy/nats/cluster.conf"
    [[ $DIR/$1 == "$DIR/server" ]] || ln -sf ../server/customers.conf "$DIR/$1/customers.conf"
}

# The users of the configuration, one a line: its variables name them, $ORDER_SVC_NKEY.
users() {
    sed -n 's/^ *nkey: \$\(.*\)_NKEY$/\1/p' "$(rights_file)" | tr 'A-Z_' 'a-z-'
}

make_key() {
    [[ -f $(key_of "$1") ]] || nats auth nkey gen user --output "$(key_of "$1")" >/dev/null
}

make_certificate() {
    [[ ! -f $DIR/keys/server.pem ]] || return 0
    (
        cd "$DIR/keys"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
            -subj "/CN=mesh test authority" -keyout ca.key -out ca.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
            -subj "/CN=localhost" -keyout server.key -out server.csr
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 \
            -out server.pem -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1')
    ) >/dev/null 2>"$DIR/keys/openssl.log" ||
        die "openssl cannot make the certificates; see $DIR/keys/openssl.log"
}

# context NAME USER INBOX API: writes a context with which the nats CLI logs in as USER.
context() {
    mkdir -p "$DIR/xdg/nats/context"
    jq -n --arg url "$(recall url)" --arg key "$(key_of "$2")" --arg ca "$DIR/keys/ca.pem" \
        --arg inbox "_INBOX.$3" --arg api "$4" \
        '{description: "", url: $url, nkey: $key, ca: $ca, inbox_prefix: $inbox,
          jetstream_api_prefix: $api}' >"$DIR/xdg/nats/context/$1.json"
}

make_contexts() {
    local name
    [[ $DIR != *'$'* ]] ||
        die "the nats CLI takes \$ in the path of a key as a variable; choose another --dir"
    for name in operator shop support reader; do context "$name" "$name" "$name" ''; done
    context client shop shop ''       # the name that shop had before
    for name in "${SERVICES[@]}"; do
        context "$name" operator operator "$(jq -r .log "$DIR/server/contracts/$name.json").JS.API"
    done
}

# ---- Customers: a user for each account of the shop that has a key in DIR/keys -------------------

is_account() { [[ $1 =~ ^acc_[A-Za-z0-9-]{1,64}$ ]]; }

write_customers() {
    local key account
    {
        printf '# Written by scripts/mesh: the customers that have a key.\nusers: [\n'
        for key in "$DIR"/keys/acc_*.nkey; do
            [[ -f $key ]] || continue
            account=${key##*/} account=${account%.nkey}
            printf '  { nkey: %s\n    permissions: {\n' "$(nats auth nkey show "$key")"
            printf '      publish: { allow: [ "*.*.%s" ] }\n' "$account"
            printf '      subscribe: { allow: [ "_INBOX.%s.>" ] } } }\n' "$account"
        done
        printf ']\n'
    } >"$DIR/server/customers.conf"
}

# add_customer ACCOUNT: makes the user whose rights name this account.
add_customer() {
    mkdir -p "$DIR/keys"
    context "$1" "$1" "$1" ''
    [[ ! -f $(key_of "$1") ]] || return 0
    make_key "$1"
    write_customers
    reload_servers
}

reload_servers() {
    local name pid said
    for name in "${SERVERS[@]}"; do
        pid=$(process_of "$(pid_file "$name")") || continue
        said=$(reloads "$name")
        kill -HUP "$pid"
        wait_until 10 has_reloaded "$name" "$said" ||
            die "$name did not take the new rights; see $(log_file "$name")"
    done
}
reloads() { grep -c 'Reloaded server configuration' "$(log_file "$1")" || true; }
has_reloaded() { (($(reloads "$1") > $2)); }

# server_settings SERVER: the variables of mesh.conf.
server_settings() {
    local user
    # A service takes at most a sixteenth of what was free at first: the server gives its accounts
    # no more than three quarters of that in all, and others may join.
    [[ -f $DIR/run/store-mb ]] || remember store-mb \
        "$(($(df --output=avail --block-size=1M "$DIR/server" | tail -n 1) / 16))"
    printf 'MESH_LISTEN: "127.0.0.1:%s"\n' "$(port_of "$1")"
    printf 'MESH_STORE_MAX: %sMB\n' "$(recall store-mb)"
    printf 'MESH_STORE: %s\n' "$(conf_text "$DIR/$1")"
    printf 'MESH_CERT: %s\n' "$(conf_text "$DIR/keys/server.pem")"
    printf 'MESH_KEY: %s\n' "$(conf_text "$DIR/keys/server.key")"
    printf 'MESH_CA: %s\n' "$(conf_text "$DIR/keys/ca.pem")"
    for user in $(users); do
        printf '%s_NKEY: %s\n' "$(upper "$user")" "$(nats auth nkey show "$(key_of "$user")")"
    done
}

# route_settings SERVER: the variables of cluster.conf.
route_settings() {
    local name file=$DIR/keys/route.password
    [[ -f $file ]] || openssl rand -hex 24 >"$file"
    printf 'MESH_NAME: "%s"\n' "$1"
    printf 'MESH_ROUTE_LISTEN: "127.0.0.1:%s"\n' "$(port_of "$1" route-port)"
    printf 'MESH_ROUTE_USER: "route"\nMESH_ROUTE_PASSWORD: "%s"\n' "$(<"$file")"
    for name in "${SERVERS[@]}"; do
        printf 'MESH_ROUTE_%s: "nats://route:%s@127.0.0.1:%s"\n' "$(number_of "$name")" \
            "$(<"$file")" "$(port_of "$name" route-port)"
    done
}

# conf_text TEXT: the text as a string in the server's configuration.
conf_text() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}
