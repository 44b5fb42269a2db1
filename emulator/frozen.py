"""The base of all that a user configures: frozen, without unknown fields, and with values of exactly the type asked for."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator
from pydantic_core import PydanticCustomError


class Frozen(BaseModel):
    """A number is no text, and true and false are no numbers. An integer is accepted where a number is wanted.

    Minus zero becomes zero, so that equal values have equal digests. A choice that has integers needs ``IntegerChoice``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    @field_validator("*", mode="after")
    @classmethod
    def _drop_sign_of_zero(cls, value: Any) -> Any:
        return value + 0.0 if isinstance(value, float) else value


def _refuse_what_equals_an_integer(value: object) -> object:
    if isinstance(value, bool | float):
        raise PydanticCustomError("integer_choice", "Input should be one of the choices")
    return value


#: For a ``Literal`` with integers: pydantic compares by ``==``, in strict mode too, and ``True`` and ``1.0`` are equal to 1.
IntegerChoice = BeforeValidator(_refuse_what_equals_an_integer)
