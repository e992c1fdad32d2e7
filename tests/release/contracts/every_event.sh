# shellcheck shell=bash
# Every event: a short story in which both services publish each type of event that they have, with
# what is optional in it and without, in words that travel badly. Sourced after
# scripts/lib/story.sh; it leaves a mesh at rest, with an order that waits for another card.
# shellcheck disable=SC2034 # what one test does not look at, another does

ODD_NAME='Jörg \"Ørsted\" O'\''Neill – 100 %'        # as JSON has it
ODD_KEY='Schlüssel "1" – 100 %'
ODD_CORRELATION='Größe/"7", 100 %'
TRACE=4bf92f3577b34da6a3ce929d0e0e4736
TRACEPARENT=00-$TRACE-00f067aa0ba902b7-01
LONGEST_DEADLINE_S=315360000           # ten years: who looks at it later finds the order waiting

order_is() { query_is order.get "{\"order_id\":\"$1\"}" .status "\"$2\""; }
await_order() { wait_until 20 order_is "$1" "$2" || die "the order $1 is not $2"; }
await_accounts() { wait_until 20 order_svc_has_read_accounts ||
    die "order-svc does not read account-svc's events"; }
await_orders() { wait_until 20 account_svc_has_read_orders ||
    die "account-svc does not read order-svc's events"; }

# do_request SUBJECT BODY: one that must be accepted, and is not told.
do_request() { send "$@"; accepted; }

new_account() {                        # NAME EMAIL [MORE, ]: ID
    local address
    address=$(address '1 Rue de la Paix' Paris 75002 FR)
    do_request account.register "{\"name\":\"$1\",\"email\":\"$2\",${3:-}\"address\":$address}"
    ID=$(answer .account_id)
}
new_card() {                           # ACCOUNT TOKEN LAST4: CARD
    local card="\"card_token\":\"$2\",\"brand\":\"visa\",\"last4\":\"$3\",\"expires\":\"2099-12\""
    do_request account.add-card "{\"account_id\":\"$1\",$card}"
    CARD=$(answer .card_id)
}
new_order() {                          # ACCOUNT SKU QUANTITY: ID
    do_request order.place "$(order_body "$@")"
    ID=$(answer .order_id)
}

# An order that nobody pays for, while orders may wait for a second only.
story_of_a_deadline() {
    do_request order.add-product '{"sku":"tea","name":"Grüner Tee \"extra\"",
        "price":{"amount":450,"currency":"EUR"},"stock":100}'
    do_request order.receive-stock '{"sku":"tea","quantity":50}'
    do_request order.change-price '{"sku":"tea","price":{"amount":475,"currency":"EUR"}}'
    do_request order.correct-stock '{"sku":"tea","by":-2,"reason":"zwei Tüten \"zerrissen\""}'
    do_request order.add-product '{"sku":"tin","name":"Dose",
        "price":{"amount":900,"currency":"EUR"},"stock":1}'
    do_request order.retire-product '{"sku":"tin"}'
    new_account 'Charles Babbage' charles@example.org
    CHARLES=$ID
    new_card "$CHARLES" tok_declined 0001
    await_accounts
    new_order "$CHARLES" tea 1
    await_order "$ID" cancelled
}

story_of_accounts() {
    new_account "$ODD_NAME" joerg@example.org
    JOERG=$ID
    new_card "$JOERG" tok_ok 0002
    new_card "$JOERG" tok_declined 0003    # the newest is tried first
    do_request account.change-profile \
        "{\"account_id\":\"$JOERG\",\"name\":\"$ODD_NAME\",\"email\":\"j@example.org\",
        \"birthday\":\"1977-08-14\"}"
    do_request account.change-address \
        "{\"account_id\":\"$JOERG\",\"address\":$(address 'Große Straße 1' 'Köln' 50667 DE)}"
    new_account 'Emmy Noether' emmy@example.org
    EMMY=$ID
    new_card "$EMMY" tok_declined 0006
    new_account 'Grace Hopper' grace@example.org '"birthday":"1906-12-09",'
    GRACE=$ID
    new_card "$GRACE" tok_declined 0004
    do_request account.change-profile \
        "{\"account_id\":\"$GRACE\",\"name\":\"Grace M. Hopper\",\"email\":\"grace@example.org\"}"
    new_card "$CHARLES" tok_ok 0005
    do_request account.remove-card "{\"account_id\":\"$CHARLES\",\"card_id\":\"$CARD\"}"
    do_request account.close "{\"account_id\":\"$CHARLES\"}"
}

