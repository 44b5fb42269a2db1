"""A config's digest: equal where the bits are, different where they may differ."""

from __future__ import annotations

import pytest

from emulator.config import load


def test_the_version_of_the_arithmetic_is_in_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = load("tiny").digest
    monkeypatch.setattr("emulator.config.schema.ARITHMETIC_VERSION", 1)
    assert load("tiny").digest != now


def test_what_decides_no_bit_is_not() -> None:
    assert load("tiny", ["hardware.lanes=1", "name=other", "description=none"]).digest == load("tiny").digest
    assert load("tiny", ["seed=5"]).digest != load("tiny").digest
