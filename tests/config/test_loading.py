"""Loading: files of all kinds, chains of bases, `--set` on every field; whatever comes, the answer is a Config or ConfigError."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from emulator.cli import main
from emulator.config import Config, load, preset_names
from emulator.config.loading import MOST_BYTES, MOST_FILES
from emulator.config.messages import toml_key
from emulator.config.schema import MOST_LAYERS
from emulator.errors import ConfigError
from emulator.show import describe

DOTTED = """
classes = 2
input = { height = 4, width = 4 }
[layers."features.0"]
type = "fully_connected"
outputs = 3
[layers.'say "W"']
type = "fully_connected"
outputs = 2
activation = "softmax"
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(source: str | Path, *assignments: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load(source, assignments)
    message = str(refused.value)
    assert "\n" not in message and len(message) < 1000
    message.encode()
    return message


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_file_with_a_byte_order_mark_is_read() -> None:
    Path("bom.toml").write_text('base = "tiny"\nseed = 5\n', encoding="utf-8-sig")
    assert load("bom.toml").seed == 5


@pytest.mark.parametrize(("encoding", "name"), [("utf-16", "UTF-16"), ("utf-32", "UTF-32"), ("latin-1", "Latin-1")])
def test_another_encoding_is_named(encoding: str, name: str) -> None:
    Path("a.toml").write_text('base = "tiny"\ndescription = "é"\n', encoding=encoding)
    message = refusal("a.toml")
    assert message.startswith(f"config 'a.toml': is {name} text") and message.endswith(": save it as UTF-8")


@pytest.mark.timeout(60)
def test_only_regular_files_are_read() -> None:
    os.mkfifo("pipe.toml")
    Path("folder.toml").mkdir()
    Path("null.toml").symlink_to("/dev/null")
    Path("zero.toml").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "null", "zero"):
        assert refusal(f"{name}.toml") == f"config '{name}.toml': is no regular file: accepted: a .toml file"
    Path("a.toml").write_text('base = "pipe.toml"\n')
    assert refusal("a.toml").startswith("config 'pipe.toml': is no regular file")


def test_files_that_cannot_be_read() -> None:
    assert refusal("absent.toml") == "config 'absent.toml': No such file or directory; accepted: a readable .toml file"
    assert "File name too long" in refusal("x" * 5000 + ".toml")
    Path("loop.toml").symlink_to("loop.toml")
    assert "symbolic links" in refusal("loop.toml")
    Path("bad.toml").write_text("seed = = 1\n")
    assert refusal("bad.toml").startswith("config 'bad.toml': not valid TOML: ")


