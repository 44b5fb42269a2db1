"""The command line of hdl: what it prints and writes, and that every mistake is one line."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.hdl import Fragment

from emulator.config import load
from hdl import cli, report
from hdl.block import Block
from hdl.blocks import BLOCKS
from hdl.cli import BlockError, main, parameters_for_stage, parameters_of
from hdl.periphery.max_search import MaxSearchParameters
from hdl.report import Device, Result
from hdl.tools import ToolError

RESULT = Result(luts=1, registers=2, multipliers=3, memories=4, fmax=123.4, path="a to b: 1.0 ns logic, 2.0 ns routing")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The error line of a command that fails as it should, and leaves nothing behind."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"error: [^\n]+\n", printed.err), printed.err
    assert not list(Path().iterdir())
    return printed.err.removeprefix("error: ").rstrip("\n")


# --- list -----------------------------------------------------------------------------------------------------------


def test_list_names_every_block_and_parameter(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == list(BLOCKS)
    parameters = [line.split()[0] for line in lines if line.startswith("  ")]
    assert parameters == [name for block in BLOCKS.values() for name in block.parameters_class.model_fields]
    wanted = r"  lanes +integer >= 1, <= 64 +default 8 +elements per beat"
    assert any(re.fullmatch(wanted, line) for line in lines)


@pytest.mark.parametrize("name", BLOCKS)
def test_every_parameter_has_a_description_and_a_default(name: str) -> None:
    for parameter, field in BLOCKS[name].parameters_class.model_fields.items():
        assert field.description, parameter
        assert not field.is_required(), parameter


# --- export ---------------------------------------------------------------------------------------------------------


def exported(*arguments: str) -> dict[str, object]:
    assert main(["export", *arguments, "-o", "out.v"]) == 0
    assert {path.name for path in Path().iterdir()} == {"out.v", "out.json"}
    return json.loads(Path("out.json").read_text())["parameters"]


def test_export_with_defaults() -> None:
    assert exported("max_search") == MaxSearchParameters().model_dump()
    assert "module max_search(" in Path("out.v").read_text()


def test_export_with_set_and_lanes() -> None:
    assert exported("max_search", "--set", "magnitude_bits=7", "--lanes", "3") == {"lanes": 3, "magnitude_bits": 7}
    assert exported("divider", "--set", "radix=4", "--set", "numerator_bits=9")["radix"] == 4


def test_export_for_a_layer_of_a_config() -> None:
    stage = load("lenet").stages[1]
    expected = MaxSearchParameters.of(stage, 5).model_dump()
    assert exported("max_search", "--config", "lenet", "--layer", stage.name, "--lanes", "5") == expected
    assert exported("max_search", "--config", "lenet", "--layer", stage.name)["lanes"] == 8
    assert exported("tile", "--set", "update_modes=['exact', 'none']")["update_modes"] == ["exact", "none"]
    overridden = exported("max_search", "--config", "lenet", "--layer", stage.name, "--set", "magnitude_bits=3")
    assert overridden == {"lanes": 8, "magnitude_bits": 3}


@pytest.mark.parametrize("name", BLOCKS)
def test_no_parameter_takes_a_value_of_another_type(name: str) -> None:
    parameters_class = BLOCKS[name].parameters_class
    for parameter, default in parameters_class().model_dump().items():
        others = {bool: (0, 1, "true"), int: (True, 1.0, "1"), str: (True, 1)}.get(type(default), (True, 1, "none"))
        for value in (*others, float(default) if isinstance(default, int) else 0.5):
            with pytest.raises(BlockError, match=rf"{name}: {parameter} = .*: accepted: "):
                parameters_of(name, BLOCKS[name], {parameter: value})


@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_has_parameters_for_a_layer(name: str) -> None:
    """For those where it stands; at others (pooling after a fully connected layer) it is refused in one line."""
    block_class = BLOCKS[name]
    accepted = 0
    for stage in load("lenet").stages:
        try:
            parameters_for_stage(name, block_class, stage, 8)
            accepted += 1
        except BlockError as error:
            assert not stage.convolutional
            assert re.fullmatch(rf"{name}: \w+ = .*: accepted: .*", str(error))
    assert accepted


def test_export_of_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "network", "--config", "tiny", "--set", "hardware.lanes=2", "-o", "network.v"]) == 0
    description = json.loads(Path("network.json").read_text())
    assert description["parameters"]["devices"] == 2
    assert set(description["streams"]) == {"bus", "reply", "job", "pixel", "result", "phase"}
    assert "module network(" in Path("network.v").read_text()


def test_a_large_network_says_so_before_it_is_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "LARGE_MEMORY_WORDS", 100)
    monkeypatch.setattr(cli, "export_network", lambda output, name, parameters: [output])
    assert main(["export", "network", "--config", "tiny", "-o", "network.v"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "network.v\n"
    assert printed.err == "562 words of memory, 0 MB of Verilog: takes minutes ...\n"


def test_export_of_a_network_behind_axi(capsys: pytest.CaptureFixture[str]) -> None:
    """The pins that the description names are those of the module, in direction and width, beside clock and reset."""
    assert main(["export", "network_axi", "--config", "tiny", "--set", "hardware.lanes=2", "-o", "axi.v"]) == 0
    assert capsys.readouterr().out.splitlines() == ["axi.v", "axi.json"]
    description = json.loads(Path("axi.json").read_text())
    assert (description["block"], description["parameters"]["devices"]) == ("network_axi", 2)
    top = Path("axi.v").read_text().partition("\nmodule network_axi(")[2].partition("endmodule")[0]
    pins = {
        pin: {"direction": direction.removesuffix("put"), "width": int(high or 0) + 1}
        for direction, high, pin in re.findall(r"^  (input|output) (?:\[(\d+):0\] )?(\w+) ?;", top, re.MULTILINE)
    }
    clock_and_reset = {pin: pins.pop(pin) for pin in ("clk", "rst")}
    assert all(pin == {"direction": "in", "width": 1} for pin in clock_and_reset.values())
    assert pins == description["pins"]
    assert (pins["s_axil_awaddr"]["width"], pins["m_axis_tdata"]["width"], len(pins)) == (32, 32, 29)


def test_export_behind_axi_of_logits_that_need_wide_words() -> None:
    """Logits of 35 bits."""
    wide = ("array.converters.adc_fraction_bits=14", "array.forward.bound_management=12")
    options = [option for assignment in wide for option in ("--set", assignment)]
    assert main(["export", "network_axi", "--config", "tiny", *options, "-o", "axi.v"]) == 0
    assert json.loads(Path("axi.json").read_text())["pins"]["m_axis_tdata"]["width"] == 64


@pytest.mark.parametrize("name", ("network", "network_axi"))
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--lanes", "4"), "{name} with --lanes or --layer; accepted: .*"),
        (("--config", "tiny", "--layer", "K1"), "{name} with --lanes or --layer; accepted: .*"),
        (("--config", "tiny", "--set", "lanes=4"), "lanes: .*"),
        (("--config", "tiny", "--set", "array.update.mode=exact"), "network: .*mode = exact: accepted: pulsed.*"),
        (
            ("--config", "lenet-bl1-um", "--set", "input.height=256", "--set", "input.width=256"),
            r"network: 30,969,110 words of memory, 15,262,208 weights: accepted: at most 16,777,216 words; a smaller .*",
        ),
        (
            (
                "--config",
                "lenet-bl1-um",
                *(f"--set={x}" for x in ("input.height=256", "input.width=256", "hardware.lanes=4")),
            ),
            r"network: [\w.]*weight_words = \d+: accepted: integer >= 1, <= \d+.*",
        ),
    ],
)
def test_network_refused(name: str, arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", name, *arguments, "-o", "network.v"]) == 2
    assert re.fullmatch(rf"error: {line.format(name=name)}\n", capsys.readouterr().err)
    assert not Path("network.v").exists()


def test_export_replaces_what_was_there() -> None:
    exported("max_search")
    assert exported("divider") == BLOCKS["divider"].parameters_class().model_dump()
    assert "module divider(" in Path("out.v").read_text()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("maxsearch",), r"block 'maxsearch': unknown; accepted: .*\bmax_search\b.*"),
        (("max_search", "--set", "bits=3"), r"max_search: bits: unknown field; accepted: lanes, magnitude_bits"),
        (
            ("max_search", "--set", "lanes=0"),
            r"max_search: lanes = 0: accepted: integer >= 1, <= 64 \(elements per beat\)",
        ),
        (("max_search", "--set", "lanes=many"), r"max_search: lanes = 'many': accepted: integer >= 1, <= 64 .*"),
        (("max_search", "--set", "lanes=true"), r"max_search: lanes = true: accepted: integer >= 1, <= 64 .*"),
        (("max_search", "--set", "lanes=4.0"), r"max_search: lanes = 4\.0: accepted: integer >= 1, <= 64 .*"),
        (("max_search", "--set", "lanes='4'"), r"max_search: lanes = '4': accepted: integer >= 1, <= 64 .*"),
        (
            ("max_search", "--set", f"lanes={'9' * 5000}"),
            r"max_search: lanes = '9+\.\.\.: accepted: integer >= 1, <= 64 .*",
        ),
        (("max_search", "--set", "lanes=4\nx=2"), r"max_search: lanes = '4\\nx=2': accepted: integer .*"),
        (("divider", "--set", "radix=2.0"), r"divider: radix = 2\.0: accepted: 2, 4, 8, 16 .*"),
        (("tile", "--set", "update_modes=exact"), r"tile: update_modes = 'exact': accepted: list of .*"),
        (("max_search", "--set", "lanes"), r"--set 'lanes': accepted: name=value"),
        (("max_search", "--lanes", "65"), r"max_search: lanes = 65: accepted: integer >= 1, <= 64 .*"),
        (("max_search", "--lanes", "0"), r"Invalid value for '--lanes': 0 is not in the range x>=1"),
        (("divider", "--lanes", "4"), r"divider: lanes: unknown field; accepted: numerator_bits, .*"),
        (("divider", "--set", "radix=3"), r"divider: radix = 3: accepted: 2, 4, 8, 16 .*"),
        (("max_search", "--config", "lenet"), r"--config without --layer; accepted: both or none"),
        (("max_search", "--layer", "K1"), r"--layer without --config; accepted: both or none"),
        (
            ("max_search", "--config", "lenet", "--layer", "K9"),
            r"layer 'K9': no array of lenet; accepted: K1, K2, W3, W4",
        ),
        (("max_search", "--config", "no", "--layer", "K1"), r"config 'no': no such preset; accepted: .*"),
        (
            ("tile", "--config", "lenet-fp", "--layer", "K1"),
            r"tile: layers\.K1\.array\.update\.mode = exact: accepted: pulsed, on hardware",
        ),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], line: str
) -> None:
    assert re.fullmatch(line, failure(capsys, "export", *arguments, "-o", "out.v"))


def test_an_output_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert "missing/out.v" in failure(capsys, "export", "divider", "-o", "missing/out.v")
    assert "accepted: a file name that ends in .v" in failure(capsys, "export", "divider", "-o", "out.sv")
    assert "'-o'" in failure(capsys, "export", "divider")


def test_unknown_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert failure(capsys, "exprot").endswith("accepted: export, list, report")
    assert "--set" in failure(capsys, "export", "divider", "--sett", "a=1", "-o", "out.v")


# --- report ---------------------------------------------------------------------------------------------------------


def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, object], str, int]]:
    """The blocks that were measured, on what, with which seed; square_root fails."""
    seen: list[tuple[str, dict[str, object], str, int]] = []

    def fake(name: str, block: Block, device: Device, *, seed: int) -> Result:
        Fragment.get(block, None)  # Amaranth warns of components that are made and not elaborated
        seen.append((name, block.parameters.model_dump(), device.title, seed))
        if name == "square_root":
            raise ToolError("yosys: no way")
        return RESULT

    monkeypatch.setattr(report, "measure", fake)
    return seen


def test_report_of_named_blocks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = measured(monkeypatch)
    assert main(["report", "max_search", "divider", "--lanes", "3", "--lanes", "5", "--set", "radix=4"]) == 0
    assert [(name, values.get("lanes")) for name, values, *_ in seen] == [
        ("max_search", 3), ("max_search", 5), ("divider", None),
    ]  # fmt: skip
    assert seen[-1][1]["radix"] == 4 and {on[2:] for on in seen} == {("ECP5-85k, speed grade 6", 1)}
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["max_search", "3", "1", "2", "3", "4", "123", "3", "1"],
        ["max_search", "5", "1", "2", "3", "4", "123", "4", "1"],
        ["divider", "-", "1", "2", "3", "4", "123", "16", "17"],
    ]


def test_report_of_all_blocks_goes_on_after_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = measured(monkeypatch)
    assert main(["report", "--device", "ice40-up5k", "--markdown", "--seed", "7"]) == 2
    assert [name for name, *_ in seen] == list(BLOCKS) and {seed for *_, seed in seen} == {7}
    printed = capsys.readouterr()
    assert printed.err == "error: square_root: yosys: no way\n"
    assert len(printed.out.splitlines()) == 2 + len(BLOCKS) - 1
    assert all(line.startswith("| ") and line.endswith(" |") for line in printed.out.splitlines())


def test_report_names_what_is_below_the_target(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch)
    device = replace(report.DEVICES["ecp5-85k"], target=130.0)
    monkeypatch.setitem(report.DEVICES, "ecp5-85k", device)
    assert main(["report", "divider"]) == 0
    assert capsys.readouterr().err == "divider, - lanes: below 130 MHz: a to b: 1.0 ns logic, 2.0 ns routing\n"


def test_report_into_a_page(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch)
    page = Path("page.md")
    page.write_text("a\n<!-- begin report ecp5-85k -->\nold\n<!-- end report ecp5-85k -->\nb\n")
    assert main(["report", "divider", "--into", "page.md"]) == 0
    text = page.read_text()
    assert "| divider | - | 1 | 2 | 3 | 4 | 123 | " in text and "old" not in text
    assert text.startswith("a\n<!-- begin") and text.endswith("-->\nb\n")
    assert main(["report", "divider", "--into", "page.md", "--device", "ice40-up5k"]) == 2
    assert "marks of ice40-up5k: missing" in capsys.readouterr().err
    assert page.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("nothing",), r"block 'nothing': unknown; accepted: .*"),
        (("--device", "gowin"), r"--device 'gowin': accepted: ecp5-85k, ice40-up5k"),
        (
            ("divider", "--set", "lanes=3"),
            r"--set lanes: no block has it; accepted: denominator_bits, numerator_bits, radix",
        ),
        (("max_search", "--lanes", "80"), r"max_search: lanes = 80: accepted: integer >= 1, <= 64 .*"),
        (("--into", "missing.md"), r"missing\.md: No such file or directory; accepted: .*"),
    ],
)
def test_a_mistake_in_a_report(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], line: str) -> None:
    assert re.fullmatch(line, failure(capsys, "report", *arguments))
