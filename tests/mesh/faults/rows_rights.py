"""Row 42: attacks on a mesh with rights. The story is tests/mesh/outage/fault_42_rights, with a mesh of its own."""
import os

from kit import ROOT, far, needs, require, subprocess


@needs(slow=True)
def fault_42_attack_on_a_mesh_with_rights(mesh):
    """Somebody with a service's own rights tries what they do not give: forged reply subjects, pulls into others' streams, others'
    inboxes, others' events and requests. All of it is refused."""
    done = subprocess.run([os.path.join(ROOT, "tests", "mesh", "outage", "fault_42_rights"), "--dir", os.path.join(mesh.folder, "rights")],
                          env=dict(mesh.environment(), JOURNEY_BUILD_DIR=mesh.build), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False, timeout=far(140))
    require(done.returncode == 0, f"exit code {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
