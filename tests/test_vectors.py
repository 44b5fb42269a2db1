"""Test vectors: what is in the files is what the models compute from the stimulus in the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator import periphery, vectors
from emulator.errors import CrosspointError
from emulator.periphery.activation import activation, derivative
from emulator.periphery.average import average
from emulator.periphery.block_exponent import block_exponent
from emulator.periphery.bound_management import bound_management
from emulator.periphery.divider import divide
from emulator.periphery.im2col import col2im, im2col
from emulator.periphery.lfsr import Lfsr
from emulator.periphery.max_search import max_search
from emulator.periphery.noise_management import noise_management
from emulator.periphery.pooling import pool, unpool
from emulator.periphery.pulse_generator import pulse_trains
from emulator.periphery.replicate import replicate
from emulator.periphery.scaler import scale
from emulator.periphery.softmax import softmax_error
from emulator.periphery.square_root import square_root
from emulator.periphery.update_management import probability_words, update_management
from emulator.vector_cases import BLOCKS, Port, Vectors
from emulator.vectors import write_vectors

COUNT = 40
SEED = 5

Arrays = dict[str, np.ndarray]


def description_of(block: str, folder: Path) -> dict[str, Any]:
    return json.loads((folder / f"{block}.json").read_text())


def read_port(port: dict[str, Any], folder: Path) -> np.ndarray:
    """The words of a hexadecimal file, sign and shape restored from the description."""
    lines = (folder / port["file"]).read_text().splitlines()
    assert all(len(line) == -(-port["width"] // 4) for line in lines)
    words = [int(line, 16) for line in lines]
    assert max(words) < 1 << port["width"]
    if port["signed"]:
        words = [word - (word >> (port["width"] - 1) << port["width"]) for word in words]
    return np.array(words, dtype=np.int64 if max(words) < 1 << 63 else np.uint64).reshape(port["shape"])


def read_ports(block: str, folder: Path, direction: str) -> Arrays:
    ports = description_of(block, folder)["ports"]
    return {name: read_port(port, folder) for name, port in ports.items() if port["direction"] == direction}


# --- the responses, recomputed from stimulus and parameters ---------------------------------------------------------


def of_activation(p: dict[str, Any], s: Arrays) -> Arrays:
    formats = (p["input_fraction"], p["output_fraction"], p["magnitude_bits"])
    tanh = activation(s["pre_activation"], "tanh", *formats)
    return {
        "tanh": tanh,
        "tanh_derivative": derivative(tanh, "tanh", p["output_fraction"]),
        "identity": activation(s["pre_activation"], "identity", *formats),
    }


def of_average(p: dict[str, Any], s: Arrays) -> Arrays:
    return {"mean": average(s["total"], p["reciprocal"], p["guard_bits"])}


def of_block_exponent(p: dict[str, Any], s: Arrays) -> Arrays:
    pairs = [block_exponent(v, int(f), p["magnitude_bits"]) for v, f in zip(s["values"], s["fraction"], strict=True)]
    return {"mantissas": np.array([m for m, _ in pairs]), "exponent": np.array([e for _, e in pairs])}


def of_bound_management(p: dict[str, Any], s: Arrays) -> Arrays:
    cases = zip(s["saturated"], s["halvings"], s["limit"], strict=True)
    pairs = [bound_management(bool(saturated), int(halvings), int(limit)) for saturated, halvings, limit in cases]
    return {"repeat": np.array([r for r, _ in pairs]), "next_halvings": np.array([n for _, n in pairs])}


def of_divider(p: dict[str, Any], s: Arrays) -> Arrays:
    return dict(zip(("quotient", "remainder"), divide(s["numerator"], s["denominator"]), strict=True))


def of_im2col(p: dict[str, Any], s: Arrays) -> Arrays:
    shape = (p["height"], p["width"], p["channels"])
    return {
        "patches": np.array([im2col(volume, p["kernel"]) for volume in s["volume"]]),
        "volume_errors": np.array([col2im(patches, p["kernel"], *shape) for patches in s["patch_errors"]]),
    }


def of_lfsr(p: dict[str, Any], s: Arrays) -> Arrays:
    lfsr = Lfsr(p["width"])
    following = lfsr.advance(s["state"].astype(np.uint64))
    return {"next_state": following, "word": lfsr.word(following)}


def of_max_search(p: dict[str, Any], s: Arrays) -> Arrays:
    return {"maximum": max_search(s["vector"])}


def of_noise_management(p: dict[str, Any], s: Arrays) -> Arrays:
    response: Arrays = {}
    for mode in ("none", "constant", "power_of_two", "exact"):
        scalings = [
            noise_management(
                maximum,
                mode=mode,
                constant_exponent=p["constant_exponent"] if mode == "constant" else 0,
                fraction=int(fraction),
                magnitude_bits=p["magnitude_bits"],
                dac_fraction=p["dac_fraction"],
            )
            for maximum, fraction in zip(s["maximum"], s["fraction"], strict=True)
        ]
        response[f"{mode}_multiplier"] = np.array([scaling.multiplier for scaling in scalings])
        response[f"{mode}_shift"] = np.array([scaling.shift for scaling in scalings])
        response[f"{mode}_scale"] = np.array([scaling.scale for scaling in scalings])
        response[f"{mode}_fraction"] = np.array([scaling.fraction for scaling in scalings])
    return response


def of_pooling(p: dict[str, Any], s: Arrays) -> Arrays:
    maxima, where = (np.array(side) for side in zip(*(pool(volume) for volume in s["volume"]), strict=True))
    pairs = zip(s["errors"], where, strict=True)
    back = [unpool(errors, places, p["height"], p["width"]) for errors, places in pairs]
    return {"maxima": maxima, "where": where, "volume_errors": np.array(back)}


def of_pulse_generator(p: dict[str, Any], s: Arrays) -> Arrays:
    states = s["state"].astype(np.uint64)
    lfsr = Lfsr(p["generator_width"])
    formats = (p["slots"], p["probability_bits"], p["generator_sharing"])
    pulses, after = pulse_trains(lfsr, states, s["probability"], *formats)
    train = sum(pulses[:, slot].astype(np.int64) << slot for slot in range(p["slots"]))
    return {"train": train, "state_after": after}


def of_replicate(p: dict[str, Any], s: Arrays) -> Arrays:
    return {"lines": replicate(s["vector"], p["copies"])}


def of_scaler(p: dict[str, Any], s: Arrays) -> Arrays:
    return {"codes": scale(s["vector"], s["multiplier"][:, None], s["shift"][:, None], p["low"], p["high"])}


def of_softmax(p: dict[str, Any], s: Arrays) -> Arrays:
    cases = zip(s["logits"], s["label"], strict=True)
    return {"errors": np.array([softmax_error(logits, int(label), p["fraction"]) for logits, label in cases])}


def of_square_root(p: dict[str, Any], s: Arrays) -> Arrays:
    return dict(zip(("root", "rest"), square_root(s["value"], p["bits"]), strict=True))


def of_update_management(p: dict[str, Any], s: Arrays) -> Arrays:
    response: Arrays = {}
    for mode in ("none", "power_of_two", "exact"):
        sides: dict[str, list[np.ndarray]] = {"x": [], "delta": []}
        for x, delta, fraction in zip(s["x"][:, None], s["delta"][:, None], s["delta_fraction"], strict=True):
            gains = update_management(
                max_search(x),
                max_search(delta),
                mode=mode,
                x_fraction=p["x_fraction"],
                delta_fraction=int(fraction),
                gain=(p["gain_mantissa"], p["gain_shift"]),
                power=(p["power_mantissa"], p["power_shift"]),
                probability_bits=p["probability_bits"],
            )
            for side, vector, gain in zip(sides.values(), (x, delta), gains, strict=True):
                side.append(probability_words(vector, gain, p["probability_bits"])[0])
        response |= {f"{mode}_{side}_probability": np.array(words) for side, words in sides.items()}
    return response


RESPONSES: dict[str, Callable[[dict[str, Any], Arrays], Arrays]] = {
    name.removeprefix("of_"): function for name, function in globals().items() if name.startswith("of_")
}


def test_every_block_of_the_periphery_has_vectors() -> None:
    folder = Path(periphery.__file__).parent
    assert sorted(BLOCKS) == sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    assert RESPONSES.keys() == set(BLOCKS)


@pytest.mark.parametrize("block", BLOCKS)
def test_files_hold_what_the_model_computes(block: str, tmp_path: Path) -> None:
    """Read back from hexadecimal with nothing but the JSON beside it."""
    paths = write_vectors(block, COUNT, SEED, tmp_path)
    assert set(paths) == set(tmp_path.iterdir())
    description = description_of(block, tmp_path)
    assert (description["block"], description["count"], description["seed"]) == (block, COUNT, SEED)
    expected = RESPONSES[block](description["parameters"], read_ports(block, tmp_path, "stimulus"))
    response = read_ports(block, tmp_path, "response")
    assert expected.keys() == response.keys()
    for name, values in response.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_archive_holds_the_same(block: str, tmp_path: Path) -> None:
    write_vectors(block, COUNT, SEED, tmp_path)
    with np.load(tmp_path / f"{block}.npz", allow_pickle=False) as archive:
        assert json.loads(str(archive["description"])) == description_of(block, tmp_path)
        names = set(archive.files) - {"description"}
        for direction in ("stimulus", "response"):
            for name, values in read_ports(block, tmp_path, direction).items():
                np.testing.assert_array_equal(archive[f"{direction}.{name}"], values)
                names.remove(f"{direction}.{name}")
        assert not names


@pytest.mark.parametrize("block", BLOCKS)
def test_files_depend_on_count_and_seed_only(block: str, tmp_path: Path) -> None:
    first, again = (
        {path.name: path.read_bytes() for path in write_vectors(block, 9, 1, tmp_path / name)} for name in "ab"
    )
    assert first == again
    other = {path.name: path.read_bytes() for path in write_vectors(block, 9, 2, tmp_path / "c")}
    stimuli = [port["file"] for port in description_of(block, tmp_path / "c")["ports"].values()]
    assert any(first[name] != other[name] for name in stimuli)


@pytest.mark.parametrize("block", BLOCKS)
def test_one_case_is_enough(block: str, tmp_path: Path) -> None:
    write_vectors(block, 1, SEED, tmp_path)
    assert RESPONSES[block](description_of(block, tmp_path)["parameters"], read_ports(block, tmp_path, "stimulus"))


@pytest.mark.parametrize(
    ("block", "port"),
    (
        ("activation", "pre_activation"),
        ("average", "total"),
        ("block_exponent", "values"),
        ("im2col", "volume"),
        ("im2col", "patch_errors"),
        ("max_search", "vector"),
        ("pooling", "volume"),
        ("scaler", "vector"),
        ("softmax", "logits"),
        ("square_root", "value"),
        ("update_management", "x"),
        ("update_management", "delta"),
        ("divider", "numerator"),
        ("divider", "denominator"),
        ("noise_management", "maximum"),
        ("pulse_generator", "probability"),
    ),
)
def test_corners_are_among_the_cases(block: str, port: str, tmp_path: Path) -> None:
    """0, 1, the largest and, where there is one, -1 and the smallest, each somewhere throughout a case."""
    write_vectors(block, COUNT, SEED, tmp_path)
    stated = description_of(block, tmp_path)["ports"][port]
    values = read_port(stated, tmp_path).reshape(COUNT, -1)
    uniform = set(values[(values == values[:, :1]).all(axis=1)][:, 0].tolist())
    largest = int(values.max())
    assert {0, 1, largest} <= uniform
    assert largest > 1 << (stated["width"] - 2 - stated["signed"])  # the width is not wasted
    if stated["signed"]:
        assert {-1, -largest} <= uniform


@pytest.mark.parametrize(
    ("block", "count", "seed", "message"),
    (
        ("flux_capacitor", 1, 1, r"^block 'flux_capacitor': unknown; accepted: activation, average, .*$"),
        ("scaler", 0, 1, r"^count = 0: accepted: at least 1$"),
        ("scaler", -3, 1, r"^count = -3: accepted: at least 1$"),
        ("scaler", 1, -1, r"^seed = -1: accepted: at least 0$"),
    ),
)
def test_what_cannot_be_is_refused_in_a_line(block: str, count: int, seed: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(CrosspointError, match=message):
        write_vectors(block, count, seed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_disk_that_fills_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is whole, and the description, which comes last, is not there."""
    whole = {path.name: path.read_bytes() for path in write_vectors("scaler", 3, 1, tmp_path / "whole")}
    write = vectors.write_atomically

    def until_full(path: Path, contents: bytes) -> None:
        if path.suffix == ".npz":
            raise OSError(28, "No space left on device", str(path))
        write(path, contents)

    monkeypatch.setattr(vectors, "write_atomically", until_full)
    with pytest.raises(OSError, match="No space left"):
        write_vectors("scaler", 3, 1, tmp_path / "part")
    part = {path.name: path.read_bytes() for path in (tmp_path / "part").iterdir()}
    assert part.items() < whole.items()
    assert "scaler.json" not in part


@pytest.mark.parametrize(("values", "signed"), (([0, 8], True), ([-9, 0], True), ([0, 16], False), ([-1, 3], False)))
def test_a_word_wider_than_stated_is_never_written(
    values: list[int], signed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Vectors({}, {"i": Port(np.array(values), 4, signed)}, {})
    monkeypatch.setattr(vectors, "draw_cases", lambda block, count, seed: wrong)
    with pytest.raises(ValueError, match="do not fit 4 bits"):
        write_vectors("scaler", 2, 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()
