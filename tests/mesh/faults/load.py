"""Load: customers of a mesh, in the background of a test."""
import os
import signal
import subprocess

from basics import SCRIPTS, Failed, require
from journey.patience import far


def block_signal():
    """scripts/load unblocks SIGUSR1 when it has a handler, however long its start takes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


class Load:
    """scripts/load in the background; each request is retried until it has an answer. The load
    lasts for `seconds`, and until finish(), however long the test takes; with `ends` for the
    seconds only."""

    def __init__(self, mesh, seconds, rate, seed, in_flight, ends):
        self.said = open(os.path.join(mesh.folder, "log", f"load-{seed}.log"), "w+b")
        flags = {"history": mesh.history, "server": mesh.url, "rate": rate, "seed": seed,
                 "seconds": seconds, "in-flight": in_flight, "settle": 60}
        command = [os.path.join(SCRIPTS, "load")] + ([] if ends else ["--hold"])
        for name, value in flags.items():
            command += [f"--{name}", str(value)]
        self.process = subprocess.Popen(command, env=mesh.environment(), stdin=subprocess.DEVNULL,
                                        stdout=self.said, stderr=subprocess.STDOUT,
                                        preexec_fn=block_signal)

    def runs(self):
        return self.process.poll() is None

    def finish(self, seconds=90):
        """Waits for the end of the load: every request must have an answer. Returns the load's
        output."""
        if self.runs():
            self.process.send_signal(signal.SIGUSR1)
        try:
            code = self.process.wait(far(seconds))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed("the load does not end") from None
        self.said.seek(0)
        text = self.said.read().decode()
        require(code == 0, f"the load has requests without an answer:\n{text}")
        return text
