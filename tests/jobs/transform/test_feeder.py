"""An instance's objects on their way through a model, with a model server and an S3 in this process."""

from __future__ import annotations

import gzip
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stagemaker.jobs.object_stream import ObjectStream
from stagemaker.jobs.objects import ObjectClient, ObjectsError
from stagemaker.jobs.serving.model_server import Address
from stagemaker.jobs.spec import S3Uri
from stagemaker.jobs.transform import model_client
from stagemaker.jobs.transform.data_log import DataLog
from stagemaker.jobs.transform.failures import ALGORITHM_ERROR, CLIENT_ERROR, Failures
from stagemaker.jobs.transform.feeder import Feeder
from stagemaker.jobs.transform.inputs import InputObject
from stagemaker.jobs.transform.model_client import CancelledError, ModelClient
from stagemaker.jobs.transform.processing import DataProcessing, Format
from stagemaker.jobs.transform.settings import Settings
from stagemaker.jobs.transform.spec import Input, Output, Processing, Split, Strategy
from stagemaker.ports import Credentials

Call = tuple[bytes, dict[str, str]]
Reply = Callable[[bytes, dict[str, str]], tuple[int, bytes]]


class Model:
    """A container: answers `/invocations` with what `reply(body, headers)` says, and keeps what it was sent."""

    def __init__(self, name: str, reply: Reply, parameters: bytes | None = None) -> None:
        self.calls: list[Call] = []
        self.most_at_once = 0
        self.connections = 0
        model, lock, at_once = self, threading.Lock(), 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                model.connections += 1
                super().setup()

            def do_GET(self) -> None:
                self.answer(404 if parameters is None else 200, parameters or b"")

            def do_POST(self) -> None:
                nonlocal at_once
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.chunks() if "chunked" in headers.get("transfer-encoding", "") else self.whole()
                with lock:
                    at_once += 1
                    model.most_at_once = max(model.most_at_once, at_once)
                    model.calls.append((body, headers))
                try:
                    status, answer = reply(body, headers)
                finally:
                    with lock:
                        at_once -= 1
                if status:
                    self.answer(status, answer)
                else:
                    self.close_connection = True

            def whole(self) -> bytes:
                return self.rfile.read(int(self.headers["Content-Length"]))

            def chunks(self) -> bytes:
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", f"text/{name}")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing on the terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.address = Address(name, "127.0.0.1", self._server.server_address[1])

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def bodies(self) -> list[bytes]:
        """What it was sent."""
        return [body for body, _ in self.calls]


class Bucket(ObjectClient):
    """Objects in memory, where the runner has S3."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(Path("none"), "us-east-1", Credentials("k", "s"))
        self.objects = objects

    def open(self, uri: S3Uri) -> ObjectStream:
        """The object as a stream."""
        if uri.key not in self.objects:
            raise ObjectsError("NoSuchKey", "The specified key does not exist.")
        return io.BytesIO(self.objects[uri.key])  # type: ignore[return-value]  # it reads like one

    def upload(self, file: Path, uri: S3Uri, *, kms_key: str | None = None) -> None:
        """Keep the file's bytes."""
        self.objects[uri.key] = file.read_bytes()


