"""Source text: what scripts/dev/style wants of every text in the tree, whatever its language: lines
of 100 columns, a reason at each suppression, no mark of a merge, and the formatter's layout of
C."""
import os
import re
import shutil
import subprocess

from journey import ROOT

COLUMNS_MAX = 100
C, PYTHON, BASH, MESON, MARKDOWN = "C", "Python", "shell", "meson", "Markdown"
ENDINGS = {".c": C, ".h": C, ".py": PYTHON, ".sh": BASH, ".md": MARKDOWN}
NAMES = {"meson.build": MESON, "meson_options.txt": MESON}
FIRST_LINE = ((re.compile(r"#!.*python3?\b"), PYTHON),
              (re.compile(r"#!.*\b(ba)?sh\b|# shellcheck shell="), BASH))
LEFT_OUT = ("tests/fuzz/corpus/", "tests/fixtures/", "docs/reference/")     # data; generated
# These hold suppressions as text, to look for them.
ABOUT_SUPPRESSIONS = ("scripts/dev/lint", "scripts/dev/style", "scripts/lib/journey/source_text.py",
                      "tests/code/test_lint", "tests/code/test_style")
MERGE_MARKS = ("<" * 7 + " ", ">" * 7 + " ")

# A suppression, by language: what it looks like, and what it looks like with its reason.
SUPPRESSIONS = (
    (C, re.compile(r"NOLINT(?!END)"), re.compile(r"NOLINT\w*\([^)]*\): \S"),
     "NOLINTNEXTLINE(check): reason"),
    (C, re.compile(r"cppcheck-suppress"), re.compile(r"cppcheck-suppress \w+ ; \S"),
     "cppcheck-suppress id ; reason"),
    (C, re.compile(r"/[/*] clang-format off"), re.compile(r"// clang-format off: \S"),
     "// clang-format off: reason"),
    (C, re.compile(r"/\* (style|lint): "), re.compile(r"/\* (style|lint): \S+ because \S"),
     "/* style: long because reason */"),
    (PYTHON, re.compile(r"# (noqa|type: ignore|pylint: disable)"),
     re.compile(r"# (noqa: \w+|type: ignore\[[\w-]+\]|pylint: disable=[\w-]+) - \S"),
     "# noqa: code - reason"),
    (BASH, re.compile(r"# shellcheck disable="), re.compile(r"# shellcheck disable=[\w,]+ # \S"),
     "# shellcheck disable=code # reason"),
)


def language_of(root, path):
    """The language of a text by its name or its first line; None: any other file."""
    name = os.path.basename(path)
    known = NAMES.get(name) or ENDINGS.get(os.path.splitext(name)[1])
    if known or "." in name.lstrip("."):
        return known
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        first = file.readline()
    return next((language for pattern, language in FIRST_LINE if pattern.match(first)), None)


def prose_lines(lines):
    """(number, line) of the prose of a Markdown document: no table, code block or picture."""
    inside = False
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside and not line.lstrip().startswith(("|", "<!--", "![")):
            if not line.startswith("    "):
                yield number, line


def check_columns(language, path, lines, complain):
    numbered = prose_lines(lines) if language == MARKDOWN else enumerate(lines, 1)
    for number, line in numbered:
        if len(line) > COLUMNS_MAX and "://" not in line:
            complain(path, number, "columns", f"{len(line)}, more than {COLUMNS_MAX}")


def check_suppressions(language, path, lines, complain):
    for of_language, pattern, with_reason, shape in SUPPRESSIONS:
        if of_language != language:
            continue
        for number, line in enumerate(lines, 1):
            found = pattern.search(line)
            if found and not with_reason.match(line, found.start()):
                complain(path, number, "suppression", f"without its reason: {shape}")


def check_merged(path, lines, complain):
    """A line of seven equals signs is a heading in some texts, so the other two tell."""
    for number, line in enumerate(lines, 1):
        if line.startswith(MERGE_MARKS):
            complain(path, number, "merge", "a mark of a merge: both sides still stand there")


def check_text(root, path, complain):
    """complain(path, line, rule, text)"""
    language = None if path.startswith(LEFT_OUT) else language_of(root, path)
    if language is None:
        return
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    check_columns(language, path, lines, complain)
    check_merged(path, lines, complain)
    if path not in ABOUT_SUPPRESSIONS:
        check_suppressions(language, path, lines, complain)


# ---- The formatter's layout ----------------------------------------------------------------------

def formatter():
    """The path of clang-format in the version that formats this tree; None: it is not there."""
    with open(ROOT / "scripts/lib/clang-format.txt", encoding="utf-8") as file:
        version = re.search(r"^clang-format==(\S+)", file.read(), re.M)[1]
    for place in (str(ROOT / ".tools/bin/clang-format"), shutil.which("clang-format")):
        if place and os.access(place, os.X_OK):
            said = subprocess.run([place, "--version"], capture_output=True, text=True, check=False)
            if re.search(rf"\b{re.escape(version)}\b", said.stdout):
                return place
    return None


def run_formatter(root, paths, *options):
    """Of a tree without .clang-format nothing is known; what the formatter says."""
    return subprocess.run([formatter(), "--style=file", *options, *paths], cwd=root, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False).stderr


def check_layout(root, paths, complain):
    """One complaint a file, at the first line that the formatter would change."""
    if not paths or not os.path.exists(os.path.join(root, ".clang-format")):
        return
    if formatter() is None:
        complain("scripts/lib/clang-format.txt", 1, "layout",
                 "this clang-format is missing; run scripts/setup --tests")
        return
    told = set()
    for line in run_formatter(root, paths, "--dry-run", "-Werror").splitlines():
        found = re.match(r"(?P<path>[^:]+):(?P<line>\d+):\d+: error: ", line)
        if found and found["path"] not in told:
            told.add(found["path"])
            complain(found["path"], int(found["line"]), "layout",
                     "not as clang-format has it; scripts/dev/style --fix")


def fix_layout(root, paths):
    run_formatter(root, paths, "-i")
