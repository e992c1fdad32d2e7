"""Regular expressions of schemas, compiled to the steps of common/contract/pattern.h.

The subset of ECMA-262 that is implemented: literals, classes with ranges and \\d \\w \\s, '.',
groups with alternatives, the quantifiers ? * + {m} {m,} {m,n}, and the anchors ^ and $. All else
is refused.
"""
import dataclasses

LENGTH_MAX = 256        # PATTERN_LENGTH_MAX
DIGITS = set(range(0x30, 0x3A))
WORD = DIGITS | set(range(0x41, 0x5B)) | set(range(0x61, 0x7B)) | {0x5F}
SPACE = {9, 10, 11, 12, 13, 32}
ASCII = set(range(128))
CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "0": 0}


# What \\d, \\w, \\s and '.' mean here, in a class and by themselves. In ECMA-262 \\s has the blanks
# of all Unicode, and '.' leaves out two more line ends; elsewhere \\d and \\w have all scripts.
IN_CLASS = {"d": "0-9", "w": "A-Za-z0-9_", "s": "\\t-\\r "}
OUTSIDE = {"d": "[0-9]", "w": "[A-Za-z0-9_]", "s": "[\\t-\\r ]", "D": "[^0-9]",
           "W": "[^A-Za-z0-9_]"}
ANY = "[^\\n\\r]"


class PatternError(Exception):
    pass


def written_out(text):
    """The same pattern without \\d, \\w, \\s and '.', which other readers take otherwise."""
    out, at, in_class = [], 0, False
    while at < len(text):
        char, after = text[at], text[at + 1:at + 2]
        at += 1
        if char == "\\":
            at += 1
            if in_class and after and after in "DWS":
                raise PatternError(f"\\{after} in a class of {text!r} is not implemented")
            out.append((IN_CLASS if in_class else OUTSIDE).get(after, char + after))
            continue
        if char == "." and not in_class:
            char = ANY
        elif char in "[]":
            in_class = char == "["
        out.append(char)
    return "".join(out)


