"""The serial crossbar: reads, updates, weights and generators against golden arrays, one device after the other."""

from __future__ import annotations

import numpy as np
import pytest

from emulator.config import load
from hdl.array.crossbar import Crossbar
from hdl.array.crossbar_parameters import CrossbarParameters
from sim.pysim import run
from sim.transactions.crossbar import random_commands, session
from tests.hdl.array.crossbar_settings import SETTINGS, STALL

REPLICATED = [setting for setting in SETTINGS if "replicated" in setting]


@pytest.mark.parametrize(
    ("setting", "first"),
    [
        # Two replicated arrays behind each other take far longer than one.
        *((setting, 2 if setting in REPLICATED else 1) for setting in SETTINGS),
        *(pytest.param(setting, 1, marks=pytest.mark.slow) for setting in REPLICATED),
    ],
)
def test_equals_the_model(setting: str, first: int) -> None:
    """Of arrays behind each other, from the ``first`` on."""
    stages = load("tiny", SETTINGS[setting]).stages[first:]
    commands = random_commands(stages, np.random.default_rng(7), 6)
    parameters = CrossbarParameters.of_stages(stages, 1, 1, serial=True).model_copy(update={"settings_held": False})
    done = session(stages, 1, 1, 1, commands, parameters)
    run(Crossbar(parameters), done.transactions, stall=STALL if setting == "as it is" else 0.0)
