"""Journey: what the Python programs of this tree share. Each of them puts scripts/lib on its path,
and imports from here."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[3]
IS_INSTALLED = not (ROOT / "meson.build").exists()   # where scripts/mesh is journey-mesh


def named_as_here(text):
    """A help text, with the names that the commands have where this runs."""
    if not IS_INSTALLED:
        return text
    return re.sub("scripts/(mesh|check|samples|timeline)", r"journey-\1", text)