@dataclass
class Job:
    """One instance's work, and what came of it."""

    folder: Path
    models: Sequence[Model]
    objects: dict[str, bytes]
    given: dict[str, Any] = field(default_factory=dict)
    by_line: bool = False
    accept: str = ""
    settings: Settings = field(default_factory=lambda: Settings(1, 6, Strategy.MULTI))
    processing: DataProcessing | None = None
    timeout: float = 60.0
    retries: int = 0
    failures: Failures = field(default_factory=Failures)
    cancelled: threading.Event = field(default_factory=threading.Event)
    silences: int = 0

    def run(self) -> Job:
        """Feed all objects below `in/`."""
        given = {"content_type": "text/csv", "gzip": False, "split": Split.LINE, **self.given}
        client = ModelClient(
            [model.address for model in self.models],
            content_type=given["content_type"],
            accept=self.accept,
            timeout=self.timeout,
            retries=self.retries,
            cancelled=self.cancelled,
        )
        feeder = Feeder(
            Input(S3Uri("b", "in/"), "S3Prefix", **given),
            Output(S3Uri("b", "out"), self.accept, by_line=self.by_line),
            self.settings,
            client,
            self.processing,
            lambda: Bucket(self.objects),
            self.folder / "parts",
            DataLog(self.folder / "data.log"),
            self.failures,
            self.cancelled,
            self.silent,
        )
        inputs = [key for key in self.objects if key.startswith("in/")]
        try:
            feeder.feed(InputObject(S3Uri("b", key), key.removeprefix("in/")) for key in inputs)
        finally:
            client.close()
        return self

    def silent(self) -> None:
        """The model did not answer."""
        self.silences += 1

    @property
    def outputs(self) -> dict[str, bytes]:
        """What was stored, by name."""
        return {key.removeprefix("out/"): data for key, data in self.objects.items() if key.startswith("out/")}

    @property
    def log(self) -> list[str]:
        """The data log's lines without their stamps."""
        lines = (self.folder / "data.log").read_text().splitlines()
        return [line.partition("[sagemaker logs]: ")[2] for line in lines]

    @property
    def parts(self) -> list[str]:
        """What lies about."""
        return [file.name for file in (self.folder / "parts").iterdir()]


