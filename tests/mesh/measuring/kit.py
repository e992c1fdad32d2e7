"""Kit: shared by the tests of scripts/compare and scripts/bench: checks, interrupted runs."""
import os
import pathlib
import signal
import subprocess
import sys
import time

SCRIPTS = pathlib.Path(__file__).resolve().parents[3] / "scripts"
sys.path.insert(0, str(SCRIPTS / "lib"))
from journey.patience import far, slower  # noqa: E402 - the path comes first
PASSED = []


def check(title, is_right, *said):
    """Counts and prints a check; 1 when it failed."""
    PASSED.append(bool(is_right))
    print("ok    " if is_right else "FAILED", title, *([] if is_right else said), flush=True)
    return not is_right


def finish(failed):
    print(f"{sum(PASSED)} passed, {max(failed, len(PASSED) - sum(PASSED))} failed")
    return 1 if failed else 0


def children_of(folder):
    """The processes whose command line has the folder, as those of a run."""
    found = []
    for place in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in place.read_bytes():
                found.append(place.parent.name)
        except OSError:
            pass
    return found


def interrupted_run(program, words, folder, processes):
    """Starts a run, interrupts it when it has so many processes, and checks that none is left."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    run = subprocess.Popen([SCRIPTS / program, *words], cwd=folder, env=environment,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + far(60)
    while len(children_of(folder)) < processes and run.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    failed = check("a run starts its processes below its folder",
                   len(children_of(folder)) >= processes, children_of(folder))
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=far(60))
    failed += check("the run reports the interruption", run.returncode == 130
                    and "interrupted" in said, run.returncode, said)
    failed += check("no process is left", not children_of(folder), children_of(folder))
    failed += check("nor a folder", not list(folder.glob(f"{program}.*")), list(folder.iterdir()))
    return failed


def usage(program, refused):
    failed = 0
    for words in refused:
        run = subprocess.run([SCRIPTS / program, *words], stdin=subprocess.DEVNULL,
                             capture_output=True, timeout=far(60), check=False)
        failed += check(f"{' '.join(words)} is refused", run.returncode == 2, run)
    run = subprocess.run([SCRIPTS / program, "--help"], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=far(60), check=False)
    return failed + check("--help", run.returncode == 0 and "EXAMPLES" in run.stdout, run)


if __name__ == "__main__":
    sys.exit("kit.py is a part of the tests beside it")
