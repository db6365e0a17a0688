"""The backing in LocalStack: calls that the gateway has authorised go there over HTTP.

LocalStack checks no key and no policy, and forgets everything when it ends. The first is what the
identity room is for; the second is noticed here, and told to whoever keeps the rest of the account.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpcore

from stagemaker.backing.answers import error_answer, send_answer
from stagemaker.backing.call import Call, read_call, service_of
from stagemaker.backing.configurations import checked_configuration, sets_configuration
from stagemaker.backing.intake import ClientGoneError, receive_s3, receive_small
from stagemaker.backing.localstack_emptying import EMPTYING, empty
from stagemaker.backing.localstack_http import (
    FAILURES,
    Connections,
    Headers,
    Outgoing,
    describes_body,
    held_back,
    returned_headers,
    sent_headers,
)
from stagemaker.backing.localstack_memory import Found, Memory
from stagemaker.backing.localstack_mending import (
    added_headers,
    claimed_sources,
    is_put_events,
    own_queue_urls,
    with_refused,
)
from stagemaker.backing.port import BackingError, Receive, Scope, Send
from stagemaker.ports import PortError
from stagemaker.wire.errors import AwsError, UnsupportedError
from stagemaker.wire.message import Reply, Request

_LOG = logging.getLogger(__name__)

START_SECONDS = 20.0
"""How long a LocalStack that is still starting is waited for."""

PATIENCE_SECONDS = 5.0
"""How long a call waits while it is found out whether LocalStack is still the same."""

CHECK_SECONDS = 20.0
"""Between two looks at the mark while the connection stays open: another stage may have taken the account over."""

_RETRY_SECONDS = 0.5


class LocalStackBacking:
    """LocalStack at `url` (http). `folder` keeps what is remembered of it, `endpoint` is the stage's own address."""

    def __init__(self, url: str, account: str, region: str, folder: Path, endpoint: str) -> None:
        self.url = url
        self._account, self._region, self._endpoint = account, region, endpoint
        self._connections = Connections(url)
        self._file = folder / "localstack.json"
        self._memory: Memory
        self._usable = asyncio.Event()
        self._why_not = f"LocalStack at {url} does not answer"
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Wait until LocalStack can keep an object and give it back. Raises BackingError when it does not."""
        self._memory = Memory(self._file, self._account, self._iam)
        deadline = time.monotonic() + START_SECONDS
        while problem := await self._problem():
            if time.monotonic() > deadline:
                raise BackingError(
                    f"no LocalStack that works at {self.url}: {problem}\n"
                    "Start one (docker compose up -d localstack), or name another: --backing-url http://HOST:PORT"
                )
            await asyncio.sleep(_RETRY_SECONDS)

    async def watch(self, forgotten: Callable[[], Awaitable[None]]) -> None:
        """From now on, call `forgotten` whenever LocalStack has been started anew; also when that was before.

        It must empty what describes the old account and seed the new one; calls of clients wait meanwhile.
        """
        await self._compare(forgotten, running=False)
        self._usable.set()
        self._watching = asyncio.create_task(self._watch(forgotten), name="localstack")

    async def stop(self) -> None:
        """Close the connections. LocalStack keeps the account for as long as it runs."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None
        await self._connections.close()

    async def reset(self) -> None:
        """Empty the account, service by service. Raises BackingError when LocalStack refuses."""

        async def send(request: Request, service: str, region: str) -> Reply:
            return await self.send(request, service=service, region=region)

        await empty(send, self._memory.used, self._region)

    async def send(self, request: Request, *, region: str, service: str | None = None) -> Reply:
        """Carry out a call of the stage's own as the account's root; see `Backing`. Raises AwsError (503)."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        service = service or service_of(headers, request.query, request.body)
        self._memory.note((service, region))
        return await self._send(request, self._account, service, region)

    async def put_event(
        self, source: str, detail_type: str, detail: str, *, resources: Sequence[str], region: str
    ) -> None:
        """The port `Events`: an event of a service of ours, with a source that clients may not use."""
        entry = {"Source": source, "DetailType": detail_type, "Detail": detail, "Resources": list(resources)}
        headers = {"x-amz-target": "AWSEvents.PutEvents", "content-type": "application/x-amz-json-1.1"}
        request = Request("POST", "/", "", headers, json.dumps({"Entries": [entry]}).encode())
        try:
            reply = await self.send(request, service="events", region=region)
        except AwsError as error:
            raise PortError(error.code, error.message) from error
        if reply.status != 200:
            raise PortError(str(reply.status), f"LocalStack does not take an event: {reply.body!r}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry out one client call (ASGI, http); see `Backing`."""
        call = read_call(scope, self._region)
        try:
            await self._carry_out(call, scope, receive, send)
        except ClientGoneError:
            return
        except AwsError as error:
            request_id = uuid.uuid4().hex[:16].upper()
            status, headers, body = error_answer(error, call, request_id)
            name = "x-amz-request-id" if call.service == "s3" else "x-amzn-requestid"
            await send_answer(send, call.method, status, {name: request_id, **headers}, body)

    async def _carry_out(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        if call.service not in EMPTYING:
            raise UnsupportedError(f"Stagemaker does not serve {call.service}. docs/fidelity.md says what it does.")
        await self._be_usable()
        self._memory.note((call.service, call.region))
        if is_put_events(call):
            await self._put_events(call, receive, send)
            return
        outgoing = await self._outgoing(call, scope, receive)
        begun = False
        try:
            async with self._connections.exchange(outgoing) as answer:
                headers = returned_headers(answer.headers)
                if call.service == "sqs":
                    body = own_queue_urls(call, await answer.aread(), self._endpoint)
                    names = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
                    await send_answer(send, call.method, answer.status, {**names, "content-length": len(body)}, body)
                    return
                begun = True
                await send({"type": "http.response.start", "status": answer.status, "headers": headers})
                async for piece in answer.aiter_stream():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except httpcore.LocalProtocolError as error:
            raise AwsError("InvalidRequest", f"The request is not HTTP/1.1: {error}") from error
        except FAILURES as error:
            if begun:  # too late for an answer: the client sees that it is cut short
                _LOG.warning("%s %s: LocalStack broke off: %s", call.method, call.path, error)
                return
            raise self._unavailable(error) from error

    async def _put_events(self, call: Call, receive: Receive, send: Send) -> None:
        """A client's PutEvents; see `is_put_events`."""
        body, claimed, count = claimed_sources(await receive_small(receive))
        status, headers, answer = 200, {"content-type": call.headers.get("content-type", "")}, b""
        if not claimed or len(claimed) < count:
            reply = await self._send(
                Request("POST", "/", "", call.headers, body), self._account, call.service, call.region
            )
            assert isinstance(reply.body, bytes)
            status, headers, answer = reply.status, dict(reply.headers), reply.body
        if status == 200 and claimed:
            answer = with_refused(answer, claimed, count)
        await send_answer(send, call.method, status, {**headers, "content-length": str(len(answer))}, answer)

    async def _outgoing(self, call: Call, scope: Scope, receive: Receive) -> Outgoing:
        path = scope.get("raw_path") or scope["path"].encode()
        target = path + b"?" + scope["query_string"] if scope["query_string"] else path

        def headers(length: int | None = None) -> Headers:
            return sent_headers(
                [*scope["headers"], *added_headers(call)],
                account=self._account,
                region=call.region,
                service=call.service,
                length=length,
            )

        if sets_configuration(call):
            content = checked_configuration(call, await receive_s3(receive, call.headers, None))
            kept = [(name, value) for name, value in headers(len(content)) if not describes_body(name)]
            return Outgoing(call.method, target, kept, content)
        if call.service == "s3":
            checked_configuration(call, b"")  # the tags in the headers
        if "content-length" not in call.headers:
            if call.method == "PUT" and call.service == "s3" and call.key and not call.query:
                raise AwsError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
            content = await receive_small(receive)
            length = len(content) if content or call.method in {"PUT", "POST"} else None
            return Outgoing(call.method, target, headers(length), content)
        pieces = held_back(receive, call.headers)
        # Before the headers go out: LocalStack acts on an empty body without waiting for it.
        first = await anext(pieces, b"")
        return Outgoing(call.method, target, headers(), _chained(first, pieces))

    async def _send(self, request: Request, account: str, service: str, region: str) -> Reply:
        pairs = [(name.encode("latin-1"), value.encode()) for name, value in request.headers.items()]
        headers = sent_headers(pairs, account=account, region=region, service=service, length=len(request.body))
        target = f"{request.path}?{request.query}" if request.query else request.path
        try:
            async with self._connections.exchange(
                Outgoing(request.method, target.encode("latin-1"), headers, request.body)
            ) as answer:
                body = await answer.aread()
                pairs = returned_headers(answer.headers)
                found = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
                return Reply(answer.status, found, body)
        except FAILURES as error:
            raise self._unavailable(error) from error

    async def _iam(self, account: str, action: str, **parameters: str) -> Reply:
        body = urlencode({"Action": action, "Version": "2010-05-08", **parameters}).encode()
        form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        return await self._send(Request("POST", "/", "", form, body), account, "iam", "us-east-1")

    async def _problem(self) -> str:
        """Why LocalStack cannot be used; empty when it can. Its health page says "ready" where every call is a 500."""
        bucket, content = f"/stagemaker-probe-{uuid.uuid4().hex[:12]}", uuid.uuid4().bytes
        steps = (
            Request("PUT", bucket, "", {}),
            Request("PUT", f"{bucket}/probe", "", {}, content),
            Request("GET", f"{bucket}/probe", "", {}),
            Request("DELETE", f"{bucket}/probe", "", {}),
            Request("DELETE", bucket, "", {}),
        )
        try:
            for step in steps:
                reply = await self._send(step, self._account, "s3", "us-east-1")
                assert isinstance(reply.body, bytes)
                if reply.status >= 300 or (step.method == "GET" and reply.body != content):
                    return f"{step.method} {step.path} was answered by {reply.status} {reply.body[:200]!r}"
        except AwsError as error:
            return error.message
        return ""

    async def _be_usable(self) -> None:
        if not self._usable.is_set():
            try:
                await asyncio.wait_for(self._usable.wait(), PATIENCE_SECONDS)
            except TimeoutError:
                raise AwsError("ServiceUnavailable", f"{self._why_not}.", 503) from None

    def _unavailable(self, error: Exception) -> AwsError:
        return AwsError("ServiceUnavailable", f"LocalStack at {self.url} does not answer: {_words(error)}.", 503)

    async def _watch(self, forgotten: Callable[[], Awaitable[None]]) -> None:
        """Hold a connection open. A process that ends closes it, so as long as it is open LocalStack is the same."""
        address, silent = urlsplit(self.url), False
        while True:
            try:
                reader, writer = await asyncio.open_connection(address.hostname, address.port or 80)
            except OSError as error:
                self._usable.clear()
                if not silent:
                    _LOG.warning("LocalStack at %s does not answer: %s", self.url, _words(error))
                silent = True
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            try:
                await self._compare(forgotten, running=True)
                self._usable.set()
                if silent:
                    _LOG.warning("LocalStack at %s answers again", self.url)
                silent = False
                while not await _closed(reader, CHECK_SECONDS):
                    await self._compare(forgotten, running=True)
            except Exception as error:  # noqa: BLE001 - it must go on: this is what finds LocalStack again
                self._why_not = str(error)
                if not silent:
                    _LOG.warning("%s", error, exc_info=not isinstance(error, AwsError | BackingError))
                silent = True
                await asyncio.sleep(_RETRY_SECONDS)
            finally:
                self._usable.clear()
                writer.close()

    async def _compare(self, forgotten: Callable[[], Awaitable[None]], *, running: bool) -> None:
        """Is it the LocalStack that holds the account? Raises BackingError when another stage has it now."""
        found = await self._memory.look()
        if found is Found.SAME:
            return
        if found is Found.OTHERS and running:
            raise BackingError(
                f"another stage has taken over account {self._account} of LocalStack at {self.url}. "
                "Stop one of the two, or give one another --account"
            )
        if found is Found.FIRST:
            # It may hold things already, made before this stage or past it: a reset must find them.
            self._memory.note(*((service, self._region) for service in EMPTYING))
        else:
            _LOG.warning(
                "LocalStack at %s is not the one that held this account (%s): what the stage knew of it, jobs, "
                "logs and metrics too, is gone. The account begins anew.",
                self.url,
                found.value,
            )
            await forgotten()
        await self._memory.claim()


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for piece in rest:
        yield piece


async def _closed(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Whether the other side closes the connection, on which it says nothing, within so many seconds."""
    try:
        await asyncio.wait_for(reader.read(), seconds)
    except TimeoutError:
        return False
    return True


def _words(error: Any) -> str:
    return str(error) or type(error).__name__
