"""The answers for one object, put together in the order of its records (AssembleWith)."""

from __future__ import annotations

from pathlib import Path


class Assembler:
    """Writes to a file beside the job, so that nothing is in S3 before all of it is there."""

    def __init__(self, file: Path, *, by_line: bool) -> None:
        self.file = file
        self._by_line = by_line
        file.parent.mkdir(parents=True, exist_ok=True)
        self._target = file.open("wb")
        self._ended = False

    def add(self, piece: bytes) -> None:
        """A part of an answer. Raises OSError for a full disk."""
        self._target.write(piece)
        if piece:
            self._ended = piece.endswith(b"\n")

    def end_answer(self) -> None:
        """The answer is whole: with AssembleWith Line it ends a line, unless it did so itself."""
        if self._by_line and not self._ended:
            self._target.write(b"\n")
        self._ended = False

    def close(self) -> None:
        """All answers are in the file. Raises OSError."""
        self._target.close()

    def discard(self) -> None:
        """None of it is wanted."""
        self._target.close()
        self.file.unlink(missing_ok=True)
