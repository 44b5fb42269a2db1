"""The block that docs/architecture.md shows is one: it equals its transactions, and exports."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hdl.export import to_verilog
from sim.pysim import run
from sim.transactions import base

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
NAME = "magnitudes"


@pytest.fixture
def example(tmp_path: Path) -> Iterator[ModuleType]:
    codes = [code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if NAME in code]
    assert len(codes) == 2
    path = tmp_path / f"{NAME}.py"
    path.write_text("\n".join(codes), encoding="utf-8")
    specification = importlib.util.spec_from_file_location(NAME, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # What the page leaves out: the imports of the transactions.
    vars(module).update(np=np, **{name: getattr(base, name) for name in ("Transactions", "beats", "draw", "lengths")})
    sys.modules[NAME] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules[NAME]


@pytest.mark.parametrize("lanes", (1, 3, 8))
@pytest.mark.parametrize("stall", (0.0, 0.4))
def test_the_worked_block(example: ModuleType, lanes: int, stall: float) -> None:
    block = example.Magnitudes(example.MagnitudesParameters(lanes=lanes, magnitude_bits=7))
    outcome = run(
        block, example.magnitudes_transactions(block.parameters, np.random.default_rng(lanes), 12), stall=stall
    )
    if not stall:
        assert outcome.cycles["o"] == [cycle + block.latency for cycle in outcome.cycles["i"]]


def test_the_worked_block_exports(example: ModuleType) -> None:
    assert f"module {NAME}(" in to_verilog(NAME, example.Magnitudes(example.MagnitudesParameters()))
