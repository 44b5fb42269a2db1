"""The list of faults follows the source, and the recorded run caught them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdl.blocks import BLOCKS
from hdl.network.backward_sink import BackwardSink
from hdl.network.compact_counters import CompactCounters
from hdl.network.compact_host import CompactHost
from hdl.network.counters import Counters
from hdl.network.error_source import ErrorSource
from hdl.network.error_stage import ErrorStage
from hdl.network.forward_sink import ForwardSink
from hdl.network.host import Host
from hdl.network.image_loader import ImageLoader
from hdl.network.judge import Judge
from hdl.network.patch_source import PatchSource
from hdl.network.serial_error_stage import SerialErrorStage
from hdl.network.windows import Windows
from hdl.patches import Patches
from hdl.vector_store import VectorStore
from sim import mutation
from sim.faults import FAULTS
from sim.mutation import FOLDERS, PAGE, ROOT, Fault, copy_tree, snapshot

NETWORK_PARTS = (
    BackwardSink,
    CompactCounters,
    CompactHost,
    Counters,
    ErrorSource,
    ErrorStage,
    ForwardSink,
    Host,
    ImageLoader,
    Judge,
    PatchSource,
    Patches,
    SerialErrorStage,
    VectorStore,
    Windows,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.file.rpartition('/')[2]}: {fault.description}")
def test_fault_fits_the_source(fault: Fault) -> None:
    text = (ROOT / fault.file).read_text(encoding="utf-8")
    assert fault.patched(text) != text


def test_refuses_text_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="accepted: once"):
        Fault("file", "a", "b", "").patched("aa")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.file.rpartition('/')[2]}: {fault.description}")
def test_fault_has_tests(fault: Fault) -> None:
    file, _, test = mutation.tests_of(fault).partition("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    function = test.partition("[")[0]  # without the case
    assert not function or f"def {function}(" in text


@pytest.mark.parametrize(
    ("file", "tests"),
    (
        ("hdl/periphery/pooling.py", "tests/hdl/periphery/test_pooling.py"),
        ("hdl/serial/softmax.py", "tests/hdl/periphery/test_softmax.py"),
        ("emulator/periphery/pooling.py", "tests/periphery/test_pooling.py"),
        ("board/protocol.py", "tests/board/test_protocol.py"),
    ),
)
def test_tests_are_the_mirror(file: str, tests: str) -> None:
    assert mutation.tests_of(Fault(file, "", "", "")) == tests


def test_tests_may_be_named() -> None:
    assert mutation.tests_of(Fault("emulator/engine/source/tile.hpp", "", "", "", "tests/engine/test_equality.py")) == (
        "tests/engine/test_equality.py"
    )


@pytest.mark.parametrize("file", ("emulator/engine/source/generators.hpp", "board/protocol.py", "hdl/pipeline.py"))
def test_the_faulty_file_alone_differs(file: str, tmp_path: Path) -> None:
    """The copy has every folder, and neither the snapshot nor the tree gets the fault."""
    first = (ROOT / file).read_text(encoding="utf-8").splitlines()[0]
    sound, faulty = tmp_path / "sound", tmp_path / "faulty"
    sound.mkdir()
    faulty.mkdir()
    snapshot(sound)
    copy_tree(sound, faulty, Fault(file, first, "faulty", ""))
    assert all((faulty / folder).is_dir() for folder in FOLDERS)
    assert (faulty / file).read_text(encoding="utf-8").splitlines()[0] == "faulty"
    for tree in (sound, ROOT):
        assert (tree / file).read_text(encoding="utf-8").splitlines()[0] == first
    assert not (faulty / "hdl").is_symlink() and not (faulty / Path(file).parts[0]).is_symlink()


def test_every_block_has_faults() -> None:
    files = {block.__module__.replace(".", "/") + ".py" for block in BLOCKS.values()}
    assert files <= {fault.file for fault in FAULTS}


def test_every_part_of_the_network_has_faults() -> None:
    """All that is between the host's bus and the tile."""
    parts = {type_.__module__.replace(".", "/") + ".py" for type_ in NETWORK_PARTS}
    assert parts <= {fault.file for fault in FAULTS}


def test_recorded_run_knows_all_faults_and_missed_none() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert "not caught" not in page
    for fault in FAULTS:
        assert f"| `{fault.file}` | {fault.description} | `" in page
