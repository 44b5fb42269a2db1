"""Device models: one file each. A file that defines a subclass of ``Device`` is found by being here."""

from __future__ import annotations

import importlib
import pkgutil

from emulator.array.devices.base import Device, Rounding


def _find_models() -> dict[str, type[Device]]:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {model.model_fields["model"].default: model for model in Device.__subclasses__()}


#: Every device model by the name that a config gives as ``device.model``.
DEVICE_MODELS = _find_models()

__all__ = ["DEVICE_MODELS", "Device", "Rounding"]