def test_a_file_is_at_most_so_long() -> None:
    Path("long.toml").write_text('base = "tiny"\n' + "#" * MOST_BYTES)
    assert refusal("long.toml") == f"config 'long.toml': too long: accepted: at most {MOST_BYTES} bytes, bases included"
    half = "#" * (MOST_BYTES // 2)
    Path("b.toml").write_text(f'base = "tiny"\n{half}')
    Path("a.toml").write_text(f'base = "b.toml"\n{half}')
    assert load("b.toml").seed == 1
    assert refusal("a.toml").startswith("config 'b.toml': too long")


def test_names_that_are_no_names_of_files() -> None:
    for name in ("a\0.toml", "caf\udce9.toml", "\ud800.toml"):
        assert refusal(name) == f"config {name!r}: accepted: a file name in UTF-8, without zero bytes"
    for name in ("a\0", "\udce9", ""):
        assert refusal(name).startswith(f"config {name!r}: no such preset")
    Path("a.toml").write_text('base = "x\\u0000.toml"\n')
    assert refusal("a.toml") == "config 'x\\x00.toml': accepted: a file name in UTF-8, without zero bytes"


# --- bases ----------------------------------------------------------------------------------------------------------


def chain(length: int) -> None:
    """Files 0.toml, 1.toml ..., each the base of the one before, on a preset."""
    for number in range(length):
        base = f"{number + 1}.toml" if number < length - 1 else "tiny"
        Path(f"{number}.toml").write_text(f'base = "{base}"\nseed = {number}\n')


def test_a_chain_of_bases_is_bounded() -> None:
    chain(MOST_FILES - 1)
    assert (load("0.toml").seed, load("7.toml").seed) == (0, 7)
    chain(1500)
    line = rf"config '{MOST_FILES}.toml': base number {MOST_FILES} of a chain: accepted: at most {MOST_FILES - 1}"
    assert refusal("0.toml") == line


def test_a_chain_that_comes_back_is_refused() -> None:
    Path("folder").mkdir()
    Path("a.toml").write_text('base = "folder/../b.toml"\n')
    Path("b.toml").write_text('base = "a.toml"\n')
    Path("c.toml").symlink_to("a.toml")
    for name in ("a.toml", "b.toml", "c.toml"):
        assert "base refers back to itself" in refusal(name)


@pytest.mark.parametrize("base", ["5", "true", "[]", '""', '"."', '"absent"', '"absent.toml"'])
def test_bases_that_are_none(base: str) -> None:
    Path("a.toml").write_text(f"base = {base}\n")
    assert "accepted: " in refusal("a.toml")


def test_a_base_is_beside_its_file() -> None:
    Path("folder").mkdir()
    Path("folder/a.toml").write_text('base = "b.toml"\nseed = 3\n')
    Path("folder/b.toml").write_text('base = "tiny"\nlearning_rate = 0.5\n[layers.K1]\noutputs = 2\n')
    config = load(Path("folder/a.toml"))
    assert (config.name, config.seed, config.learning_rate, config.stages[0].rows) == ("a", 3, 0.5, 2)


# --- sizes ----------------------------------------------------------------------------------------------------------


def test_layers_without_number_are_refused_in_a_moment() -> None:
    Path("a.toml").write_text("".join(f"layers.a{number}.type='max_pooling'\n" for number in range(30_000)))
    before = time.process_time()
    assert refusal("a.toml") == f"layers: 30000 of them: accepted: 1 .. {MOST_LAYERS}"
    assert time.process_time() - before < 30


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed = " + "9" * 5000, "not valid TOML: Exceeds the limit"),
        ("seed = 0x" + "f" * 5000, "seed = an integer of thousands of digits: accepted: integer >= 0"),
        ("learning_rate = 0x" + "f" * 5000, "learning_rate = an integer of thousands of digits: accepted: number > 0, <= 1"),
        ("learning_rate = 1e999", "learning_rate = inf: accepted: number > 0, <= 1"),
        ("seed = " + "[" * 3000, "levels of tables and lists"),
        ("seed = " + "{a=" * 3000, "levels of tables and lists"),
        ("x." * 3000 + "x = 1", "levels of tables and lists"),
        ("x" * 5000 + " = 1", "...\": unknown field"),
        ("seed = '" + "x" * 5000 + "'", "xxx...: accepted: integer"),
        ("seed = 2020-01-01", "seed = datetime.date(2020, 1, 1): accepted: integer"),
        ('layers."a\\u0000b".type = "max_pooling"', "layers: name 'a\\x00b': accepted: 1 .. 128 characters"),
        ("layers." + "x" * 5000 + ".type = 'max_pooling'", "xxx...: accepted: 1 .. 128 characters"),
        ("[layers.'']\ntype = 'max_pooling'", "layers: name '': accepted: 1 .. 128 characters"),
        ("name = 'a\\u001bb'".replace("'", '"'), "name = 'a\\x1bb': accepted: printable characters"),
    ],
    ids=range(14),
)  # fmt: skip
def test_texts_that_broke_a_parser(text: str, said: str) -> None:
    Path("a.toml").write_text(f'base = "tiny"\n{text}\n')
    assert said in refusal("a.toml")


# --- assignments ----------------------------------------------------------------------------------------------------


def test_set_reaches_layers_with_dots_and_quotes_in_their_names() -> None:
    Path("a.toml").write_text(DOTTED)
    for name in ("features.0", 'say "W"'):
        place = f"layers.{toml_key(name)}"
        config = load("a.toml", [f"{place}.array.replication=3", f"{place}.bias=false", "seed=4"])
        stage = next(stage for stage in config.stages if stage.name == name)
        assert (stage.array.replication, stage.layer.bias, config.seed, len(config.layers)) == (3, False, 4, 2)
        assert refusal("a.toml", f"{place}.outputs=0").startswith(f"{place}.outputs = 0: accepted: integer >= 1")
        assert refusal("a.toml", f"{place}.array.device.dw_min=0.1", "array.weight.bits=30", "array.weight.fraction_bits=28",
                       "array.converters.dac_fraction_bits=5").startswith(f"{place}.array")  # fmt: skip
    assert load("a.toml", ['layers."features.0".outputs=5']).stages[0].rows == 5
    assert 'or a layer that there is: "features.0", "say \\"W\\""' in refusal("a.toml", "layers.features.0.outputs=5")


def every_field(tree: dict[str, object], path: str = "") -> list[tuple[str, object]]:
    """Paths and values of a dumped config."""
    fields: list[tuple[str, object]] = []
    for key, value in tree.items():
        place = f"{path}{toml_key(key)}"
        fields += every_field(value, f"{place}.") if isinstance(value, dict) else [(place, value)]
    return fields


