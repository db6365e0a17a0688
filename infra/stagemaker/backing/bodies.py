"""Objects' bytes: small ones in the journal's database, larger ones in files that never change.

ministack keeps objects in memory and treats a body as `bytes`: it asks for its length, slices and
digests and hands it back. `StoredBody` answers those questions for bytes that lie on the disk, so
copies, versions and completed multipart uploads share the same files and nothing is read to do so.
"""

from __future__ import annotations

import asyncio
import base64
import os
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, SupportsIndex

from stagemaker.backing.checksums import checksum

INLINE_LIMIT = 64 * 1024
"""Bytes. Up to here a body is a row beside its object's, and one fsync keeps both (SQLite is as quick as
files up to about 100 kB: sqlite.org/intern-v-extern-blob.html)."""

CHUNK = 1024 * 1024
"""Bytes read or written at a time."""

_FILE, _INLINE = "f", "i"


@dataclass(frozen=True, slots=True)
class Piece:
    """`length` bytes from `start` of the stored bytes `id`."""

    id: str
    start: int
    length: int

    @property
    def in_file(self) -> bool:
        """Whether the bytes lie in a file of their own."""
        return self.id.startswith(_FILE)


class Rows(Protocol):
    """Where small bodies lie."""

    def body(self, body_id: str) -> bytes:
        """The bytes of a small body. Raises KeyError."""
        ...


class StoredBody(bytes):
    """Bytes that are elsewhere: a sequence of pieces. As a `bytes` it is empty."""

    _store: Bodies
    pieces: tuple[Piece, ...]
    _md5: str | None
    sums: dict[str, str]

    def __new__(
        cls, store: Bodies, pieces: Iterable[Piece], md5: str | None = None, sums: dict[str, str] | None = None
    ) -> Self:
        """`md5` in hexadecimal and `sums` (base64 by algorithm) spare reading the bytes for them."""
        self = super().__new__(cls)
        self._store, self.pieces = store, tuple(pieces)
        if md5 is None and not sums:
            md5, sums = store.digests.get(self.pieces, (None, None))
        self._md5, self.sums = md5, sums or {}
        return self

    def __len__(self) -> int:
        return sum(piece.length for piece in self.pieces)

    def __bool__(self) -> bool:
        return bool(self.pieces)

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        if not isinstance(key, slice):
            raise TypeError("only slices of a stored body can be taken")
        start, stop, step = key.indices(len(self))
        if step != 1:
            raise TypeError("a stored body has no steps")
        return StoredBody(self._store, _cut(self.pieces, start, stop))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredBody) and self.pieces == other.pieces

    def __hash__(self) -> int:
        return hash(self.pieces)

    def __reduce__(self) -> Any:
        raise TypeError("a stored body cannot be pickled")

    def read(self) -> Iterator[bytes]:
        """All bytes, in chunks."""
        for piece in self.pieces:
            yield from self._store.read(piece)

    def md5(self) -> str:
        """In hexadecimal. Reads the bytes when nobody has said."""
        if self._md5 is None:
            self._md5 = base64.b64decode(checksum("MD5", self.read())).hex()
        return self._md5

    def checksum(self, algorithm: str) -> str:
        """One of S3's checksums, in base64."""
        if algorithm not in self.sums:
            self.sums[algorithm] = checksum(algorithm, self.read())
        return self.sums[algorithm]

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """All bytes, in chunks, read in a thread. The files stay until the stream is closed."""
        with self._store.reading():
            for piece in self.pieces:
                if not piece.in_file:
                    yield b"".join(self._store.read(piece))
                    continue
                chunks = self._store.read(piece)
                while chunk := await asyncio.to_thread(next, chunks, b""):
                    yield chunk

    def sections(self) -> Generator[bytes | dict[str, Any], None, None]:
        """All bytes: small ones as they are, others as `file` (open until the next section), `offset` and `count`.

        The files stay until the iterator is closed.
        """
        with self._store.reading():
            for piece in self.pieces:
                if not piece.in_file:
                    yield b"".join(self._store.read(piece))
                elif piece.length:
                    with (self._store.folder / piece.id).open("rb", buffering=0) as file:
                        yield {"file": file, "offset": piece.start, "count": piece.length}

    def to_document(self) -> dict[str, Any]:
        """For JSON."""
        pieces = [[piece.id, piece.start, piece.length] for piece in self.pieces]
        return {"pieces": pieces, "md5": self._md5, "sums": self.sums}


