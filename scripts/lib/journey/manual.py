#!/usr/bin/env python3
"""manual - make a manual page or a shell's completion from a program's --help

USAGE
    scripts/lib/journey/manual.py PROGRAM man|bash|zsh [OUTPUT]

WHAT IT DOES
    Runs PROGRAM --help, whose text has the form of all help texts here: `name - what it is`, then
    sections in capitals at the left, sub-commands in USAGE, options as `--name VALUE`, where the
    value may be FILE, DIR or one|of|these, which the completions offer. So there is one text, and
    the others follow it.

EXAMPLE
    scripts/lib/journey/manual.py build-release/order-svc/order-svc man | man -l -
"""
import os
import re
import subprocess
import sys

VALUE = r"([A-Z][A-Z:-]*|[a-z]+(?:\|[a-z]+)+)"
OPTION = re.compile(rf"^\s+--([a-z][a-z0-9-]*)(?: {VALUE})?(.*)$")
TABLE = re.compile(r"\S {2,}\S")
TABLE_GAP = re.compile(r" {2,}")


class Help:
    """A help text, taken apart."""

    def __init__(self, program):
        self.name = os.path.basename(program)
        done = subprocess.run([program, "--help"], capture_output=True, text=True, check=True,
                              stdin=subprocess.DEVNULL)
        lines = done.stdout.rstrip().splitlines()
        self.summary = lines[0].split(" - ", 1)[1]
        self.sections, title = {}, None
        for line in lines[1:]:
            if re.match(r"^[A-Z][A-Z ]+$", line):
                title = line
                self.sections[title] = []
            elif title:
                self.sections[title].append(line)
        self.options = self.read_options()
        usage = re.findall(re.escape(self.name) + r"(?: \[OPTIONS\])? ([a-z][a-z-]+)\b",
                           "\n".join(self.sections.get("USAGE", [])))
        self.commands = list(dict.fromkeys(usage))

    def read_options(self):
        """(name, the value that it takes or None, its first line of help); those of a sub-command
        stand in its line of USAGE."""
        found, lines = [], self.sections.get("OPTIONS", [])
        for i, line in enumerate(lines):
            match = OPTION.match(line)
            if not match:
                continue
            rest = match[3].strip()
            below = lines[i + 1].strip() if i + 1 < len(lines) else ""
            help_line = rest if rest and not rest.startswith(",") else below
            found.append((match[1], match[2], help_line))
        known = {name for name, _, _ in found}
        for line in self.sections.get("USAGE", []):
            found += [(name, value, TABLE_GAP.split(line)[-1])
                      for name, value in re.findall(rf"--([a-z-]+) {VALUE}", line)
                      if name not in known]
        return found


# ---- man -----------------------------------------------------------------------------------------

def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return "\\&" + text if text.startswith((".", "'")) else text


def man_options(lines):
    out = []
    for line in lines:
        if OPTION.match(line) or (line.startswith("  ") and not line.startswith("   ")
                                  and line.strip()):
            tag, *rest = TABLE_GAP.split(line.strip(), maxsplit=1)
            out += [".TP", ".B " + escape(tag)] + [escape(text) for text in rest]
        elif line.strip():
            out.append(escape(line.strip()))
    return out


def man_text(lines):
    """Paragraphs are filled; what is a table or an example stays as it is."""
    out, paragraph = [], []

    def end():
        if paragraph:
            keep = any(TABLE.search(line.strip()) or line.startswith("     ") for line in paragraph)
            out.extend([".PP"] + ([".nf"] if keep else [])
                       + [escape(line.rstrip() if keep else line.strip()) for line in paragraph]
                       + ([".fi"] if keep else []))
            paragraph.clear()
    for line in lines:
        if line.strip():
            paragraph.append(line)
        else:
            end()
    end()
    return out


def man(page):
    out = [f'.TH {page.name.upper()} 1', ".SH NAME",
           f"{escape(page.name)} \\- {escape(page.summary)}"]
    for title, lines in page.sections.items():
        out.append(".SH " + {"USAGE": "SYNOPSIS", "WHAT IT DOES": "DESCRIPTION",
                             "EXIT CODES": '"EXIT STATUS"'}.get(title, f'"{title}"'))
        if title == "USAGE":
            out += [".nf"] + [escape(line.strip()) for line in lines if line.strip()] + [".fi"]
        else:
            out += man_options(lines) if title == "OPTIONS" else man_text(lines)
    return "\n".join(out) + "\n"


# ---- Completion ----------------------------------------------------------------------------------

def bash_values(page):
    """What may follow an option that takes a value: files, folders, one of a few words, or what
    only the user knows."""
    offers = {}
    for name, value, _ in page.options:
        if value:
            words = f'-W "{value.replace("|", " ")}"' if "|" in value else ""
            offer = {"FILE": "-f", "DIR": "-d"}.get(value, words)
            offers.setdefault(offer, []).append("--" + name)
    return "\n".join(f"        {'|'.join(names)}) "
                     + (f'mapfile -t COMPREPLY < <(compgen {offer} -- "$word"); ' if offer else "")
                     + "return ;;" for offer, names in offers.items())


def bash(page):
    function = "_" + page.name.replace("-", "_")
    options = " ".join("--" + name for name, _, _ in page.options)
    return f"""# Completion of {page.name} for bash; made from its --help.
{function}() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
    COMPREPLY=()
    case $before in
{bash_values(page)}
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "{options}" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -W "{' '.join(page.commands)}" -- "$word"
            compgen -f -- "$word")
    fi
}}
complete -o filenames -F {function} {page.name}
"""


def zsh(page):
    def quoted(text):
        return text.replace("'", "'\\''").replace("[", "(").replace("]", ")").replace(":", "\\:")
    def action(value):
        words = f"({value.replace('|', ' ')})" if "|" in value else " "
        return {"FILE": "_files", "DIR": "_files -/"}.get(value, words)
    rows = [f"  '--{name}=[{quoted(text)}]:{quoted(value)}:{action(value)}'" if value
            else f"  '--{name}[{quoted(text)}]'"
            for name, value, text in page.options]
    rows.append(f"  '1:command:({' '.join(page.commands)})'" if page.commands
                else "  '*:file:_files'")
    rows.append("  '*:argument:_files'" if page.commands else "")
    text = " \\\n".join(row for row in rows if row)
    return f"#compdef {page.name}\n# Made from its --help.\n_arguments \\\n{text}\n"


def main():
    forms = {"man": man, "bash": bash, "zsh": zsh}
    if len(sys.argv) not in (3, 4) or sys.argv[2] not in forms:
        print(__doc__.strip())
        return 0 if "--help" in sys.argv else 2
    text = forms[sys.argv[2]](Help(sys.argv[1]))
    if len(sys.argv) == 4:
        with open(sys.argv[3], "w", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
