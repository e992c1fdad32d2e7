"""Rows of bounds: what is larger than one message of the server may be, and headers that nobody
reads."""
from kit import SERVICES, logged, order_of, require, subprocess, wait_until

QUOTES = '"' * 476                     # each takes six bytes in a page: escaped, and escaped again


def fill_with_long_headers(mesh, count, prefix):
    """Requests whose headers make events that are small, and pages that are not."""
    for first in range(0, count, 100):
        wanted = [("order.receive-stock", {"sku": "tea", "quantity": 1},
                   f"{prefix}{i:04}{QUOTES}", (("ce-correlationid", QUOTES + "1234"),
                                               ("traceparent", QUOTES)))
                  for i in range(first, min(first + 100, count))]
        for answer in mesh.requests(wanted, timeout=20):
            require(answer and "position" in answer, f"an ordinary request: {answer}")


def read_log(mesh, limit):
    """All of order-svc's log, by pages; the number of pages."""
    position, pages = 0, 0
    while True:
        page = mesh.ask("order.events", {"after_position": position, "limit": limit}, timeout=10)
        if not page["events"]:
            require(position == page["last_position"], f"the pages end at {position}")
            return pages
        require(page["events"][0]["position"] == position + 1, "a page begins where it should")
        position, pages = page["events"][-1]["position"], pages + 1


