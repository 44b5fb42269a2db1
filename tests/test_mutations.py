"""The list of faults follows the source, and the recorded run caught them all."""

from __future__ import annotations

import pytest

from hdl.blocks import BLOCKS
from sim.faults import FAULTS
from sim.mutation import PAGE, ROOT, Fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.file.rpartition('/')[2]}: {fault.description}")
def test_fault_fits_the_source(fault: Fault) -> None:
    text = (ROOT / fault.file).read_text(encoding="utf-8")
    assert fault.patched(text) != text


def test_refuses_text_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="accepted: once"):
        Fault("file", "a", "b", "").patched("aa")


def test_every_block_has_faults() -> None:
    files = {block.__module__.replace(".", "/") + ".py" for block in BLOCKS.values()}
    assert files <= {fault.file for fault in FAULTS}


def test_recorded_run_knows_all_faults_and_missed_none() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert "not caught" not in page
    for fault in FAULTS:
        assert f"| `{fault.file}` | {fault.description} | `" in page
