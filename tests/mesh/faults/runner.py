"""Runner: finds the tests of faults, runs each in its own process, and stores their results.

    python3 runner.py NAME FOLDER BUILD      runs one test
"""
import concurrent.futures
import glob
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import guards
import kit
import report

HERE = os.path.dirname(os.path.abspath(__file__))
TEST_S, FULL_S = 1800, 7200            # only a test that is stuck takes longer
SKIPPED_CODE = 77                      # the exit code of a test that cannot run here


class Test:
    def __init__(self, function):
        self.name, self.function = function.__name__, function
        self.row = int(re.match(r"fault_(\d+)_", self.name)[1])
        self.slow = getattr(function, "slow", False)
        self.needs = getattr(function, "needs", ())
        text = " ".join((function.__doc__ or "").split())
        self.does = text.rstrip(".")


class Guard(Test):
    """The story of a guard, run twice: see guards.py."""

    def __init__(self, name, story):
        self.name, self.row, self.needs = "guard_" + name, report.GUARDS, ()
        self.function = lambda mesh: guards.is_missed(mesh, name)
        self.slow = name not in guards.QUICK
        self.does = " ".join(story.__doc__.split()).rstrip(".")


class Broken(Test):
    """Stands in for the tests of a file that cannot be imported, and fails."""

    def __init__(self, path, error):
        def fault_0_broken(_mesh):
            raise kit.Failed(f"{path}: {error!r}")
        super().__init__(fault_0_broken)
        self.name = "fault_0_" + os.path.basename(path).removesuffix(".py")


def discover():
    """All tests, in the order of the catalogue."""
    tests = []
    for path in sorted(glob.glob(os.path.join(HERE, "rows_*.py"))):
        try:
            module = importlib.import_module(os.path.basename(path).removesuffix(".py"))
        except Exception as error:         # the other files still run
            print(f"faults: {path}: {error!r}", flush=True)
            tests.append(Broken(path, error))
            continue
        tests += [Test(function) for name, function in vars(module).items()
                  if re.match(r"fault_\d+_", name) and function.__module__ == module.__name__]
    tests += [Guard(name, story) for name, story in guards.STORIES.items()]
    tests += [Broken(f"common: GUARD({name})", "no story in guards.py needs this guard")
              for name in guards.without_story()]
    return sorted(tests, key=lambda test: (test.row, test.name))


def choose(tests, options, parser, is_sanitized):
    chosen = []
    for word in options.tests:
        found = [
            t for t in tests if (t.row == int(word) if word.isdigit() else t.name.startswith(word))
        ]
        if not found:
            parser.error(f"no test {word}; see --list")
        chosen += [t for t in found if t not in chosen]
    chosen = chosen or list(tests)
    if options.guards:
        chosen = [t for t in chosen if t.row == report.GUARDS]
    if options.quick:
        chosen = [t for t in chosen if not t.slow]
    if options.preload:
        chosen = [t for t in chosen if "no sanitizer" in t.needs]
    elif options.quick and is_sanitized:
        chosen = [t for t in chosen if "no sanitizer" not in t.needs]
    if options.part:
        part, parts = map(int, options.part.split("/"))
        chosen = chosen[part - 1::parts]
    return chosen


# ---- One test, in its own process ----------------------------------------------------------------

def run_one(name, folder, build):
    test = next(t for t in discover() if t.name == name)
    missing = [need for need in test.needs if not kit.NEEDS[need](build)]
    if missing:
        print(f"the test needs {', '.join(missing)}")
        return SKIPPED_CODE
    mesh = kit.Mesh(folder, build)
    code = 0
    try:
        said = test.function(mesh)
        if said:
            print(said)
    except kit.Skipped as reason:
        print(reason)
        code = SKIPPED_CODE
    except kit.Failed as wrong:
        where = traceback.extract_tb(wrong.__traceback__)
        line = next((frame for frame in reversed(where)
                     if os.path.basename(frame.filename).startswith("rows_")), where[-1])
        print(f"{os.path.basename(line.filename)}:{line.lineno}: {wrong}")
        code = 1
    except Exception:
        traceback.print_exc(file=sys.stdout)
        code = 1
    finally:
        alive = mesh.down()
    for command in alive:
        print(f"still alive after the test, and killed: {command}")
    return code or (1 if alive else 0)


def run_test(test, options, build, mark):
    """Runs one test and returns its result as a dictionary."""
    folder = tempfile.mkdtemp(prefix=test.name + ".")
    environment = dict(os.environ, JOURNEY_FAULTS_FULL="1" if options.full else "0",
                       PYTHONDONTWRITEBYTECODE="1")
    environment[kit.MARK] = f"{mark}-{test.name}"
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), test.name, folder, build], env=environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said, _ = process.communicate(timeout=FULL_S if options.full else TEST_S)
        code = process.returncode
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)          # the test then stops its mesh
        try:
            said, _ = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        said, code = said + "\nthe test did not end", 1
    result = {0: "passed", SKIPPED_CODE: "skipped"}.get(code, "failed")
    if result != "failed" and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
        folder = None
    return {
        "name": test.name, "row": test.row, "does": test.does, "result": result,
        "said": said.strip(), "seconds": round(time.monotonic() - start,
                                               1), "folder": folder, "full": options.full
    }


# ---- All of them ---------------------------------------------------------------------------------

def tell(result):
    print(f"{result['result']:8} {result['name']:52} {result['seconds']:6.1f} s", flush=True)
    if result["said"] and (result["result"] != "passed" or "figure" in result["said"]):
        print("\n".join("         " + line for line in result["said"].splitlines()[-40:]),
              flush=True)
    if result["folder"]:
        print(f"         data and logs of the test are in {result['folder']}", flush=True)


def programs(options):
    build = os.environ.get("JOURNEY_BUILD_DIR")
    if build:
        return build
    script = os.path.join(kit.SCRIPTS, "dev", "build")
    subprocess.run([script, options.build], check=True)
    return subprocess.run([script, options.build, "--print-dir"], check=True, capture_output=True,
                          text=True).stdout.strip()


def run(options, parser):
    tests = discover()
    if options.list:
        for test in tests:
            print(f"{test.name:52} {'slow ' if test.slow else '     '}{test.does.split('. ')[0]}")
        return 0
    if options.report:
        return report.write(tests)
    build, mark, start = programs(options), f"{os.getpid()}-{os.urandom(3).hex()}", time.monotonic()
    chosen = choose(tests, options, parser, kit.is_sanitized(build))
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    with concurrent.futures.ThreadPoolExecutor(max(1, options.jobs)) as pool:
        for done in concurrent.futures.as_completed(
            [pool.submit(run_test, t, options, build, mark) for t in chosen]):
            result = done.result()
            counts[result["result"]] += 1
            tell(result)
            report.keep(result)
    print(f"faults: {time.monotonic() - start:.0f} s")
    print(f"{counts['passed']} passed, {counts['failed']} failed"
          + (f", {counts['skipped']} skipped" if counts["skipped"] else ""))
    return 1 if counts["failed"] or not counts["passed"] + counts["skipped"] else 0


if __name__ == "__main__":
    sys.exit(run_one(*sys.argv[1:]))
