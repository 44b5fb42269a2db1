"""TOML that a user wrote: bytes to text, text to values, always in bounded time. Errors are TextError, without the place."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Mapping
from typing import Any

#: Levels of tables and lists in each other. The schema has 5.
MOST_LEVELS = 32
#: Steps of a dotted key that the parser gets to see: its time grows with their square.
MOST_STEPS = 128
#: Of the parser's messages, which hold what it read.
MOST_MESSAGE = 200

#: UTF-32 first: its mark for little-endian order begins with that of UTF-16.
FOREIGN_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
#: By how many of the first four bytes are zero when the first character is a Latin one.
UNMARKED = {3: "UTF-32", 2: "UTF-16"}
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")

BARE, BASIC, LITERAL = r"[A-Za-z0-9_-]++", r'"(?:[^"\\\n]|\\.)*+"', r"'[^'\n]*+'"
#: A longer key. No key begins behind a backslash; not to look there keeps the search linear in strings full of \\".
LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_\\-])(?:(?:{BARE}|{BASIC}|{LITERAL})[ \t]*+\.[ \t]*+){{{MOST_STEPS}}}")
#: ``path = value``. A step without quotes may have other letters than TOML allows: only spaces and signs end it.
STEP = re.compile(rf"[ \t]*(?:(?P<quoted>{BASIC}|{LITERAL})|(?P<plain>[^\s.=\"'#\[\]{{}},]++))[ \t]*(?P<end>[.=])")


class TextError(ValueError):
    """Text that cannot be read."""


def decode(data: bytes) -> str:
    """The text of a file in UTF-8, with or without a byte-order mark. Raises TextError that names another encoding."""
    for mark, name in FOREIGN_MARKS.items():
        if data.startswith(mark):
            raise TextError(f"is {name} text: save it as UTF-8")
    if b"\0" in data:
        name = UNMARKED.get(data[:4].count(0), "")
        raise TextError(f"is {name} text: save it as UTF-8" if name else "holds zero bytes: accepted: UTF-8 text")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        if CONTROL.search(data):
            raise TextError("is no text: accepted: UTF-8 text") from error
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise TextError(f"is Latin-1 text or the like (byte 0x{byte:02x} in line {line}): save it as UTF-8") from error


def parse(text: str) -> dict[str, Any]:
    """The tables of a TOML document. Raises TextError."""
    too_deep = f"not valid TOML: accepted: at most {MOST_LEVELS} levels of tables and lists"
    if LONG_KEY.search(text):
        raise TextError(too_deep)
    try:
        tree = tomllib.loads(text)
    except RecursionError as error:
        raise TextError(too_deep) from error
    except ValueError as error:  # TOMLDecodeError, and Python's own for an integer of thousands of digits
        raise TextError(f"not valid TOML: {str(error)[:MOST_MESSAGE]}") from error
    if not _is_shallow(tree):
        raise TextError(too_deep)
    return tree


def _is_shallow(tree: dict[str, Any]) -> bool:
    level: list[Any] = [tree]
    for _ in range(MOST_LEVELS):
        holders = [each for each in level if isinstance(each, dict | list)]
        level = [inner for each in holders for inner in (each.values() if isinstance(each, dict) else each)]
    return not level


def parse_value(text: str) -> Any:
    """A TOML value; text that is none (``exact``, ``off``), or more than one, is a string."""
    try:
        tree = parse(f"value = {text}")
    except TextError:
        return text
    return tree["value"] if tree.keys() == {"value"} else text


def parse_assignment(assignment: str) -> tuple[list[str], Any]:
    """Path and value of ``path=value``; the path is a TOML key, dotted and with quotes where it needs them. Raises TextError."""
    steps: list[str] = []
    position, end = 0, "."
    while end == ".":
        step = STEP.match(assignment, position)
        if step is None or len(steps) == MOST_LEVELS:
            raise TextError("accepted: path.to.field=value, with quotes around names that hold dots or spaces")
        steps.append(step["plain"] or _unquoted(step["quoted"]))
        position, end = step.end(), step["end"]
    return steps, parse_value(assignment[position:].strip())


def _unquoted(step: str) -> str:
    return next(iter(parse(f"{step} = 0")))


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables in each other; what ``above`` has wins."""
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged
