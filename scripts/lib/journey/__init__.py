"""Journey: what the Python programs of this tree share. Each of them puts scripts/lib on its path,
and imports from here."""
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[3]
