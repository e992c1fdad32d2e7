#!/usr/bin/env python3
"""expected - compare what the tutorial's blocks printed with what the tutorial says they print

USAGE
    expected.py commands WAY DOCUMENT        print the blocks of commands as one script, which says
                                             where each begins
    expected.py compare WAY DOCUMENT SAID    compare SAID, the output of that script

Commands stand in blocks `sh`, for everybody, and in blocks `sh WAY`, for who goes that way: tree or
packages. The lines of a block without a language, behind one of commands, are found in its output,
in their order; `…` stands for anything. Exit code 1 names the first line that is not there.
"""
import re
import sys

MARK = "== block {} of the tutorial =="


def blocks(way, path):
    """[commands, the lines that they print or []], in the order of the document."""
    found, kind, lines, taken = [], None, [], False
    with open(path, encoding="utf-8") as file:
        for line in file.read().split("\n"):
            if kind is None and line.startswith("```"):
                kind, lines = line[3:], []
            elif line == "```" and kind is not None:
                if kind.startswith("sh"):
                    taken = kind in ("sh", f"sh {way}")
                    found += [[lines, []]] if taken else []
                elif kind == "" and taken:
                    found[-1][1] = lines
                kind, lines = None, []
            else:
                lines.append(line)
    return found


def pattern(line):
    return re.compile(".*".join(re.escape(part) for part in line.split("…")))


def compare(way, document, said):
    with open(said, encoding="utf-8", errors="replace") as file:
        text = file.read()
    count = 0
    for number, (_, wanted) in enumerate(blocks(way, document)):
        _, _, printed = text.partition(MARK.format(number) + "\n")
        printed = printed.partition(MARK.format(number + 1) + "\n")[0].split("\n")
        here = 0
        for line in wanted:
            at = next((i for i in range(here, len(printed)) if pattern(line).fullmatch(printed[i])),
                      None)
            if at is None:
                print("\n".join(printed[here:]))
                sys.exit(f"expected: block {number} of {document} never printed: {line}")
            here, count = at + 1, count + 1
    print(f"{count} lines")


def main():
    if sys.argv[1] == "commands":
        for number, (commands, _) in enumerate(blocks(*sys.argv[2:])):
            print("\n".join([f"echo '{MARK.format(number)}'"] + commands))
    else:
        compare(*sys.argv[2:])


if __name__ == "__main__":
    main()