def service_command(mesh, name, *arguments):
    done = subprocess.run([mesh.program(name), "--data-dir", mesh.data(name), "--server", mesh.url,
                           *arguments], env=mesh.environment(), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    require(done.returncode == 0,
            f"{name} {arguments}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def fault_53_pages_larger_than_a_message(mesh):
    """600 ordinary requests have headers so long that a page of 500 of their events would be larger
    than a message. Pages have fewer events instead: the log can be read, a reader that meets a gap
    fills it, a rebuild and verify come to their end."""
    mesh.up()
    mesh.product(stock=0)
    mesh.customer()
    fill_with_long_headers(mesh, 600, "a")
    require(read_log(mesh, 500) > 1, "one page holds the log: the fault had no effect")
    require(read_log(mesh, 1) == mesh.head("order-svc")[0], "a page of one event has one")
    mesh.stop("account-svc")
    fill_with_long_headers(mesh, 600, "b")
    require("error" not in mesh.api("STREAM.PURGE.ORDER", {"keep": 1}), "the purge")
    mesh.start("account-svc", wait=False)
    mesh.wait_state("account-svc", seconds=60)
    head = mesh.head("order-svc")[0]
    wait_until(lambda: mesh.stats("account-svc")["sources"]["ORDER"]["cursor"] >= head,
               lambda: f"the reader has all: {mesh.stats('account-svc')}", 60)
    mesh.ask("account.rebuild", {}, timeout=60)
    service_command(mesh, "account-svc", "verify")
    mesh.restart("order-svc")          # its look at the stream finds at once what is missing there
    mesh.check()


def fault_53_pages_and_events_under_a_small_max_payload(mesh):
    """A server takes 16 KiB. The names of 100 products fill 20 KB: a page of them has fewer, and
    leads to the next; an order of many of them is refused, because its event could not travel."""
    mesh.server_config("max_payload: 16384")
    mesh.up()
    account = mesh.customer()
    for i in range(100):
        mesh.ask("order.add-product", {
            "sku": f"p{i:03}", "name": "\u00e9" * 200, "stock": 1000,
            "price": {"amount": 1, "currency": "EUR"}})
    skus, after = [], {}
    while True:
        page = mesh.ask("order.products", {"limit": 100, **after})
        skus += [product["sku"] for product in page["products"]]
        if "next" not in page:
            break
        after = {"after": page["next"]}
    require(skus == [f"p{i:03}" for i in range(100)], f"all products, once: {skus}")
    body = {"account_id": account,
            "lines": [{"sku": sku, "quantity": 1} for sku in skus]}
    answer = mesh.tell("order.place", body, "fault-53-too-many")
    require(answer["error"]["code"] == "too_large" and "max_payload" in answer["error"]["message"],
            f"an event that cannot travel: {answer}")
    require("position" in mesh.tell("order.place", {**body, "lines": body["lines"][:10]},
                                    "fault-53-ten"), "a smaller one is taken")
    mesh.server_config("max_payload: 1048576")
    mesh.stop("server")
    mesh.start("server")
    mesh.wait_takes("order-svc")
    wait_until(lambda: "position" in (mesh.tell("order.place", body, "fault-53-all") or {}),
               "the same order is taken under a server that takes more")
    mesh.check()


def place_a_large_order(mesh):
    """An order of 60 products with long names. Returns its account, its lines, and what its event
    needs of a message."""
    account = mesh.customer()
    for i in range(60):
        mesh.ask("order.add-product", {
            "sku": f"p{i:02}", "name": "n" * 200, "stock": 1000,
            "price": {"amount": 1, "currency": "EUR"}})
    lines = [{"sku": f"p{i:02}", "quantity": 1} for i in range(60)]
    mesh.tell("order.place", {"account_id": account, "lines": lines}, "fault-51-large")
    needed = mesh.stats("order-svc")["largest_event"]
    require(12_000 < needed < 60_000, f"what the largest event needs: {needed}")
    mesh.quiet()
    return account, lines, needed


def fault_51_max_payload_reloaded(mesh):
    """The operator gives the running server a smaller max_payload than the largest event needs, and
    reloads it. nats-server tells nobody; order-svc asks it, is held and says so with both values,
    refuses what is too large, and keeps its connection. Reloaded with the old limit, it is ready.
    Under a server that was started with the smaller limit, the larger one wants a new connection:
    order-svc ends, and is ready when it is started again."""
    for name in SERVICES:
        mesh.flags[name] = ["--server-check-s", "1"]
    mesh.up()
    account, lines, needed = place_a_large_order(mesh)
    size = mesh.log_size("order-svc")
    mesh.write_server_config(f"max_payload: {needed - 2000}")
    mesh.wait_state("order-svc", "held")
    logged(mesh, "order-svc", f"event=max_payload_changed was=1048576 is={needed - 2000}",
           "the change is not named", size)
    logged(mesh, "order-svc", f"field=max_payload .*{needed - 2000}.*{needed}", "not both values",
           size)
    large = mesh.tell("order.place", {"account_id": account, "lines": lines}, "fault-51-again")
    require(large["error"]["code"] == "too_large", f"what cannot travel: {large}")
    small = mesh.tell("order.place", {"account_id": account, "lines": lines[:1]}, "fault-51-small")
    require("position" in small, f"a small order: {small}")
    mesh.write_server_config("max_payload: 1048576")
    mesh.wait_ready()
    require(not mesh.log_has("order-svc", "event=disconnected", size), "it lost its connection")
    mesh.stop("server")
    mesh.server_config(f"max_payload: {needed - 2000}")
    mesh.start("server", wait=False)
    mesh.wait_state("order-svc", "held")
    mesh.write_server_config("max_payload: 1048576")
    mesh.wait_dead("order-svc", 40)
    logged(mesh, "order-svc", "event=connecting_anew", "the end is not explained", size)
    mesh.start("order-svc")
    mesh.wait_ready()
    mesh.check()


def fault_51_server_takes_less_than_the_largest_event(mesh):
    """The server is restarted with a max_payload that is smaller than an event that order-svc's log
    has. order-svc is not ready, and says which field has which value; its log grows by smaller
    events, and nothing is lost. It is ready again when the operator raises the limit."""
    mesh.up()
    account, lines, needed = place_a_large_order(mesh)
    mesh.stop("server")
    mesh.server_config(f"max_payload: {needed - 2000}")
    mesh.start("server", wait=False)
    mesh.wait_state("order-svc", "held")
    mesh.wait_state("account-svc", "ready")
    logged(mesh, "order-svc", f"max_payload.*{needed - 2000}.*{needed}",
           "the log names the field and both values")
    mesh.wait_takes("order-svc")
    small = mesh.tell("order.place", {"account_id": account, "lines": lines[:1]}, "fault-51-small")
    require("position" in small, f"a small order: {small}")
    mesh.stop("server")
    mesh.server_config("max_payload: 1048576")
    mesh.start("server", wait=False)
    mesh.wait_ready()
    mesh.check()


def fault_53_statistics_larger_than_a_message(mesh):
    """A server takes 4 KiB, less than the statistics of all endpoints. The services work, and what
    they say of themselves comes with the first endpoint alone; the log warns of it."""
    mesh.server_config("max_payload: 4096")
    mesh.up()
    mesh.product()
    require("position" in mesh.order(mesh.customer()), "a small order is taken")
    require(mesh.state("order-svc") == "ready", f"the statistics: {mesh.stats('order-svc')}")
    logged(mesh, "order-svc", "reply_too_large.*max_payload=4096", "the log warns")
    mesh.check()


def fault_53_headers_that_nobody_reads(mesh):
    """Requests with a header without a value, with hundreds of headers, with strange bytes: taken.
    Two different idempotency keys: refused by name. A traceparent that is malformed or too long is
    left out; the order goes on."""
    mesh.up()
    mesh.product(stock=1000)
    account = mesh.customer()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    taken = [[("baggage", "")], [("", "no key")], [(f"x-{i}", "y") for i in range(300)],
             [("strange", "\u009b\u202e\x01\x7f")], [("x", "y" * 100_000)],
             [("traceparent", "hello")], [("traceparent", trace + "x" * 600)],
             [("traceparent", trace.upper())], [("traceparent", "")],
             [("traceparent", trace), ("baggage", "")]]
    for i, headers in enumerate(taken):
        answer = mesh.request("order.place", order_of(account), f"fault-53-{i}", headers=headers)
        require(answer and "position" in answer, f"{str(headers)[:80]}: {answer}")
    traces = mesh.query("order-svc", "SELECT traceparent FROM event_log WHERE type = 'OrderPlaced' "
                                     "ORDER BY position")
    require([row[0] for row in traces] == [None] * (len(taken) - 1) + [trace],
            f"what is malformed is passed on: {traces}")
    for headers in ([("Idempotency-Key", "one"), ("idempotency-key", "two")],
                    [("Idempotency-Key", "")], [("Idempotency-Key", "a\u202eb")]):
        error = mesh.request("order.place", order_of(account), headers=headers)["error"]
        require(error["code"] == "invalid_request" and "Idempotency-Key" in error["message"],
                f"{headers}: {error}")
    same = [("Idempotency-Key", "one"), ("Idempotency-Key", "one")]
    require("position" in mesh.request("order.place", order_of(account), headers=same),
            "the same key twice is one key")
    mesh.check()
