"""What all blocks share: validated parameters, and their latency and throughput as numbers that tests read."""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args, get_origin

from amaranth.hdl import UnusedElaboratable
from amaranth.lib import wiring
from pydantic import ValidationError

from emulator.config import Stage
from emulator.config.messages import describe_error
from emulator.config.schema import Frozen


class Parameters(Frozen):
    """Parameters of a block. Frozen; unknown or illegal ones are refused with field, value and what is accepted."""

    @classmethod
    @abstractmethod
    def of(cls, stage: Stage, lanes: int) -> Parameters:
        """The parameters that the tile of a network's stage needs."""

    @classmethod
    def from_description(cls, tree: dict[str, Any]) -> Self:
        """Those of a description (hdl/export.py), in which lists stand for tuples. Raises ValidationError."""
        return cls.model_validate_json(json.dumps(tree))


@contextmanager
def plain_refusals(place: str = "") -> Iterator[None]:
    """Parameters that are refused where they are made from a config are a ValueError of one line, which begins with ``place``."""
    try:
        yield
    except ValidationError as error:
        refused = next(each for each in _parameters_classes(Parameters) if each.__name__ == error.title)
        raise ValueError((f"{place}: " if place else "") + describe_error(error, refused)) from error


def _parameters_classes(base: type[Parameters]) -> Iterator[type[Parameters]]:
    for derived in base.__subclasses__():
        yield derived
        yield from _parameters_classes(derived)


@contextmanager
def warnings_as_errors() -> Iterator[None]:
    """For elaboration. A component that another place made and dropped may be collected just then: that is no error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UnusedElaboratable)
        yield


P = TypeVar("P", bound=Parameters)


class Block(wiring.Component, ABC, Generic[P]):
    """A stream component. Subclasses name their parameters: ``class MaxSearch(Block[MaxSearchParameters])``."""

    parameters_class: ClassVar[type[Parameters]]
    #: Whether it is made for a whole config rather than for parameters of its own.
    takes_config: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for base in getattr(cls, "__orig_bases__", ()):
            if get_origin(base) is Block and isinstance(get_args(base)[0], type):
                cls.parameters_class = get_args(base)[0]

    def __init__(self, parameters: P, signature: dict[str, wiring.In | wiring.Out]) -> None:
        self.parameters = parameters
        super().__init__(signature)

    @property
    @abstractmethod
    def latency(self) -> int:
        """Cycles from the last input beat of a vector taken to its first output beat offered, without stalls."""

    @property
    def cycles_per_beat(self) -> int:
        """Cycles between input beats that are taken, without stalls: 1 where a block streams."""
        return 1