def write_out_all(schema):
    """A copy of a schema with all its patterns written out."""
    if isinstance(schema, list):
        return [write_out_all(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: written_out(value) if key == "pattern" and isinstance(value, str)
            else value if key in ("examples", "enum") else write_out_all(value)
            for key, value in schema.items()}


@dataclasses.dataclass
class Step:
    op: str
    to: int = 0
    or_to: int = 0
    low: int = 0
    high: int = 0
    others: bool = False


def class_step(members, others):
    low = sum(1 << c for c in members if c < 64)
    high = sum(1 << (c - 64) for c in members if c >= 64)
    return Step("PATTERN_CLASS", low=low, high=high, others=others)


class Parser:
    def __init__(self, text):
        self.text = text
        self.at = 0

    def peek(self):
        return self.text[self.at] if self.at < len(self.text) else ""

    def next(self):
        char = self.peek()
        if not char:
            raise PatternError(f"{self.text!r} ends too early")
        self.at += 1
        return char

    def alternatives(self):
        branches = [self.sequence()]
        while self.peek() == "|":
            self.next()
            branches.append(self.sequence())
        return branches[0] if len(branches) == 1 else ("or", branches)

    def sequence(self):
        parts = []
        while self.peek() and self.peek() not in "|)":
            parts.append(self.quantified())
        return ("all", parts)

    def quantified(self):
        atom = self.atom()
        char = self.peek()
        if char and char in "?*+":
            self.next()
            low, high = {"?": (0, 1), "*": (0, None), "+": (1, None)}[char]
        elif char == "{":
            low, high = self.bounds()
        else:
            return atom
        if self.peek() == "?":
            raise PatternError(f"a lazy quantifier in {self.text!r} is not implemented")
        return ("repeat", atom, low, high)

    def bounds(self):
        end = self.text.find("}", self.at)
        numbers = self.text[self.at + 1:end].split(",") if end > 0 else []
        if len(numbers) not in (1, 2) or not numbers[0].isdigit():
            raise PatternError(f"a quantifier in {self.text!r} is not implemented")
        self.at = end + 1
        low = int(numbers[0])
        high = low if len(numbers) == 1 else int(numbers[1]) if numbers[1] else None
        return low, high

    def atom(self):
        char = self.next()
        if char == "^":
            return ("step", Step("PATTERN_START"))
        if char == "$":
            return ("step", Step("PATTERN_END"))
        if char == ".":
            return ("step", class_step(ASCII - {10, 13}, True))
        if char == "[":
            return self.char_class()
        if char == "(":
            if self.peek() == "?":
                self.next()
                if self.next() != ":":
                    raise PatternError(f"a look-around in {self.text!r} is not implemented")
            inner = self.alternatives()
            if self.next() != ")":
                raise PatternError(f"a group in {self.text!r} is not closed")
            return inner
        if char == "\\":
            members, others = self.escape()
            return ("step", class_step(members, others))
        if char in "*+?{}])" or ord(char) >= 128:
            raise PatternError(f"{char!r} in {self.text!r} is not implemented")
        return ("step", class_step({ord(char)}, False))

    def escape(self):
        char = self.next()
        if char in "dws":
            return {"d": DIGITS, "w": WORD, "s": SPACE}[char], False
        if char in "DWS" and char != "S":
            return ASCII - {"D": DIGITS, "W": WORD}[char], True
        if char in CONTROLS:
            return {CONTROLS[char]}, False
        if char in "xu":
            digits = self.text[self.at:self.at + (2 if char == "x" else 4)]
            self.at += len(digits)
            try:
                code = int(digits, 16)
            except ValueError:
                raise PatternError(f"an escape in {self.text!r} is not implemented") from None
            if code >= 128:
                raise PatternError(f"a character beyond ASCII in {self.text!r} is not implemented")
            return {code}, False
        if char.isalnum():
            raise PatternError(f"\\{char} in {self.text!r} is not implemented")
        return {ord(char)}, False

    def member(self):
        if self.peek() == "\\":
            self.next()
            return self.escape()
        char = self.next()
        if ord(char) >= 128:
            raise PatternError(f"a character beyond ASCII in a class of {self.text!r} "
                               "is not implemented")
        return {ord(char)}, False

    def char_class(self):
        negated = self.peek() == "^"
        if negated:
            self.next()
        members, others = set(), False
        while self.peek() != "]":
            first, wide = self.member()
            others |= wide
            if self.peek() == "-" and self.text[self.at + 1:self.at + 2] != "]" and len(first) == 1:
                self.next()
                last, _ = self.member()
                if len(last) != 1:
                    raise PatternError(f"a range in {self.text!r} has no end")
                first = set(range(min(first), max(last) + 1))
            members |= first
        self.next()
        if negated:
            return ("step", class_step(ASCII - members, not others))
        return ("step", class_step(members, others))


def emit(node, steps):
    kind = node[0]
    if kind == "step":
        steps.append(dataclasses.replace(node[1]))
    elif kind == "all":
        for part in node[1]:
            emit(part, steps)
    elif kind == "or":
        jumps = []
        for branch in node[1][:-1]:
            split = Step("PATTERN_SPLIT", to=len(steps) + 1)
            steps.append(split)
            emit(branch, steps)
            jumps.append(Step("PATTERN_JUMP"))
            steps.append(jumps[-1])
            split.or_to = len(steps)
        emit(node[1][-1], steps)
        for jump in jumps:
            jump.to = len(steps)
    else:
        emit_repeat(node, steps)
    if len(steps) >= LENGTH_MAX:
        raise PatternError(f"the pattern needs more than {LENGTH_MAX} steps; "
                           "use minLength and maxLength")


def emit_repeat(node, steps):
    _, atom, low, high = node
    for _ in range(low):
        emit(atom, steps)
    if high is None:
        split = Step("PATTERN_SPLIT", to=len(steps) + 1)
        start = len(steps)
        steps.append(split)
        emit(atom, steps)
        steps.append(Step("PATTERN_JUMP", to=start))
        split.or_to = len(steps)
        return
    splits = []
    for _ in range(high - low):
        splits.append(Step("PATTERN_SPLIT", to=len(steps) + 1))
        steps.append(splits[-1])
        emit(atom, steps)
    for split in splits:
        split.or_to = len(steps)


def compile_pattern(text):
    parser = Parser(text)
    tree = parser.alternatives()
    if parser.at != len(text):
        raise PatternError(f"{text!r} has a ')' too many")
    steps = []
    emit(tree, steps)
    steps.append(Step("PATTERN_MATCH"))
    return steps
