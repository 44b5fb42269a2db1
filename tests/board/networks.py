"""Networks that are quick to answer, for tests of the line."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Recording:
    """Memory behind the bus, and images whose logits tell what came. ``resets``: sessions begun."""

    words: dict[int, int] = field(default_factory=dict)
    images: list[tuple[bytes, int, bool]] = field(default_factory=list)
    resets: int = 0
    classes: int = 3

    def write(self, address: int, word: int) -> None:
        self.words[address] = word

    def read(self, address: int) -> int:
        return self.words.get(address, 0)

    def image(self, pixels: bytes, label: int, train: bool) -> list[int]:
        self.images.append((pixels, label, train))
        return [len(self.images), -sum(pixels), label][: self.classes]

    def reset(self) -> None:
        self.resets += 1
