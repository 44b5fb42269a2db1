"""Both kinds of crossbar count as many coincidences as there can be: numbers of lines and of slots that are powers of two."""

from __future__ import annotations

import pytest

from emulator.config import load
from hdl.array.crossbar import Crossbar
from hdl.array.crossbar_parameters import CrossbarParameters
from sim.pysim import run
from sim.transactions.crossbar import Update, session

LINES, SLOTS = 8, 4
SETTINGS = [
    f"classes={LINES}",
    f"layers.W2.outputs={LINES}",
    f"layers.W3.outputs={LINES}",
    "layers.W3.bias=false",
    f"array.update.desired_bl={SLOTS}",
]


@pytest.mark.parametrize("serial", (False, True), ids=("wide", "serial"))
def test_all_slots_of_all_devices_coincide(serial: bool) -> None:
    stages = (load("tiny", SETTINGS).stages[2],)
    assert (stages[0].rows, stages[0].columns) == (LINES, LINES)
    lanes = 1 if serial else 4
    parameters = CrossbarParameters.of_stages(stages, lanes, lanes, serial=serial)
    parameters = parameters.model_copy(update={"settings_held": False})
    trains, signs = [(1 << SLOTS) - 1] * LINES, [0] * LINES
    done = session(stages, 1, lanes, lanes, [Update(0, trains, signs, trains, signs)] * 2, parameters)
    most = LINES * LINES * SLOTS
    assert parameters.most_coincidences == most
    assert [word["coincidences"] for word in done.transactions.expected("report")] == [most, most]
    run(Crossbar(parameters), done.transactions)