def test_set_reaches_every_field() -> None:
    Path("a.toml").write_text(DOTTED)
    config = load("a.toml")
    fields = every_field(config.model_dump(mode="json"))
    assert len(fields) > 60
    assignments = [f"{place}={json.dumps(value, ensure_ascii=False)}" for place, value in fields]
    assert load("a.toml", assignments) == config
    for assignment in assignments:
        assert load("a.toml", [assignment]) == config, assignment


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("seed=1\nx=2", "seed = '1\\nx=2': accepted: integer >= 0, <= 9223372036854775807 (every random source derives from it)"),
        ("seed=1\n[layers]", "seed = '1\\n[layers]': accepted: integer"),
        ("seed\n=1", "--set 'seed\\n=1': accepted: path.to.field=value"),
        ("seed=" + "9" * 5000, "seed = '9999"),
        ("seed=" + "[" * 3000, "seed = '[[[["),
        ("description=\udce9", "--set 'description=\\udce9': accepted: text in UTF-8"),
        ("\udce9=1", "--set '\\udce9=1': accepted: text in UTF-8"),
        ("seed.x=1", "--set 'seed.x=1': seed = 5 has no fields; accepted: the path of a field"),
        ("layers.K1.outputs.x=1", "--set 'layers.K1.outputs.x=1': layers.K1.outputs = 3 has no fields"),
        ("layers.K1", "--set 'layers.K1': accepted: path.to.field=value"),
        ("base=lenet", "base: unknown field; accepted: name, description"),
        ("a" * 5000 + "=1", "...\": unknown field"),
        ("a." * 5000 + "a=1", "--set 'a.a.a"),
    ],
    ids=range(13),
)  # fmt: skip
def test_assignments_that_are_refused(assignment: str, line: str) -> None:
    Path("a.toml").write_text('base = "tiny"\nseed = 5\n')
    assert line in refusal("a.toml", assignment)


@pytest.mark.parametrize("seed", [True, 1.0, "7", -1, 2**63])
def test_a_seed_is_an_integer(seed: object) -> None:
    with pytest.raises(ConfigError, match=r"^seed = .*: accepted: integer >= 0"):
        load("tiny", seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments", [("--set", "description=\udce9"), ("--config", "\udce9.toml"), ("--set", "seed=true")]
)
def test_nothing_is_made_before_the_input_is_accepted(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *(() if "--config" in arguments else ("--config", "tiny")), *arguments, "--out", "run"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_what_show_prints_of_odd_names_is_again_the_config(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.toml").write_text(DOTTED.replace("features.0", "\U0001f600 é.0") + "\n[array]\n", encoding="utf-8")
    arguments = ["--set", 'description="\\u007f \\u0001"']
    assert main(["show", "--config", "a.toml", *arguments]) == 0
    Path("shown.toml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert load("shown.toml") == load("a.toml", arguments[1:])


# --- whatever comes -------------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.sampled_from(["true", "false", "0", "1", "-1", "1.0", "-0.0", "inf", "nan", "1e400", "'off'", "'exact'", "''", "[]", "{}"]),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=8).map(json.dumps),
    st.sampled_from(["9" * 4400, "0x" + "f" * 4400, "[" * 1200, "{a=" * 1200, "2020-01-01", "[[1], {a = true}]"]),
)  # fmt: skip
FIELDS = [place for place, _ in every_field(load("tiny").model_dump(mode="json"))]
KEYS = st.one_of(
    st.sampled_from([*FIELDS, "layers", "layers.K1", "layers.K1.array", "array", "array.forward", "array.device", "hardware", "base"]),
    st.text(max_size=6).map(toml_key),
    st.lists(st.sampled_from(["layers", "array", "K1", "type", "a", '"a.b"', "''"]), min_size=1, max_size=5).map(".".join),
)  # fmt: skip
NOISE = st.text(st.sampled_from("abk1.=[]{}\"'\\#\n\t \0é\udce9"), max_size=30)
LINES = st.one_of(st.tuples(KEYS, SCALARS).map(" = ".join), KEYS.map("[{}]".format), NOISE)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(LINES, max_size=4),
    st.lists(st.one_of(st.tuples(KEYS, st.one_of(SCALARS, NOISE)).map("=".join), NOISE), max_size=3),
    st.sampled_from([*preset_names()[:3], "tiny"]),
)
@example(["learning_rate = 5e-324"], ["array.update.mode=exact"], "tiny")
@example(["array.device.dw_min = 5e-324"], ["array.update.mode=exact"], "tiny")
def test_the_answer_is_a_config_or_a_config_error(lines: list[str], assignments: list[str], base: str) -> None:
    text = "\n".join([f'base = "{base}"', *lines])
    Path("a.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    try:
        config = load("a.toml", assignments)
    except ConfigError as error:
        message = str(error)
        assert message and len(message) < 2000
        message.encode()
    else:
        assert isinstance(config, Config) and len(config.digest) == 64
        assert describe(config).startswith("name = ")
        assert Config.model_validate(config.model_dump()).digest == config.digest


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_any_bytes_are_a_config_or_a_config_error(data: bytes) -> None:
    Path("a.toml").write_bytes(data)
    with pytest.raises(ConfigError) as refused:
        load("a.toml")
    assert "\n" not in " ".join(str(refused.value).split())
