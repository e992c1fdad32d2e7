#!/usr/bin/python3
"""confine - run a program under the system calls that a systemd unit allows it

USAGE
    confine.py UNIT PROGRAM [ARGUMENT…]

WHAT IT DOES
    Reads the SystemCallFilter lines of the unit as systemd does, with the sets that systemd-analyze
    knows, and executes the program. A forbidden call kills the program (SIGSYS), whatever the
    unit's SystemCallErrorNumber says, so that the call is noticed. Root first becomes the user
    nobody: the unit's user is not root, and libraries do more for root.
"""
import os
import pwd
import re
import subprocess
import sys

import seccomp                          # of the distribution, as is this Python


def members(name):
    """The calls of @set, with those of its subsets; for a call, the call itself."""
    if not name.startswith("@"):
        return {name}
    said = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True,
                          text=True, check=True).stdout
    return set().union(*(members(line.strip())
                         for line in said.splitlines()[1:]
                         if line.strip() and not line.strip().startswith("#")))


def allowed_by(unit):
    """The allowed calls: lines add calls, and lines with ~ remove calls."""
    calls = members("@default")
    with open(unit, encoding="utf-8") as file:
        for minus, names in re.findall(r"^SystemCallFilter=(~?)(.*)$", file.read(), re.M):
            named = set().union(*map(members, names.split()))
            calls = calls - named if minus else calls | named
    return calls


def confine(calls):
    rules = seccomp.SyscallFilter(defaction=seccomp.KILL_PROCESS)
    for call in sorted(calls):
        try:
            rules.add_rule(seccomp.ALLOW, call)
        except (RuntimeError, ValueError):
            continue                    # this machine has no such call
    rules.load()


def leave_root():
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)


def main():
    if len(sys.argv) < 3:
        print(__doc__.strip())
        return 0 if "--help" in sys.argv else 2
    calls = allowed_by(sys.argv[1])
    leave_root()
    confine(calls)
    os.execvp(sys.argv[2], sys.argv[2:])
    return 1


if __name__ == "__main__":
    sys.exit(main())
