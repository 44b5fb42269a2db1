"""Text of TOML: encodings, paths and values of ``--set``, and that no text takes long."""

from __future__ import annotations

import codecs
import time

import pytest

from emulator.config.toml_text import MOST_LEVELS, TextError, decode, parse, parse_assignment, parse_value

LINE = 'name = "é"\n'
#: Seconds that no text may take on a busy machine; a time that grows with the square of a megabyte is hours.
LONGEST = 30.0


@pytest.mark.parametrize("data", [LINE.encode(), codecs.BOM_UTF8 + LINE.encode(), LINE.replace("\n", "\r\n").encode()])
def test_utf_8_is_read_with_and_without_its_mark(data: bytes) -> None:
    assert parse(decode(data)) == {"name": "é"}


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-16", "is UTF-16 text: save it as UTF-8"),
        ("utf-16-le", "is UTF-16 text: save it as UTF-8"),
        ("utf-16-be", "is UTF-16 text: save it as UTF-8"),
        ("utf-32", "is UTF-32 text: save it as UTF-8"),
        ("utf-32-le", "is UTF-32 text: save it as UTF-8"),
        ("utf-32-be", "is UTF-32 text: save it as UTF-8"),
        ("latin-1", "is Latin-1 text or the like (byte 0xe9 in line 2): save it as UTF-8"),
        ("cp1252", "is Latin-1 text or the like (byte 0xe9 in line 2): save it as UTF-8"),
    ],
)
def test_other_encodings_are_named(encoding: str, said: str) -> None:
    with pytest.raises(TextError) as refusal:
        decode(f"seed = 1\n{LINE}".encode(encoding))
    assert str(refusal.value) == said


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\xff", b"seed = 1\n\0", b"PK\x03\x04\xff\xfe\x10"])
def test_what_is_no_text_is_not_called_an_encoding(data: bytes) -> None:
    with pytest.raises(TextError, match="accepted: UTF-8 text"):
        decode(data)


@pytest.mark.parametrize(
    ("assignment", "steps", "value"),
    [
        ("seed=1", ["seed"], 1),
        (" layers . K1 .outputs = 5", ["layers", "K1", "outputs"], 5),
        ('layers."features.0".outputs=5', ["layers", "features.0", "outputs"], 5),
        ("layers.'features.0'.outputs=5", ["layers", "features.0", "outputs"], 5),
        ('layers."a=b".array.replication=2', ["layers", "a=b", "array", "replication"], 2),
        (r'layers."a \"b\" é".outputs=5', ["layers", 'a "b" é', "outputs"], 5),
        ("layers.é.outputs=5", ["layers", "é", "outputs"], 5),
        ("description=a = b", ["description"], "a = b"),
        ("description=", ["description"], ""),
        ('description="""a\nb"""', ["description"], "a\nb"),
        ("input={height=3, width=4}", ["input"], {"height": 3, "width": 4}),
    ],
)  # fmt: skip
def test_assignments(assignment: str, steps: list[str], value: object) -> None:
    assert parse_assignment(assignment) == (steps, value)


@pytest.mark.parametrize(
    "assignment",
    ["", "=", "=1", "seed", "seed.=1", ".seed=1", "a..b=1", 'a."b=1', 'a"b"=1', '"a"b=1', "a b=1", "[a]=1", "a\nb=1", r'"\q"=1',
     '"a\nb"=1', ".".join("a" * (MOST_LEVELS + 1)) + "=1", "#=1"],
)  # fmt: skip
def test_paths_that_are_none(assignment: str) -> None:
    with pytest.raises(TextError):
        parse_assignment(assignment)


@pytest.mark.parametrize(
    "text", ["1\nx=2", "1\n[x]", "1\n[[x]]\na=1", "exact", "off", "1,5", "007", "9" * 5000, "[" * 3000, "{a=" * 3000]
)
def test_what_is_no_single_value_is_text(text: str) -> None:
    assert parse_value(text) == text


def test_levels_are_counted() -> None:
    assert parse(f"a = {'[' * (MOST_LEVELS - 1)}{']' * (MOST_LEVELS - 1)}")
    for text in (
        f"a = {'[' * MOST_LEVELS}1{']' * MOST_LEVELS}",
        f"[{'a.' * MOST_LEVELS}a]",
        "a." * 100 + "a = {" + "a." * 100 + "a = 1}",
    ):
        with pytest.raises(TextError, match=f"at most {MOST_LEVELS} levels"):
            parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "a." * 300_000 + "a = 1",
        "[" + "a . " * 200_000 + "a]",
        "x = {" + '"a".' * 200_000 + "a = 1}",
        "a = " + "[" * 500_000,
        "a = " + "{a=" * 200_000,
        "a = " + "9" * 500_000,
        "a = '''" + "a.a" * 200_000,
        'a = "' + '\\"' * 250_000 + '"',
        "a" * 500_000,
        '"' * 500_000,
        "'" * 500_001,
        "a " * 250_000,
        ". " * 250_000,
        "a." * 100 * 1000 + "\n",
        ('"\\' * 100_000) + "\n",
    ],
    ids=range(15),
)
def test_no_text_takes_long(text: str) -> None:
    before = time.process_time()
    for read in (parse, parse_value, parse_assignment):
        try:
            read(text)  # type: ignore[operator]
        except TextError as error:
            assert len(str(error)) < 400
    assert time.process_time() - before < LONGEST
