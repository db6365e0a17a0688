"""Takes the objects of one instance through its model: several payloads at a time, answers in order.

Memory holds the payloads that are with the model, one more that waits, and their answers, whatever the objects' size.
"""

from __future__ import annotations

import gzip
import io
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from stagemaker.jobs.objects import ObjectClient, ObjectsError
from stagemaker.jobs.spec import S3Uri
from stagemaker.jobs.transform.assembling import Assembler
from stagemaker.jobs.transform.data_log import DataLog
from stagemaker.jobs.transform.failures import ALGORITHM_ERROR, CLIENT_ERROR, Failures
from stagemaker.jobs.transform.inputs import InputObject
from stagemaker.jobs.transform.model_client import Answer, CancelledError, LargeAnswerError, ModelClient, NoAnswerError
from stagemaker.jobs.transform.processing import DataProcessing, ProcessingError
from stagemaker.jobs.transform.settings import Settings
from stagemaker.jobs.transform.spec import Input, Output
from stagemaker.jobs.transform.splitting import Readable, SplitError, payloads

_PIECE = 1024 * 1024
_TICK = 0.05

_UnpackErrors = (gzip.BadGzipFile, EOFError, zlib.error)


class _Work:
    """One object under way."""

    def __init__(self, source: InputObject, assembler: Assembler) -> None:
        self.source = source
        self.assembler = assembler
        self.failed = False


@dataclass(frozen=True, slots=True)
class _Sent:
    """A payload that is with the model, or waits to be; without an answer to come it is the object's end."""

    work: _Work
    payload: bytes = b""
    answer: Future[Answer] | None = None


