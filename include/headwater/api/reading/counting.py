"""How many rows went by in a stream, for the audit: its bytes are passed on as they come."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa


class Counted:
    """Passes pieces on; `rows` are those that went by so far."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.rows = 0

    def csv(self) -> Iterator[bytes]:
        """CSV with one line of names; a line break within quotes ends no row."""
        quoted, lines = False, 0
        for piece in self._pieces:
            for number, part in enumerate(piece.split(b'"')):
                quoted = quoted if number == 0 else not quoted
                lines += 0 if quoted else part.count(b"\n")
            self.rows = max(0, lines - 1)
            yield piece

    def arrow(self) -> Iterator[bytes]:
        """An Arrow stream, one batch at a time."""
        passing = _Passing(self._pieces)
        with pa.ipc.open_stream(passing) as reader:
            yield passing.taken()
            for batch in reader:
                self.rows += batch.num_rows
                yield passing.taken()
        yield passing.taken() + b"".join(self._pieces)


class _Passing(io.RawIOBase):
    """A file whose bytes, once read, are kept until they are taken."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._ahead = b""
        self._read = bytearray()

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """As a file's; fewer bytes only at the end."""
        while size < 0 or len(self._ahead) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._ahead += piece
        given = self._ahead if size < 0 else self._ahead[:size]
        self._ahead = self._ahead[len(given) :]
        self._read += given
        return given

    def taken(self) -> bytes:
        """What was read since."""
        taken, self._read = bytes(self._read), bytearray()
        return taken
