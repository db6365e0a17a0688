"""Pipe mode: a channel is a stream, in FIFOs `/opt/ml/input/data/<channel>_<epoch>`."""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import stat
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from stagemaker.contract.layout import Layout
from stagemaker.jobs.augmented import records
from stagemaker.jobs.channel import download_errors
from stagemaker.jobs.object_stream import write_whole
from stagemaker.jobs.objects import ObjectClient
from stagemaker.jobs.selection import DownloadError, Share, selected
from stagemaker.jobs.spec import ChannelSource

RECORD_MAGIC = 0xCED7230A
_LARGEST_RECORD = (1 << 29) - 1
"""Bytes; the length shares its word with three bits of flags."""
_PIECE = 1024 * 1024
_IN_MEMORY = 8 * 1024 * 1024
_PAUSE = 0.005
_PLAIN = {("S3Prefix", "None", "None"), ("ManifestFile", "None", "None")}


class Readable(Protocol):
    """What a stream must do to be passed on."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


class PipeFeeder(threading.Thread):
    """Writes a channel's objects into one FIFO an epoch, for as long as somebody reads."""

    def __init__(self, objects: ObjectClient, channel: ChannelSource, share: Share, layout: Layout) -> None:
        super().__init__(daemon=True, name=f"pipe-{channel.config.name}")
        self.error: str | None = None
        """Why the stream broke off, if it did."""
        self._objects = objects
        self._channel = channel
        self._share = share
        self._layout = layout
        self._over = threading.Event()
        self._make(0)

    def run(self) -> None:
        """One epoch after the other, until `close`."""
        epoch = 0
        try:
            with download_errors(self._channel):
                while (descriptor := self._opened(epoch)) is not None:
                    self._feed(descriptor, epoch)
                    epoch += 1
        except DownloadError as error:
            self.error = error.detail

    def close(self) -> None:
        """End the stream. The container is gone, so nobody reads."""
        self._over.set()
        if self.ident is not None:
            self.join(timeout=5)

    def _feed(self, descriptor: int, epoch: int) -> None:
        """Write the epoch. A reader that has had enough closes early, which ends the epoch and not the job."""
        # The next FIFO is there before this one ends: a program may open it as soon as it has had enough.
        self._make(epoch + 1)
        try:
            if self._is_plain:
                for entry in selected(self._objects, self._channel, self._share, epoch):
                    self._objects.open(entry.uri).pour(descriptor)
            else:
                for piece in self._pieces(epoch):
                    write_whole(descriptor, piece)
        except BrokenPipeError:
            self._objects.close()
        finally:
            self._fifo(epoch).unlink(missing_ok=True)
            os.close(descriptor)

    @property
    def _is_plain(self) -> bool:
        """Whether the stream is the objects' bytes as they are."""
        channel = self._channel
        return (channel.data_type, channel.config.record_wrapper, channel.compression) in _PLAIN

    def _pieces(self, epoch: int) -> Iterator[bytes]:
        """What the epoch holds, where the objects' bytes are not all of it."""
        if self._channel.data_type == "AugmentedManifestFile":
            for record in records(self._objects, self._channel, self._share, epoch):
                yield framed_header(len(record)) + record + padding(len(record))
            return
        wraps = self._channel.config.record_wrapper == "RecordIO"
        for entry in selected(self._objects, self._channel, self._share, epoch):
            response = self._objects.open(entry.uri)
            source: Readable = gzip.GzipFile(fileobj=response) if self._channel.compression == "Gzip" else response
            yield from wrapped(source) if wraps else in_pieces(source)
            response.read()  # so that the connection can be used again

    def _fifo(self, epoch: int) -> Path:
        return self._layout.data / f"{self._channel.config.name}_{epoch}"

    def _make(self, epoch: int) -> None:
        """The FIFO of an epoch. Raises OSError; FileExistsError too when the program has put something there."""
        if not self._layout.holds(self._layout.data):
            raise OSError(errno.ELOOP, "The input folder has been replaced by a link")
        os.mkfifo(self._fifo(epoch), 0o600)

    def _opened(self, epoch: int) -> int | None:
        """The writing end, as soon as somebody reads; None when nobody will.

        A program may put anything in its place: what is no FIFO is not written to, and links are not followed.
        """
        while not self._over.is_set():
            try:
                descriptor = os.open(self._fifo(epoch), os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                self._over.wait(_PAUSE)
            else:
                if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                    os.close(descriptor)
                    raise OSError(errno.EINVAL, f"{self._fifo(epoch).name} is no FIFO any more")
                os.set_blocking(descriptor, True)
                _widen(descriptor)
                return descriptor
        return None


def in_pieces(source: Readable) -> Iterator[bytes]:
    """The stream in pieces."""
    while piece := source.read(_PIECE):
        yield piece


def wrapped(source: Readable) -> Iterator[bytes]:
    """The stream as one RecordIO record. Its length comes first, so it is kept aside until it is known."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as kept:
        for piece in in_pieces(source):
            kept.write(piece)
        size = kept.tell()
        kept.seek(0)
        yield framed_header(size)
        yield from in_pieces(kept)
        yield padding(size)


def framed_header(size: int) -> bytes:
    """The head of a RecordIO record of `size` bytes. Raises DownloadError for one that is too long."""
    if size > _LARGEST_RECORD:
        raise DownloadError(f"An object of {size} bytes is too large for one RecordIO record ({_LARGEST_RECORD})")
    return struct.pack("<II", RECORD_MAGIC, size)


def padding(size: int) -> bytes:
    """The zeros that bring a record to a multiple of four bytes."""
    return b"\0" * (-size % 4)


def _widen(descriptor: int) -> None:
    """Give the FIFO the largest buffer that anybody may have: the writer is woken sixteen times less often."""
    with suppress(OSError, AttributeError):  # Linux only, and bounded by /proc/sys/fs/pipe-max-size
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIECE)