# One that is declined and paid with the next card; one that is shipped; one that the customer
# cancels, and one that goes on waiting. That last one's request has a trace, a correlation id and a
# key of its own.
story_of_orders() {
    await_accounts
    new_order "$JOERG" tea 2
    PAID=$ID
    await_order "$PAID" paid
    await_orders
    await_accounts
    new_order "$JOERG" tea 3
    SHIPPED=$ID
    await_order "$SHIPPED" paid
    do_request order.ship "{\"order_id\":\"$SHIPPED\"}"
    send_as "$ODD_KEY" order.place "$(order_body "$GRACE" tea 4)" \
        -H "ce-correlationid:$ODD_CORRELATION" -H "traceparent:$TRACEPARENT"
    accepted
    WAITING=$(answer .order_id)
    await_order "$WAITING" payment_failed
    new_order "$EMMY" tea 5
    await_order "$ID" payment_failed
    do_request order.cancel "{\"order_id\":\"$ID\"}"
}

# Money that goes back: whole; not at all; of a charge that is answered for too late; and of one
# that the provider keeps.
story_of_money() {
    local order
    new_account 'Sofja Kowalewskaja' sofja@example.org
    SOFJA=$ID
    new_card "$SOFJA" tok_ok_kept 0007
    await_accounts
    new_order "$SOFJA" tea 1
    await_order "$ID" paid
    do_request order.refund \
        "{\"order_id\":\"$ID\",\"amount\":100,\"reason\":\"eine Tüte \\\"zerrissen\\\"\"}"
    do_request order.refund "{\"order_id\":\"$PAID\"}"
    await_order "$PAID" cancelled
    for token in tok_timeout_kept tok_late tok_soft; do
        new_card "$SOFJA" "$token" 0008
        await_accounts
        new_order "$SOFJA" tea 1
        order=$ID
        [[ $token == tok_soft ]] || do_request order.cancel "{\"order_id\":\"$order\"}"
    done
    wait_until 20 unsettled_is 2 || die "the provider's refusals do not end"
    wait_until 30 has_event PaymentArrivedLate || die "no payment comes too late"
}
unsettled_is() { query_is order.unsettled '{}' '.unsettled | length' "$1"; }
has_event() {
    [[ $(sqlite3 -readonly "$DIR/order-svc/order-svc.db" \
        "SELECT count(*) FROM event_log WHERE type = '$1'") != 0 ]]
}

story_of_refusals() {
    send order.place "$(order_body "$JOERG" tea 1000)"
    refused out_of_stock
    send order.ship "{\"order_id\":\"$WAITING\"}"
    refused wrong_state
    send account.change-address \
        "{\"account_id\":\"$CHARLES\",\"address\":$(address 'Nowhere 1' Nowhere 0 FR)}"
    refused account_closed
}

# Another instance of order-svc leads for a while, with a folder of its own beside the mesh's.
story_of_leaders() {
    local second build=${JOURNEY_BUILD_DIR:-$("$ROOT/scripts/dev/build" "$VARIANT" --print-dir)}
    "$build/order-svc/order-svc" \
        --server "$NATS_URL" --data-dir "$DIR/second" 2>"$DIR/log/second.log" &
    second=$!
    HELPERS+=("$second")
    wait_until 30 query_is order.hand-over '{}' .leads true ||
        die "order-svc does not hand over to the second instance"
    kill "$second"
    wait "$second" || die "the second instance did not stop in order"
    wait_until 30 first_leads || die "the first instance does not lead again"
}
first_leads() { [[ $(service_data order-svc | jq -r .role) == leading ]]; }

tell_every_event() {
    ORDER_SVC_FLAGS="--payment-deadline-s 1" begin_mesh
    story_of_a_deadline
    mesh stop order-svc
    ORDER_SVC_FLAGS="--payment-deadline-s $LONGEST_DEADLINE_S" mesh start order-svc
    story_of_accounts
    story_of_orders
    story_of_money
    story_of_refusals
    story_of_leaders
    await_orders                       # the last declined card is one of ACCOUNT's events …
    await_accounts                     # … and when order-svc has read it, it stands in the stream
    good "every type of event has been published"
}
