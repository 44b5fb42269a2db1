"""The link's memories: whatever a word is that is read while it is written, no byte changes."""

from __future__ import annotations

import pytest

from tests.board.gateware import test_link as link

SCENARIOS = (
    link.test_a_stream_to_the_board,
    link.test_a_stream_from_the_board,
    link.test_data_beyond_the_limit_is_dropped_and_the_limit_moves_on,
    link.test_lost_answers_are_sent_again,
    link.test_positions_go_around_in_both_directions,
)


@pytest.mark.usefixtures("garbling")
def test_the_link_uses_no_such_word(monkeypatch: pytest.MonkeyPatch) -> None:
    garbled = link.design.__wrapped__()
    assert "collided" in garbled.verilog
    monkeypatch.setattr(link, "design", lambda *_: garbled)
    for scenario in SCENARIOS:
        scenario()
