"""Row 42: attacks on a mesh with rights. The attacks are in tests/mesh/outage/fault_42_rights, with
a mesh of its own. Row 52: rights that a service misses."""
import os

from kit import ROOT, far, logged, needs, require, subprocess, wait_until
from rows_drift import edit_stream, notices, sees


@needs(slow=True)
def fault_42_attack_on_a_mesh_with_rights(mesh):
    """An attacker with a service's own rights tries to exceed them: forged reply subjects, pulls
    into other streams, others' inboxes, others' events and requests. Every attempt is refused."""
    command = [os.path.join(ROOT, "tests", "mesh", "outage", "fault_42_rights"),
               "--dir", os.path.join(mesh.folder, "rights")]
    environment = dict(mesh.environment(), JOURNEY_BUILD_DIR=mesh.build)
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False, timeout=far(140))
    require(done.returncode == 0,
            f"exit code {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")


RIGHTS = """
accounts {{ SHOP {{ jetstream: enabled, users: [
  {{ user: svc, password: x, permissions: {{ publish: {{ deny: [{publish}] }},
                                             subscribe: {{ deny: [{subscribe}] }} }} }},
  {{ user: all, password: x }} ] }} }}
no_auth_user: all
"""


def set_rights(mesh, publish="", subscribe=""):
    """The rights of the user `svc`, which order-svc is; all others may do everything."""
    text = RIGHTS.format(publish=publish, subscribe=subscribe)
    (mesh.write_server_config if mesh.runs("server") else mesh.server_config)(text)


def fault_52_refused_subscription_is_named(mesh):
    """The server refuses the subscription of one endpoint. The service is not ready and names the
    subject; when the operator gives the right, requests arrive, without a restart."""
    set_rights(mesh, subscribe='"order.place"')
    mesh.env["order-svc"].update(NATS_USER="svc", NATS_PASSWORD="x")
    mesh.up(wait=False)
    wait_until(lambda: notices(mesh, "order-svc").get(
        ("not permitted to subscribe", "order.place")) == "held",
               lambda: f"it is named: {mesh.stats('order-svc')}", 30)
    mesh.wait_state("order-svc", "held")
    mesh.wait_state("account-svc", "ready")
    account, tea = mesh.customer(), mesh.product()
    set_rights(mesh)
    mesh.wait_state("order-svc", "ready", 40)
    sees(mesh, account, tea)
    set_rights(mesh, subscribe='"order.place"')         # taken away while it runs
    mesh.wait_state("order-svc", "held", 40)
    set_rights(mesh)
    mesh.wait_state("order-svc", "ready", 40)
    sees(mesh, account, tea)


def fault_52_refused_publish_is_named(mesh):
    """The server refuses what the service publishes into its stream. The service is not ready, says
    so with the subject, and publishes when the operator has given the right back."""
    set_rights(mesh)
    mesh.env["order-svc"].update(NATS_USER="svc", NATS_PASSWORD="x")
    mesh.up()
    account, tea = mesh.customer(), mesh.product()
    sees(mesh, account, tea)
    set_rights(mesh, publish='"evt.>"')
    mesh.order(account, tea)
    mesh.wait_state("order-svc", "held", 40)
    wait_until(lambda: "not permitted to publish: evt.order.OrderPlaced" in
               mesh.stats("order-svc")["relay_reason"],
               lambda: f"it is the reason: {mesh.stats('order-svc')}", 30)
    logged(mesh, "order-svc", "level=warn .*not permitted to publish", "no line")
    set_rights(mesh)
    mesh.wait_state("order-svc", "ready", 60)
    sees(mesh, account, tea)


def fault_52_refused_advisories_are_named(mesh):
    """The server does not let the service hear JetStream's advisories. That is named and borne: the
    audit sees what is set on the stream. With the right, and a new connect, it is named no more."""
    subject = "$JS.EVENT.ADVISORY.STREAM.UPDATED.ORDER"
    set_rights(mesh, subscribe='"$JS.EVENT.>"')
    mesh.env["order-svc"].update(NATS_USER="svc", NATS_PASSWORD="x")
    mesh.up()
    wait_until(lambda: notices(mesh, "order-svc").get(
        ("not permitted to subscribe", subject)) == "borne",
               lambda: f"it is named: {mesh.stats('order-svc')}", 30)
    edit_stream(mesh, description="the books")
    wait_until(lambda: notices(mesh, "order-svc").get(("description", "the books")) == "borne",
               lambda: f"the audit sees it: {mesh.stats('order-svc')}", 30)
    require(("not permitted to subscribe", subject) in notices(mesh, "order-svc"),
            "it is not named any more")
    mesh.wait_state("order-svc", "ready")
    mesh.stop("server")
    mesh.server_config(RIGHTS.format(publish="", subscribe=""))
    mesh.start("server")
    wait_until(lambda: ("not permitted to subscribe", subject) not in notices(mesh, "order-svc"),
               "it is named without reason", 30)
    mesh.check()
