#!/usr/bin/env python3
"""scrapes - scrape a service many times, as Prometheus and an orchestrator do, and print the times

USAGE
    scrapes.py http://ADDRESS:PORT COUNT

WHAT IT DOES
    Requests /metrics and /healthz in turns, COUNT times in all, each on a new connection. Fails
    when an answer is not 200, or takes longer than 5 s. Prints one line: the count, and p50, p99
    and the longest time in milliseconds.
"""
import os
import sys
import time
import urllib.request


FAR_S = 5 * float(os.environ.get("JOURNEY_PATIENCE", "1"))


def scrape(address, count):
    taken_ms = []
    for i in range(count):
        start = time.monotonic()
        page = address + ("/metrics", "/healthz")[i % 2]
        with urllib.request.urlopen(page, timeout=FAR_S) as answer:        # raises unless 200
            answer.read()
        taken_ms.append((time.monotonic() - start) * 1000)
    return sorted(taken_ms)


def main():
    if len(sys.argv) != 3:
        print(__doc__.strip())
        return 0 if "--help" in sys.argv else 2
    taken_ms = scrape(sys.argv[1], int(sys.argv[2]))
    p50, p99 = (taken_ms[int(len(taken_ms) * share)] for share in (0.5, 0.99))
    print(
        f"{len(taken_ms)} scrapes: p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
        f"longest {taken_ms[-1]:.1f} ms"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
