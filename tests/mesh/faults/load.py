"""Load: customers of a mesh, in the background of a test."""
import os
import subprocess

from basics import SCRIPTS, SLOWER, Failed, require


class Load:
    """scripts/load in the background; each request is retried until it has an answer."""

    def __init__(self, mesh, seconds, rate, seed, in_flight):
        self.said = open(os.path.join(mesh.folder, "log", f"load-{seed}.log"), "w+b")
        flags = {"history": mesh.history, "server": mesh.url, "seconds": seconds, "rate": rate,
                 "seed": seed, "in-flight": in_flight, "settle": 60 * SLOWER}
        command = [os.path.join(SCRIPTS, "load")]
        for name, value in flags.items():
            command += [f"--{name}", str(value)]
        self.process = subprocess.Popen(command, env=mesh.environment(), stdin=subprocess.DEVNULL,
                                        stdout=self.said, stderr=subprocess.STDOUT)

    def runs(self):
        return self.process.poll() is None

    def finish(self, seconds=90):
        """Waits for the end of the load: every request must have an answer. Returns the load's
        output."""
        try:
            code = self.process.wait(seconds * SLOWER)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed("the load does not end") from None
        self.said.seek(0)
        text = self.said.read().decode()
        require(code == 0, f"the load has requests without an answer:\n{text}")
        return text
