"""Row 42: attacks on a mesh with rights. The attacks are in tests/mesh/outage/fault_42_rights, with
a mesh of its own."""
import os

from kit import ROOT, far, needs, require, subprocess


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