@pytest.fixture
def model() -> Iterator[Callable[..., Model]]:
    """Makes models: `model(reply)`."""
    made: list[Model] = []

    def make(reply: Reply = lambda body, _: (200, body), name: str = "primary", **options: Any) -> Model:
        made.append(Model(name, reply, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


Make = Callable[..., Model]


def until(happens: Callable[[], bool]) -> None:
    """Wait for what must happen, at most 30 s."""
    give_up = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def small(strategy: Strategy = Strategy.MULTI, concurrent: int = 1) -> Settings:
    """A limit of a megabyte."""
    return Settings(concurrent, 1, strategy)


def test_answers_come_in_the_order_of_the_records(tmp_path: Path, model: Make) -> None:
    """Several requests are under way, never more than MaxConcurrentTransforms, and overtake one another."""

    def reply(body: bytes, _: dict[str, str]) -> tuple[int, bytes]:
        time.sleep(0.02 if int(body) % 3 == 0 else 0.001)
        return 200, body.strip()

    lines = [b"%d\n" % number for number in range(40)]
    server = model(reply)
    settings = small(Strategy.SINGLE, concurrent=4)
    job = Job(tmp_path, [server], {"in/a": b"".join(lines)}, by_line=True, settings=settings).run()
    assert job.outputs == {"a.out": b"".join(lines)}
    assert server.most_at_once <= 4
    assert server.connections <= 4
    assert job.failures.reason is None
    assert job.parts == []


def test_large_object_is_sent_in_payloads_that_fit(tmp_path: Path, model: Make) -> None:
    """MultiRecord: whole lines, each payload as full as it can be, and never more than MaxPayloadInMB."""
    data = b"".join(b"%07d\n" % number for number in range(400_000))
    server = model()
    job = Job(tmp_path, [server], {"in/a": data}, settings=small()).run()
    assert job.outputs["a.out"] == data
    sizes = [len(body) for body in server.bodies]
    assert all(size == 1 << 20 for size in sizes[:-1])
    assert len(sizes) == 4


@pytest.mark.parametrize(("by_line", "expected"), [(True, b"1\n2\n\n"), (False, b"12\n")])
def test_assembling(tmp_path: Path, model: Make, by_line: bool, expected: bytes) -> None:
    """Line ends each answer with one line end, an empty one too; None runs them together."""
    answers = {b"a\n": b"1", b"b\n": b"2\n", b"c\n": b""}
    server = model(lambda body, _: (200, answers[body]))
    objects = {"in/x": b"a\nb\nc\n"}
    job = Job(tmp_path, [server], objects, by_line=by_line, settings=small(Strategy.SINGLE)).run()
    assert job.outputs == {"x.out": expected}


def test_headers_of_a_request(tmp_path: Path, model: Make) -> None:
    """ContentType and Accept; neither when the job has none."""
    server = model()
    Job(tmp_path, [server], {"in/x": b"a"}, accept="application/json").run()
    assert server.calls[0][1]["content-type"] == "text/csv"
    assert server.calls[0][1]["accept"] == "application/json"
    Job(tmp_path, [server], {"in/x": b"a"}, given={"content_type": ""}).run()
    assert not {"content-type", "accept"} & server.calls[1][1].keys()


def test_object_that_fails_leaves_no_output_and_the_others_go_on(tmp_path: Path, model: Make) -> None:
    """A 4XX is the customer's fault, is said once in the data log, and is not tried again."""
    server = model(lambda body, _: (415, b"no such\ntype") if body == b"bad\n" else (200, body))
    objects = {"in/1": b"a\n", "in/2": b"a\nbad\nb\nc\n", "in/3": b"c\n"}
    job = Job(tmp_path, [server], objects, settings=small(Strategy.SINGLE), retries=3).run()
    assert job.outputs == {"1.out": b"a\n", "3.out": b"c\n"}
    assert job.failures.reason == CLIENT_ERROR
    assert server.bodies.count(b"bad\n") == 1
    assert job.log == [
        "b/in/2: ClientError: 415",
        "b/in/2: ",
        "b/in/2: Message:",
        "b/in/2: no such",
        "b/in/2: type",
    ]
    assert job.parts == []


def test_container_that_refuses_a_body_before_it_has_read_it(tmp_path: Path) -> None:
    """Its answer counts, though the sending fails: a body that is too large is the customer's mistake."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked = []

    def refuse() -> None:
        connection, _ = listener.accept()
        with connection:
            asked.append(connection.recv(1000))
            connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")

    thread = threading.Thread(target=refuse, daemon=True)
    thread.start()
    with listener:
        client = ModelClient(
            [Address("primary", "127.0.0.1", listener.getsockname()[1])],
            content_type="",
            accept="",
            timeout=30,
            retries=3,
            cancelled=threading.Event(),
        )
        answer = client.invoke(b"x" * (20 << 20))
        client.close()
    thread.join(timeout=30)
    assert (answer.status, answer.body) == (413, b"big")
    assert len(asked) == 1


def test_server_errors_are_tried_again(tmp_path: Path, model: Make) -> None:
    """InvocationsMaxRetries times; then they are the algorithm's fault."""
    failures = iter([500, 503])
    server = model(lambda body, _: (next(failures, 200), body))
    job = Job(tmp_path, [server], {"in/1": b"a\n"}, retries=2).run()
    assert job.outputs == {"1.out": b"a\n"}
    assert len(server.calls) == 3
    broken = model(lambda _body, _: (500, b"oh"))
    job = Job(tmp_path, [broken], {"in/1": b"a\n"}, retries=1).run()
    assert len(broken.calls) == 2
    assert (job.outputs, job.failures.reason) == ({}, ALGORITHM_ERROR)
    assert "b/in/1: Bad HTTP status received from algorithm: 500" in job.log


def test_model_that_does_not_answer(tmp_path: Path, model: Make) -> None:
    """InvocationsTimeoutInSeconds is for each attempt; a closed connection is no answer either."""
    over = threading.Event()

    def silent(_body: bytes, _: dict[str, str]) -> tuple[int, bytes]:
        over.wait(30)
        return 200, b""

    slow = model(silent)
    job = Job(tmp_path, [slow], {"in/1": b"a\n"}, timeout=0.1, retries=1).run()
    until(lambda: len(slow.calls) == 2)
    over.set()
    assert job.log == ["b/in/1: Unable to get response from algorithm"]
    assert (job.failures.reason, job.silences) == (ALGORITHM_ERROR, 2)
    closing = model(lambda _body, _: (0, b""))
    job = Job(tmp_path, [closing], {"in/1": b"a\n"}).run()
    assert (job.outputs, job.failures.reason) == ({}, ALGORITHM_ERROR)


def test_answer_that_is_too_large_to_hold(tmp_path: Path, model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded whatever a container sends; the next object is transformed."""
    monkeypatch.setattr(model_client, "LARGEST_ANSWER", 1 << 20)
    server = model(lambda body, _: (200, b"x" * (3 << 20) if body == b"large" else body))
    job = Job(tmp_path, [server], {"in/1": b"large", "in/2": b"b"}, retries=3).run()
    assert job.outputs == {"2.out": b"b"}
    assert job.failures.reason == ALGORITHM_ERROR
    assert job.log == ["b/in/1: The answer is larger than 1048576 bytes"]
    assert server.bodies == [b"large", b"b"]


def test_connection_that_was_idle_too_long_is_no_failure(tmp_path: Path, model: Make) -> None:
    """A container may close it between two requests; nothing is lost, without any retry."""
    server = model()
    objects = {"in/1": b"a\n", "in/2": b"b\n"}
    job = Job(tmp_path, [server], objects)
    answers = iter([True, False])

    def reply(body: bytes, _: dict[str, str]) -> tuple[int, bytes]:
        return 200, body

    stale = model(reply)
    handler = stale._server.RequestHandlerClass
    answer = handler.answer  # type: ignore[attr-defined]  # the fake's own

    def answer_and_close(self: Any, status: int, body: bytes) -> None:
        answer(self, status, body)
        self.close_connection = next(answers, False)

    handler.answer = answer_and_close  # type: ignore[attr-defined]  # the fake's own
    job.models = [stale]
    assert job.run().outputs == {"1.out": b"a\n", "2.out": b"b\n"}
    assert len(stale.calls) == 2


def test_record_that_is_too_large_fails_its_object(tmp_path: Path, model: Make) -> None:
    """As AWS words it in the data log."""
    objects = {"in/1": b"a\n" + b"x" * (2 << 20) + b"\nb\n", "in/2": b"b\n"}
    job = Job(tmp_path, [model()], objects, settings=small()).run()
    assert job.outputs == {"2.out": b"b\n"}
    assert job.log == ["b/in/1: Too much data for max payload size"]
    assert job.failures.reason == CLIENT_ERROR


def test_object_without_a_limit_is_sent_in_chunks(tmp_path: Path, model: Make) -> None:
    """MaxPayloadInMB 0: the whole object, from its beginning again when it is tried again."""
    data = bytes(range(256)) * 20_000
    statuses = iter([500, 200])
    server = model(lambda body, _: (next(statuses), body))
    given = {"split": Split.NONE}
    job = Job(tmp_path, [server], {"in/1": data}, given, settings=Settings(1, 0, Strategy.MULTI), retries=1).run()
    assert job.outputs == {"1.out": data}
    assert server.bodies == [data, data]
    assert "content-length" not in server.calls[0][1]


def test_gzip_objects_are_unpacked(tmp_path: Path, model: Make) -> None:
    """One of several members too; what is no gzip fails its object."""
    objects = {
        "in/1.gz": gzip.compress(b"a\n") + gzip.compress(b"b\n"),
        "in/2.gz": b"plain",
        "in/3.gz": gzip.compress(b"c\n" * 1000)[:-9],
    }
    job = Job(tmp_path, [model()], objects, given={"gzip": True}).run()
    assert job.outputs == {"1.gz.out": b"a\nb\n"}
    assert job.failures.reason == CLIENT_ERROR
    assert [line.partition(":")[0] for line in job.log] == ["b/in/2.gz", "b/in/3.gz"]


def test_empty_object(tmp_path: Path, model: Make) -> None:
    """Split by lines it has no record, and an empty output; as a whole it is an empty request."""
    server = model(lambda body, _: (200, b"[%s]" % body))
    assert Job(tmp_path, [server], {"in/1": b""}).run().outputs == {"1.out": b""}
    assert server.calls == []
    assert Job(tmp_path, [server], {"in/1": b""}, given={"split": Split.NONE}).run().outputs == {"1.out": b"[]"}


def test_many_objects_share_the_requests_under_way(tmp_path: Path, model: Make) -> None:
    """Objects that are one request each go beside one another too."""
    gate = threading.Barrier(3, timeout=30)

    def reply(body: bytes, _: dict[str, str]) -> tuple[int, bytes]:
        gate.wait()  # comes to its end only when three are there at once
        return 200, body

    objects = {f"in/{number}": b"%d" % number for number in range(9)}
    settings = small(concurrent=3)
    job = Job(tmp_path, [model(reply)], objects, given={"split": Split.NONE}, settings=settings).run()
    assert job.outputs == {f"{number}.out": b"%d" % number for number in range(9)}


def test_object_that_cannot_be_read_fails_alone(tmp_path: Path, model: Make) -> None:
    """It may have been deleted since the list was made."""
    job = Job(tmp_path, [model()], {"in/1": b"a\n"})
    feeder_objects = job.objects
    job.objects = {"in/gone": b"", **feeder_objects}
    opened = Bucket.open

    def gone(self: Bucket, uri: S3Uri) -> ObjectStream:
        if uri.key == "in/gone":
            raise ObjectsError("NoSuchKey", "The specified key does not exist.")
        return opened(self, uri)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bucket, "open", gone)
        job.run()
    assert job.outputs == {"1.out": b"a\n"}
    assert job.log == ["b/in/gone: Unable to read the object: The specified key does not exist."]


def test_pipeline_hands_content_types_on(tmp_path: Path, model: Make) -> None:
    """Each container's body and type are the next one's; a refusal ends the chain."""
    first = model(lambda body, _: (200, b"1" + body), "first")
    second = model(lambda body, _: (400, b"no") if b"bad" in body else (200, b"2" + body), "second")
    job = Job(tmp_path, [first, second], {"in/1": b"a", "in/2": b"bad"}, accept="text/x").run()
    assert job.outputs == {"1.out": b"21a"}
    assert second.calls[0][1]["content-type"] == "text/first"
    assert second.calls[0][1]["accept"] == "text/x"
    assert job.failures.reason == CLIENT_ERROR


def test_filters_and_join(tmp_path: Path, model: Make) -> None:
    """The model sees what the filter leaves, the output holds record and answer; a wrong count fails the object."""

    def count(body: bytes, _: dict[str, str]) -> tuple[int, bytes]:
        return 200, b"0.5\n" * (body.count(b"\n") + (b"odd" in body))

    server = model(count)
    processing = DataProcessing(Processing("$[1:]", "$[0,-1]", join=True), Format.CSV, None, by_line=True)
    objects = {"in/1": b"id1,1,2\nid2,3,4\n", "in/2": b"id3,odd\n"}
    job = Job(tmp_path, [server], objects, by_line=True, processing=processing).run()
    assert server.bodies[0] == b"1,2\n3,4\n"
    assert job.outputs == {"1.out": b"id1,0.5\nid2,0.5\n"}
    assert job.failures.reason == CLIENT_ERROR


def test_stop_ends_at_once_and_stores_nothing_unfinished(tmp_path: Path, model: Make) -> None:
    """Whatever the model does meanwhile."""
    over, asked = threading.Event(), threading.Event()

    def hang(body: bytes, _: dict[str, str]) -> tuple[int, bytes]:
        if body == b"hang":
            asked.set()
            over.wait(30)
        return 200, body

    objects = {"in/1": b"a", "in/2": b"hang", "in/3": b"b"}
    job = Job(tmp_path, [model(hang)], objects, given={"split": Split.NONE})

    def stop() -> None:
        asked.wait(30)
        job.cancelled.set()

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(CancelledError):
        job.run()
    over.set()
    assert job.outputs == {"1.out": b"a"}
    assert job.parts == []


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (None, {}),
        (b"no json", {}),
        (b"[1]", {}),
        (json.dumps({"MaxPayloadInMB": 8}).encode(), {"MaxPayloadInMB": 8}),
    ],
)
def test_execution_parameters(model: Make, parameters: bytes | None, expected: dict[str, int]) -> None:
    """Optional: what is not 200 and a JSON object is ignored."""
    server = model(parameters=parameters)
    client = ModelClient(
        [server.address], content_type="", accept="", timeout=30, retries=0, cancelled=threading.Event()
    )
    assert client.execution_parameters() == expected
