"""The boards: what each is built with. How to add one: docs/boards.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amaranth_boards.colorlight_5a75b_r7_0 import Colorlight_5A75B_R70Platform
from amaranth_boards.icebreaker import ICEBreakerPlatform
from amaranth_boards.ulx3s import ULX3S_85F_Platform

from board.gateware.parameters import LinkParameters
from emulator.config import Config, load
from emulator.config.loading import read_tree
from emulator.config.messages import shown, toml_path
from emulator.config.toml_text import parse_assignment
from emulator.errors import ConfigError


@dataclass(frozen=True)
class Target:
    """A board. ``clock``: that of the network and the link, in Hz; ``baud``: of the serial line, of which ``clock`` is a
    multiple. ``config``: what it holds unless told otherwise; ``settings``: what there is room for on this board, as for
    ``--set``: a number is the most, so a config that asks for less is left as it is, and what a user sets wins.
    ``options``: of Amaranth's toolchain, as its documentation of the platform names them; ``placement``: the seed of nextpnr's
    placer. Raises ValueError."""

    name: str
    title: str
    platform: Callable[[], Any]
    clock: int
    baud: int
    config: str
    programmer: tuple[str, ...]  # arguments of openFPGALoader that say which board it is, and which of its memories
    settings: tuple[str, ...] = ()
    input_ring: int = 512
    output_ring: int = 512
    weights_in_spram: bool = False  # iCE40 UltraPlus: those of a compact network
    led: str | None = "led"  # resource that is on while a host has begun a session
    options: dict[str, str] = field(default_factory=dict)
    placement: int = 1
    hide_brackets: bool = True  # from names, before synthesis: hdl/tools.py

    def __post_init__(self) -> None:
        if self.baud < 1 or self.clock % self.baud:
            raise ValueError(
                f"board {self.name!r}: baud = {self.baud}: accepted: a divisor of the clock, {self.clock} Hz"
            )
        self.link(0)

    @property
    def clocks_per_bit(self) -> int:
        return self.clock // self.baud

    def link(self, identity: int) -> LinkParameters:
        """Of the link on this board. Raises ValueError."""
        return LinkParameters(
            clocks_per_bit=self.clocks_per_bit,
            identity=identity,
            input_ring=self.input_ring,
            output_ring=self.output_ring,
        )

    def load(self, source: str | None = None, assignments: Sequence[str] = (), seed: int | None = None) -> Config:
        """A config as this board holds it, its own unless one is named. Raises as emulator.config.load does."""
        given = source or self.config
        settings = self.settings_for(given)
        try:
            return load(given, (*settings, *assignments), seed)
        except ConfigError as error:
            if settings and _refusal(given, assignments, seed) != str(error):
                raise ConfigError(
                    f"{error}; board {self.name!r} sets {', '.join(settings)}, over which --set wins"
                ) from error
            raise

    def settings_for(self, source: str | None = None) -> tuple[str, ...]:
        """The settings that a config needs: those that it leaves open, and those of which it asks for more than there is
        room for. Raises as emulator.config.load does."""
        tree = read_tree(source or self.config)
        return tuple(
            setting
            for setting in self.settings
            for path, most in [parse_assignment(setting)]
            if _is_needed(most, _value_at(tree, path))
        )

    def notes(self, source: str, assignments: Sequence[str] = ()) -> list[str]:
        """What is set for this board other than the config asks for, and not by these assignments."""
        tree = read_tree(source)
        chosen = [parse_assignment(assignment)[0] for assignment in assignments]
        return [
            f"board {self.name!r}: {setting}, not {own} as config {source!r} has it; --set {toml_path(path)}={own} keeps it"
            for setting in self.settings_for(source)
            for path, _ in [parse_assignment(setting)]
            for own in [shown(_value_at(tree, path))]
            if _value_at(tree, path) is not None and path not in chosen
        ]


def _value_at(tree: Mapping[str, Any], path: Sequence[str]) -> Any:
    """What a config itself has there; None: nothing."""
    value: Any = tree
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _is_needed(most: Any, own: Any) -> bool:
    """Whether a board's setting replaces a config's own value. One of another type is left to be refused."""
    if own is None or isinstance(most, bool):
        return own is not most
    return type(own) is type(most) and own > most


def _refusal(source: str, assignments: Sequence[str], seed: int | None) -> str | None:
    """What is said of a config without a board; None if it is accepted."""
    try:
        load(source, assignments, seed)
    except ConfigError as error:
        return str(error)
    return None


#: Of an ECP5 that is nearly full: nextpnr's default placer needs a half more wire, and no router came near its end.
FULL_ECP5 = {"nextpnr_opts": "--placer static --router router2"}

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            name="ulx3s-85f",
            title="ULX3S with an ECP5-85F",
            platform=ULX3S_85F_Platform,
            clock=60_000_000,
            baud=3_000_000,
            config="lenet-board",
            settings=("hardware.lanes=4",),
            programmer=("--board", "ulx3s"),
            input_ring=2048,
            output_ring=2048,
            options=FULL_ECP5,
            # Names have a say in where nextpnr lays cells. Without brackets, 2,400 wires were still taken twice after 17 rounds of
            # its router (seed 1), where it now has 240; seeds 2 and 3 were placed at an estimate of 58 MHz.
            hide_brackets=False,
        ),
        Target(
            name="icebreaker",
            title="iCEBreaker, an iCE40 UP5K",
            platform=ICEBreakerPlatform,
            clock=12_000_000,
            baud=1_000_000,
            config="smallest",
            settings=("hardware.lanes=1", "hardware.compact=true"),
            weights_in_spram=True,
            programmer=("--board", "ice40_generic", "--write-flash"),
            options={"synth_opts": "-dsp"},
        ),
        Target(
            name="colorlight-5a-75b",
            title="Colorlight 5A-75B revision 7.0, an ECP5-25F; serial line on its header J19",
            platform=Colorlight_5A75B_R70Platform,
            clock=50_000_000,
            baud=2_000_000,
            config="small",
            settings=("hardware.lanes=2",),
            programmer=("--board", "colorlight"),
            led=None,  # its pin is the line's
            options=FULL_ECP5,
        ),
    )
}
