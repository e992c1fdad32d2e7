"""Terminal: what a person is shown of data from outside: of streams, databases, logs, answers. A
message must not steer the terminal: ? stands for each character that has no shape. The
services judge alike (common/base/utf8.h).

As a program it copies its input, `terminal.py <LOG`, which scripts/mesh does with logs."""
import contextlib
import json
import os
import sys


def printable(text):
    """One line of text. A line feed in it is none of ours, and replaced, too."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def printable_lines(text):
    """The same of text that may have several lines, and tabs between columns."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in str(text).split("\n"))


def printable_json(value):
    """JSON for people: characters with a shape as they are, all others escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


@contextlib.contextmanager
def while_watched():
    """Ctrl-C, and a reader of the output that has gone, end what is shown without an error."""
    try:
        yield
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:            # nor does Python complain when it flushes at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main():
    out = open(sys.stdout.fileno(), "w", encoding="utf-8", closefd=False)  # in every locale
    try:
        for line in sys.stdin.buffer:
            out.write(printable_lines(line.decode("utf-8", "replace")))
        out.flush()
    except BrokenPipeError:
        pass


if __name__ == "__main__":
    main()