def _cut(pieces: Sequence[Piece], start: int, stop: int) -> Iterator[Piece]:
    position = 0
    for piece in pieces:
        first, last = max(start - position, 0), min(stop - position, piece.length)
        if first < last:
            yield Piece(piece.id, piece.start + first, last - first)
        position += piece.length


def join(bodies: Sequence[StoredBody]) -> StoredBody:
    """One body of several, one after the other. Nothing is read or copied."""
    return StoredBody(bodies[0]._store, [piece for body in bodies for piece in body.pieces])  # noqa: SLF001 - its own


@dataclass
class Bodies:
    """The files of one account's objects, and how often each is referred to.

    `fresh` holds small bodies that no committed row has yet, `digests` the MD5 and the checksums of pieces
    about to be asked for.
    """

    folder: Path
    rows: Rows
    fresh: dict[str, bytes] = field(default_factory=dict)
    digests: dict[tuple[Piece, ...], tuple[str, dict[str, str]]] = field(default_factory=dict)
    _uses: Counter[str] = field(default_factory=Counter)
    _readers: int = 0
    _doomed: set[str] = field(default_factory=set)

    def prepare(self) -> None:
        """Make the folder. Call `use` for all that is referred to, then `sweep`."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def sweep(self) -> None:
        """Remove the files that nothing refers to: a process that died left them."""
        for file in self.folder.iterdir():
            if not self.in_use(file.name):
                file.unlink(missing_ok=True)

    def new_file(self) -> tuple[str, int]:
        """A new body's id and a descriptor to write it by."""
        body_id = _FILE + uuid.uuid4().hex
        return body_id, os.open(self.folder / body_id, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def finish_file(self, descriptor: int) -> None:
        """Have the disk keep a written file and its name. Slow: call it in a thread."""
        os.fsync(descriptor)
        sync_folder(self.folder)

    def stored(self, body: bytes) -> StoredBody:
        """`body` as a stored one. Plain bytes are small, or else rare (a browser's form), and become rows."""
        if isinstance(body, StoredBody):
            return body
        if not body:
            return StoredBody(self, ())
        body_id = _INLINE + uuid.uuid4().hex
        self.fresh[body_id] = body
        return StoredBody(self, [Piece(body_id, 0, len(body))])

    def from_document(self, document: dict[str, Any]) -> StoredBody:
        """The reverse of `StoredBody.to_document`."""
        pieces = [Piece(*piece) for piece in document["pieces"]]
        return StoredBody(self, pieces, document["md5"], document["sums"])

    def read(self, piece: Piece) -> Iterator[bytes]:
        """The bytes of `piece`, in chunks. Raises OSError, KeyError."""
        if not piece.in_file:
            data = self.fresh.get(piece.id) or self.rows.body(piece.id)
            yield data[piece.start : piece.start + piece.length]
            return
        with (self.folder / piece.id).open("rb", buffering=0) as file:
            file.seek(piece.start)
            left = piece.length
            while left:
                chunk = file.read(min(CHUNK, left))
                if not chunk:
                    raise OSError(f"{piece.id} is shorter than its object says")
                left -= len(chunk)
                yield chunk

    def use(self, ids: Iterable[str]) -> None:
        """Something refers to `ids` from now on."""
        self._uses.update(ids)

    def release(self, ids: Iterable[str]) -> None:
        """Something refers to `ids` no more."""
        self._uses.subtract(ids)

    def in_use(self, body_id: str) -> bool:
        """Whether anything refers to `body_id`."""
        return self._uses[body_id] > 0

    def discard_unused(self, body: bytes) -> None:
        """Remove the files of a body that was received but not kept."""
        if isinstance(body, StoredBody):
            self.remove({piece.id for piece in body.pieces if not self.in_use(piece.id)})

    def remove(self, ids: Iterable[str]) -> None:
        """Remove files, those that are being read once the reading has ended."""
        self._doomed.update(body_id for body_id in ids if body_id.startswith(_FILE))
        if self._readers:
            return
        for body_id in self._doomed:
            with suppress(OSError):  # what stays is swept at the next start
                (self.folder / body_id).unlink(missing_ok=True)
        self._doomed.clear()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within the block no file is removed."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self.remove(())


def sync_folder(folder: Path) -> None:
    """Have the disk keep the names in `folder`."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
