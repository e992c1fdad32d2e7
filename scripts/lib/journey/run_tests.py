"""Run tests: the part of scripts/test that comes after scripts/setup; see scripts/test --help."""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))
SCRIPTS = os.path.join(ROOT, "scripts")
VARIANTS = ("asan", "release", "tsan")
SUITES = ("unit", "journeys", "sim", "fuzz", "live", "mesh", "release", "code")
ONLY_IN = {"code": "release"}           # its subject is the sources, the same in all variants
QUICK_SUITES, SLOW = ("unit", "journeys", "code"), "slow"   # and a mark beside a suite's name
LEFTOVER_S = 5
COVERED_MIN = 90                        # percent of the lines, in what the asan variant runs

COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
CRITERION = re.compile(r"Synthesis: Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+)"
                       r" \| Crashing: (\d+)")
PLAIN = re.compile(r"^(\d+) passed, (\d+) failed", re.M)
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:detect_stack_use_after_return=1",
    "LSAN_OPTIONS": f"print_suppressions=0:suppressions={SCRIPTS}/lib/leaks.txt",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "second_deadlock_stack=1:exitcode=66",
}


class Counts:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, test):
        """One test program: as many cases as it reports, at least one failed if it failed."""
        result = test["result"]
        if result == "SKIP":
            self.skipped += 1
            return
        said = COLOUR.sub("", test.get("stdout", "") + "\n" + test.get("stderr", ""))
        passed = failed = 0
        for match in CRITERION.finditer(said):
            passed += int(match[2])
            failed += int(match[3]) + int(match[4])
        for match in PLAIN.finditer(said):
            passed += int(match[1])
            failed += int(match[2])
        if result not in ("OK", "EXPECTEDFAIL"):
            failed = max(failed, 1)
        elif passed + failed == 0:
            passed = 1
        self.passed += passed
        self.failed += failed

    def line(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def say(text):
    print(text, flush=True)


def build(variant):
    start = time.monotonic()
    command = [os.path.join(SCRIPTS, "dev", "build"), variant]
    if subprocess.run(command, check=False).returncode != 0:
        return False
    say(f"test: {variant} is built, without a warning ({time.monotonic() - start:.0f} s)")
    return True


def meson_test(variant, suites, without, names, environment):
    """Runs the tests of one variant; a list of results, or None when meson could not run them."""
    folder = os.path.join(ROOT, f"build-{variant}")
    log = os.path.join(folder, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.unlink(log)
    command = ["meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs",
               "--num-processes", str(os.cpu_count() or 2)]
    for suite in suites:
        command += ["--suite", suite]
    for suite in without:
        command += ["--no-suite", suite]
    done = subprocess.run(command + names, env=environment, stdin=subprocess.DEVNULL, check=False)
    if not os.path.exists(log):
        return [] if done.returncode == 0 else None
    with open(log, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def find_server():
    """The nats-server that the tests use: the one that scripts/mesh uses."""
    command = ["bash", "-c", '. "$0/lib/lib.sh" && find_server', SCRIPTS]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def marked_processes(mark):
    """Processes that have inherited this run's mark, with their command lines."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark.encode() not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
            found.append((int(pid), command))
        except OSError:
            continue                    # it has ended, or is somebody else's
    return found


def leftovers(mark):
    """What is still alive after the tests; it is ended here."""
    end = time.monotonic() + LEFTOVER_S
    while (found := marked_processes(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    for pid, command in found:
        say(f"test: still alive after the tests, and killed now: {pid} {command}")
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    return len(found)


def coverage(*options):
    """Runs scripts/dev/coverage on the asan variant, which counts lines; true when it passes."""
    command = [os.path.join(SCRIPTS, "dev", "coverage"), *options]
    return subprocess.run(command, check=False).returncode == 0


def keep_logs(variant):
    target = os.environ.get("JOURNEY_TEST_LOG")
    source = os.path.join(ROOT, f"build-{variant}", "meson-logs")
    if target and os.path.isdir(source):
        shutil.copytree(source, os.path.join(target, variant), dirs_exist_ok=True)


def list_tests(variants):
    for variant in variants:
        if not build(variant):
            return 1
        folder = os.path.join(ROOT, f"build-{variant}")
        subprocess.run(["meson", "test", "-C", folder, "--list", "--no-rebuild"], check=True)
        return 0                        # the tests are the same in all
    return 0


def run(options):
    mark = f"JOURNEY_TEST_RUN={os.getpid()}-{os.urandom(4).hex()}"
    environment = dict(os.environ, **SANITIZERS)
    environment.update([mark.split("=")])
    environment["NATS_SERVER"] = find_server()
    for name in ("NATS_URL", "NATS_CONTEXT", "JOURNEY_MESH_URL", "JOURNEY_BUILD_DIR"):
        environment.pop(name, None)
    counts, start = Counts(), time.monotonic()
    for variant in options.variant:
        if not build(variant):
            counts.failed += 1
    counted = "asan" in options.variant and not counts.failed
    if counted:
        coverage("--reset")
    for variant in options.variant if not counts.failed else []:
        suites = [suite for suite in options.suite
                  if ONLY_IN.get(suite, variant) == variant]
        if not suites:
            continue
        say(f"test: {variant}: {', '.join(suites)}")
        results = meson_test(variant, suites, options.without, options.tests, environment)
        keep_logs(variant)
        if results is None:
            counts.failed += 1
        for test in results or []:
            counts.add(test)
    counts.failed += leftovers(mark)
    if counted:
        # A part of the tests runs a part of the lines, and is only told of it.
        whole = set(options.suite) == set(SUITES) and not options.tests
        counts.failed += not coverage("--min", str(COVERED_MIN if whole else 0))
    if counts.passed + counts.failed == 0:
        say("test: no test of this name or suite")
        counts.failed += 1
    say(f"test: {time.monotonic() - start:.0f} s")
    say(counts.line())
    return 1 if counts.failed else 0


def main():
    parser = argparse.ArgumentParser(prog="test", add_help=False,
                                     usage="scripts/test [OPTION…], see --help")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--suite", action="append", choices=SUITES)
    parser.add_argument("--variant", action="append", choices=VARIANTS + ("debug",))
    parser.add_argument("tests", nargs="*")
    options = parser.parse_args()
    if options.quick and (options.suite or options.variant or options.tests):
        parser.error("--quick says which tests run")
    options.suite = options.suite or list(QUICK_SUITES if options.quick else SUITES)
    options.variant = options.variant or (["release"] if options.quick else list(VARIANTS))
    options.without = [SLOW] if options.quick else []
    places = [os.path.join(ROOT, ".tools", "bin"), os.environ["PATH"], "/usr/sbin"]
    os.environ["PATH"] = os.pathsep.join(places)
    return list_tests(options.variant) if options.list else run(options)


if __name__ == "__main__":
    sys.exit(main())