class Feeder:
    """One instance's objects. Used by one thread, which calls `feed` once."""

    def __init__(
        self,
        given: Input,
        output: Output,
        settings: Settings,
        model: ModelClient,
        processing: DataProcessing | None,
        new_client: Callable[[], ObjectClient],
        folder: Path,
        log: DataLog,
        failures: Failures,
        cancelled: threading.Event,
        on_silence: Callable[[], None],
    ) -> None:
        """`folder` is for outputs that are not whole yet; `on_silence` is called when a container did not answer."""
        self._given = given
        self._output = output
        self._settings = settings
        self._model = model
        self._processing = processing
        self._new_client = new_client
        self._reader, self._writer = new_client(), new_client()
        self._folder = folder
        self._log = log
        self._failures = failures
        self._cancelled = cancelled
        self._on_silence = on_silence
        self._under_way: deque[_Sent] = deque()
        self._pool = ThreadPoolExecutor(settings.concurrent, thread_name_prefix="transform")
        self.done: list[InputObject] = []
        """The objects whose output is stored."""

    def feed(self, objects: Iterable[InputObject]) -> None:
        """Transform them all. What goes wrong with one is in the log and in `failures`, and the next one follows.

        Raises CancelledError when the job is to end, OSError and ObjectsError when an output cannot be stored.
        """
        try:
            for number, source in enumerate(objects):
                file = self._folder / f"{number}.part"
                work = _Work(source, Assembler(file, by_line=self._output.by_line))
                try:
                    self._send_all(work)
                finally:
                    self._under_way.append(_Sent(work))
                self._settle_what_is_there()
            while self._under_way:
                self._settle()
        finally:
            for sent in self._under_way:
                sent.work.assembler.discard()
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._reader.close()
            self._writer.close()

    def _send_all(self, work: _Work) -> None:
        """Have every payload of an object on its way."""
        if self._settings.is_streamed(self._given.split):
            self._submit(work, b"", lambda: self._model.invoke(lambda: self._pieces(work.source.uri)))
            return
        try:
            with self._opened(self._reader, work.source.uri) as source:
                found = payloads(source, self._given.split, self._settings.strategy, self._settings.limit)
                for payload in found:
                    self._send(work, payload)
                    if work.failed:  # its output is not wanted any more, nor is the rest of it
                        self._reader.close()
                        return
        except (SplitError, ProcessingError) as error:
            self._fail(work, CLIENT_ERROR, str(error))
        except _UnpackErrors as error:
            self._fail(work, CLIENT_ERROR, f"The object is not in Gzip format: {error}")
        except ObjectsError as error:
            self._fail(work, CLIENT_ERROR, f"Unable to read the object: {error.message}")
        else:
            return
        self._reader.close()  # in the middle of the object

    def _send(self, work: _Work, payload: bytes) -> None:
        request = self._processing.request(payload) if self._processing else payload
        self._submit(work, payload if self._processing else b"", lambda: self._model.invoke(request))

    def _submit(self, work: _Work, payload: bytes, call: Callable[[], Answer]) -> None:
        """Let a call wait for its turn; first settle the oldest when more than one would wait."""
        while sum(1 for sent in self._under_way if sent.answer is not None) > self._settings.concurrent:
            self._settle()
        self._under_way.append(_Sent(work, payload, self._pool.submit(call)))

    def _settle_what_is_there(self) -> None:
        """So that objects that needed no call, or whose calls are over, do not pile up."""
        while self._under_way and ((first := self._under_way[0]).answer is None or first.answer.done()):
            self._settle()

    def _settle(self) -> None:
        """Take the oldest answer, or end the oldest object."""
        sent = self._under_way[0]
        if sent.answer is None:
            self._end(sent.work)
        else:
            self._take(sent.work, sent.payload, sent.answer)
        self._under_way.popleft()

    def _take(self, work: _Work, payload: bytes, coming: Future[Answer]) -> None:
        try:
            answer = self._wait_for(coming)
            if work.failed:
                return
            if not 200 <= answer.status < 300:
                self._log.bad_status(work.source, answer.status, answer.body)
                self._fail(work, CLIENT_ERROR if answer.status < 500 else ALGORITHM_ERROR)
                return
            body = answer.body
            if self._processing:
                body = self._processing.result(payload, body, answer.content_type)
            work.assembler.add(body)
            work.assembler.end_answer()
        except NoAnswerError:
            self._fail(work, ALGORITHM_ERROR, "Unable to get response from algorithm")
        except LargeAnswerError as error:
            self._fail(work, ALGORITHM_ERROR, str(error))
        except ProcessingError as error:
            self._fail(work, CLIENT_ERROR, str(error))
        except ObjectsError as error:  # of an object that is streamed
            self._fail(work, CLIENT_ERROR, f"Unable to read the object: {error.message}")
        except _UnpackErrors as error:
            self._fail(work, CLIENT_ERROR, f"The object is not in Gzip format: {error}")

    def _wait_for(self, coming: Future[Answer]) -> Answer:
        while not coming.done():
            if self._cancelled.is_set():
                raise CancelledError
            self._break_silence()
            wait((coming,), _TICK)
        self._break_silence()
        return coming.result()

    def _break_silence(self) -> None:
        """See to containers that do not answer, before they are asked again."""
        if self._model.is_silent:
            self._on_silence()
            self._model.resume()

    def _end(self, work: _Work) -> None:
        """Store the output, unless a part of it is missing."""
        if work.failed:
            work.assembler.discard()
            return
        work.assembler.close()
        self._writer.upload(work.assembler.file, work.source.output(self._output))
        work.assembler.discard()
        self.done.append(work.source)

    def _fail(self, work: _Work, reason: str, *lines: str) -> None:
        if not work.failed:
            work.failed = True
            self._failures.add(reason)
            self._log.about(work.source, *lines)

    def _opened(self, client: ObjectClient, uri: S3Uri) -> io.BufferedIOBase:
        stream = io.BufferedReader(client.open(uri), _PIECE)
        return gzip.GzipFile(fileobj=stream) if self._given.gzip else stream

    def _pieces(self, uri: S3Uri) -> Iterator[bytes]:
        """The object from its beginning, on a connection of its own."""
        client = self._new_client()
        try:
            source: Readable = self._opened(client, uri)
            while piece := source.read(_PIECE):
                yield piece
        finally:
            client.close()
