"""Faults of the host's end of a board's link, and of the model of a board, for the mutation run (sim/mutation.py)."""

from __future__ import annotations

from sim.mutation import Fault

LINK_FAULTS: list[Fault] = [
    Fault("board/link.py", "self._confirmed + self._capacity) - self._next", "self._confirmed + self._capacity) - self._next + 1", "one byte more than the limit is sent", "tests/board/test_link.py"),
    Fault("board/link.py", "self._step_began + self._patience", "self._step_began + 100 * self._patience", "the patience is not heeded", "tests/board/test_link.py"),
    Fault("board/link.py", "if self._step_done >= self._step:", "if False:", "a step that is done gives no new patience", "tests/board/test_link.py"),
    Fault("board/link.py", "self._heard + min(SILENCE_SECONDS,", "self._heard + 100 * min(SILENCE_SECONDS,", "silence is not noticed", "tests/board/test_link.py"),
    Fault("board/link.py", "if len(self._received) > self._room:", "if False:", "unread bytes are kept without end", "tests/board/test_link.py"),
    Fault("board/link.py", "if answer.capacity not in CAPACITIES:", "if False:", "any capacity is believed", "tests/board/test_link.py"),
    Fault("board/link.py", "elif news := frame.data[-place:] if place else frame.data:", "elif news := frame.data:", "a repeated byte is taken twice", "tests/board/test_link.py"),
    Fault("board/link.py", "        if place > 0:\n", "        if place > 300:\n", "a gap in the board's stream is passed over", "tests/board/test_link.py"),
    Fault("board/link.py", "case DataAnswer(session) as frame if session == self._session:", "case DataAnswer(session) as frame:", "answers of another session are taken", "tests/board/test_link.py"),
    Fault("board/link.py", "case Refused(session, Refusal.NO_SESSION) if session != self._session:", "case Refused(session, Refusal.NO_SESSION) if False:", "a reset is not noticed", "tests/board/test_link.py"),
    Fault("board/link.py", "\nREFUSALS = 2\n", "\nREFUSALS = 1\n", "one refusal is believed", "tests/board/test_link.py"),
    Fault("board/link.py", "        self._next = self._confirmed\n        self._recovery", "        self._recovery", "nothing is sent again", "tests/board/test_link.py"),
    Fault("board/link.py", "if answer.version != PROTOCOL_VERSION:", "if False:", "the version is not compared", "tests/board/test_link.py"),
    Fault("board/link.py", "if answer.identity != identity:", "if False:", "the identity is not compared", "tests/board/test_link.py"),
    Fault("board/link.py", "self._until(lambda: len(self._given))", "self._until(lambda: 0)", "a flush returns at once", "tests/board/test_link.py"),
    Fault("board/protocol.py", "LARGEST_CONTENT + _CRC.size + 1", "LARGEST_CONTENT + _CRC.size", "the longest frame is a byte shorter", "tests/board/test_protocol.py"),
    Fault("board/protocol.py", "        if not self._too_long:\n", "        if True:\n", "the end of a frame that is too long is taken for one", "tests/board/test_protocol.py"),
    Fault("board/protocol.py", "min(last - first + 1, LARGEST_COUNT)", "min(last - first, LARGEST_COUNT)", "a run is a word too short", "tests/board/test_protocol.py"),
    Fault("board/protocol.py", "magnitude.bit_length() // 8 + 1", "max(1, -(-magnitude.bit_length() // 8))", "a word's sign has no bit", "tests/board/test_protocol.py"),
    Fault("board/model.py", "if beyond > 0:", "if beyond > 1:", "a byte beyond the limit is passed over", "tests/board/test_model.py"),
    Fault("board/model.py", "if 0 <= acknowledged <= self._sent - self._kept_from:", "if 0 <= acknowledged:", "what was not sent is acknowledged", "tests/board/test_model.py"),
    Fault("board/model.py", "if len(self._output) + len(self._wanted) > self.kept:", "if False:", "answers are kept without end", "tests/board/test_model.py"),
    Fault("board/serial_port.py", "exclusive=True", "exclusive=False", "two programs may use a port", "tests/board/test_link.py"),
    Fault("board/serial_port.py", "except (*ERRORS, TypeError) as error:", "except TypeError as error:", "a port that vanishes is a traceback", "tests/board/test_link.py"),
    Fault("board/faults.py", "return came if held is None else came + bytes([held])", "return came", "a swapped byte is lost", "tests/board/test_faults.py"),
    Fault("board/faults.py", "if not self._cut:\n                arrived += ", "if True:\n                arrived += ", "a cut line carries on", "tests/board/test_faults.py"),
]  # fmt: skip
