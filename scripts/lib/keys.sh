# shellcheck shell=bash
# Keys: of a mesh with --secure: the users' keys, test certificates, contexts of the nats CLI, and
# what deploy/nats/mesh.conf reads of its environment. Sourced by scripts/mesh, which has upper,
# recall and DIR.

USERS=(account-svc order-svc payments client reader operator)

key_of() { printf '%s' "$DIR/keys/$1.nkey"; }

make_keys() {
    local user
    need_tools openssl nats
    mkdir -p "$DIR/keys"
    for user in "${USERS[@]}"; do
        [[ -f $(key_of "$user") ]] ||
            nats auth nkey gen user --output "$(key_of "$user")" >/dev/null
    done
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
    [[ $DIR != *'$'* ]] ||
        die "the nats CLI takes \$ in the path of a key as a variable; choose another --dir"
    context operator operator operator ''
    context client client client ''
    context reader reader reader ''
    context account-svc operator operator ACCOUNT.JS.API
    context order-svc operator operator ORDER.JS.API
}

# export_server_settings PORT: sets the variables that deploy/nats/mesh.conf reads.
export_server_settings() {
    local user
    for user in "${USERS[@]}"; do
        export "$(upper "$user")_NKEY=$(nats auth nkey show "$(key_of "$user")")"
    done
    MESH_LISTEN="127.0.0.1:$1" MESH_STORE=$(conf_text "$DIR/server")
    MESH_CERT=$(conf_text "$DIR/keys/server.pem") MESH_KEY=$(conf_text "$DIR/keys/server.key")
    MESH_CA=$(conf_text "$DIR/keys/ca.pem")
    export MESH_LISTEN MESH_STORE MESH_CERT MESH_KEY MESH_CA
}

# conf_text TEXT: the text as a string in the server's configuration.
conf_text() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}
