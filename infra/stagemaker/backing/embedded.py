"""The backing in this process: ministack's services behind our gateway, with state that survives a kill."""

# ruff: noqa: SLF001 - private names of ministack are what this is about; ministack_patches.TOUCHED lists them

from __future__ import annotations

import asyncio
import logging
import shutil
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from stagemaker.backing import s3_calls
from stagemaker.backing.answers import content_type, error_answer, send_answer
from stagemaker.backing.bodies import Bodies
from stagemaker.backing.call import Call, read_call, service_of
from stagemaker.backing.changes import Changes
from stagemaker.backing.intake import ClientGoneError, receive_small
from stagemaker.backing.journal import Change, Journal
from stagemaker.backing.ministack_patches import Ministack, load
from stagemaker.backing.object_index import ObjectIndex
from stagemaker.backing.port import ZERO_COPY, BackingError, Message, Receive, Scope, Send
from stagemaker.backing.services import SERVICES, States, may_change, operation
from stagemaker.ports import PortError
from stagemaker.wire.errors import AwsError, UnsupportedError
from stagemaker.wire.message import Reply, Request

_LOG = logging.getLogger(__name__)
_SETTLE_SECONDS = 1.0
_TRASH = ".trash-"


@dataclass
class _Account:
    """One life of the account, from the start or a reset to the next."""

    journal: Journal
    bodies: Bodies
    states: States
    index: ObjectIndex


class EmbeddedBacking:
    """ministack in this process. Its state is in globals, so one of these runs at a time."""

    def __init__(self, state: Path, account: str, region: str, port: int) -> None:
        """`state` is a folder for the backing alone; `region` the default one; `port` that of the stage's API."""
        self._folder = state
        self._account_id, self._region, self._port = account, region, port
        self._account: _Account | None = None
        self._no_reset = asyncio.Event()
        self._no_reset.set()
        self._ministack: Ministack
        self._settling: asyncio.Task[None] | None = None
        self._unsettled: set[str] = set()

    async def start(self) -> None:
        """Open the state. Raises BackingError: another ministack, or a folder that cannot be used."""
        self._ministack = load(self._account_id, self._region, self._port)
        if self._ministack.taken:
            raise BackingError("an embedded backing runs in this process already")
        self._remove_trash()
        self._account = self._open()
        self._ministack.taken = True
        if self._account.states.is_saved("events"):  # rules on a schedule fire without being asked
            self._load("events", self._account)
        self._settling = asyncio.create_task(self._settle_for_ever())

    async def stop(self) -> None:
        """Write what background work has changed, and let go of the files."""
        if self._settling is not None:
            self._settling.cancel()
            with suppress(asyncio.CancelledError):
                await self._settling
            self._settling = None
        if self._account is not None:
            account = self._account
            try:
                await self._keep(account, Changes(services=set(SERVICES)))
            except AwsError as error:
                _LOG.error("the backing's last changes are not kept: %s", error.message)
            self._account = None
            await account.journal.close()
            self._forget()
            self._ministack.taken = False

    async def reset(self) -> None:
        """Empty the account. Calls that are under way end with an error; others wait a moment."""
        old, self._account = self._running(), None
        self._no_reset.clear()
        try:
            self._unsettled.clear()
            await old.journal.close()
            aside = self._folder.with_name(f"{self._folder.name}{_TRASH}{uuid.uuid4().hex[:8]}")
            self._folder.rename(aside)
        finally:
            self._account = self._open()
            self._no_reset.set()
        self._remove_trash()

    async def register_access_key(self, user: str, key_id: str) -> None:
        """List an access key that was not made by CreateAccessKey. Its secret stays with whoever made it."""
        account = self._running()
        with self._ministack.working_for(self._account_id, self._region):
            self._load("iam", account)
            record = {"UserName": user, "AccessKeyId": key_id, "SecretAccessKey": "", "Status": "Active"}
            self._ministack.iam._access_keys.setdefault(key_id, {**record, "CreateDate": self._ministack.iam._now()})
            await self._keep(account, Changes(services={"iam"}))

    async def put_event(
        self, source: str, detail_type: str, detail: str, *, resources: Sequence[str], region: str
    ) -> None:
        """The port `Events`: an event of a service of ours, with a source that clients may not use."""
        await self._no_reset.wait()
        account = self._running()
        if not (account.states.is_saved("events") or account.states.is_loaded("events")):
            return  # there has never been a rule that could match
        entry = {"Source": source, "DetailType": detail_type, "Detail": detail, "Resources": list(resources)}
        with self._ministack.working_for(self._account_id, region):
            self._load("events", account)
            self._ministack.eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
            reached = {"events", *SERVICES["events"].reaches}
            self._unsettled.update(reached)
            try:
                await self._keep(account, Changes(services=reached))
            except AwsError as error:
                raise PortError(error.code, error.message) from error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry out one client call (ASGI, http); see `Backing`."""
        call = read_call(scope, self._region)
        request_id = uuid.uuid4().hex[:16].upper()
        try:
            status, headers, body = await self._carry_out(call, receive)
        except ClientGoneError:
            return
        except AwsError as error:
            status, headers, body = error_answer(error, call, request_id)
        except Exception:  # noqa: BLE001 - whatever it is, the client gets an answer
            _LOG.exception("%s %s of %s failed", call.method, call.path, call.service)
            failure = AwsError("InternalError", "We encountered an internal error. Please try again.", 500)
            status, headers, body = error_answer(failure, call, request_id)
        name = "x-amz-request-id" if call.service == "s3" else "x-amzn-requestid"
        if name not in {each.lower() for each in headers}:
            headers = {**headers, name: request_id}
        await send_answer(send, call.method, status, headers, body, zero_copy=ZERO_COPY in scope.get("extensions", {}))

    async def send(self, request: Request, *, region: str, service: str | None = None) -> Reply:
        """Carry out a call of the stage's own as the account's root; see `Backing`."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        service = service or service_of(headers, request.query, request.body)
        headers.setdefault("host", f"127.0.0.1:{self._port}")
        headers["content-length"] = str(len(request.body))
        scope = {
            "type": "http",
            "method": request.method,
            "path": unquote(request.path),
            "query_string": request.query.encode(),
            "headers": [(name.encode("latin-1"), value.encode()) for name, value in headers.items()],
            "extensions": {"stagemaker": {"service": service, "region": region}},
        }
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def collect(message: Message) -> None:
            sent.append(message)

        await self(scope, receive, collect)
        pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in sent[0]["headers"])
        return Reply(sent[0]["status"], dict(pairs), b"".join(message.get("body", b"") for message in sent[1:]))

    async def _carry_out(self, call: Call, receive: Receive) -> s3_calls.Answer:
        if call.service not in SERVICES:
            raise UnsupportedError(f"Stagemaker does not serve {call.service}. docs/fidelity.md says what it does.")
        await self._no_reset.wait()
        account = self._running()
        with self._ministack.working_for(self._account_id, call.region):
            self._load(call.service, account)
            if call.service == "s3":
                return await self._carry_out_s3(account, call, receive)
            body = await receive_small(receive)
            name = operation(call, body)
            self._check_current(account)
            handler = account.states.module(call.service).handle_request
            status, headers, content = await handler(call.method, call.path, call.headers, body, call.query)
            if may_change(name):
                reaches = SERVICES[call.service].reaches
                await self._keep(account, Changes(services={call.service, *reaches}))
                self._unsettled.update(reaches)  # for what a thread of ministack's does after the answer
            headers = {each: value for each, value in headers.items() if not each.lower().startswith("access-control-")}
            return status, {**headers, "Content-Type": content_type(call, headers)}, content

    async def _carry_out_s3(self, account: _Account, call: Call, receive: Receive) -> s3_calls.Answer:
        body = await s3_calls.take_in(self._ministack, account.bodies, call, receive)
        try:
            async with s3_calls.copied_part_digested(self._ministack, account.bodies, call):
                self._check_current(account)
                answer = await s3_calls.carry_out(self._ministack, call, body)
            changes = s3_calls.changed(call, answer)
            changes.add(self._ministack.take_changes())
            if changes:
                await self._keep(account, changes)
        finally:
            account.bodies.discard_unused(body)
        if call.method not in {"GET", "HEAD"}:
            self._unsettled.update(SERVICES["s3"].reaches)
        return answer

    def _running(self) -> _Account:
        if self._account is None:
            raise BackingError("the backing is not running")
        return self._account

    def _check_current(self, account: _Account) -> None:
        if account is not self._account:
            raise AwsError("InternalError", "The account was emptied while this call was under way.", 500)

    def _open(self) -> _Account:
        """The account as the folder has it. Raises BackingError."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            journal = Journal(self._folder / "backing.db")
            bodies = Bodies(self._folder / "objects", journal)
            bodies.prepare()
        except OSError as error:
            raise BackingError(f"cannot use the folder {self._folder}: {error.strerror}") from error
        self._forget()
        states = States(self._ministack, journal.services())
        return _Account(journal, bodies, states, ObjectIndex(self._ministack, bodies, journal))

    def _forget(self) -> None:
        """Empty ministack's memory."""
        for service in SERVICES.values():
            if module := self._ministack.imported.get(service.module):
                module.reset()
        self._ministack.take_changes()

    def _load(self, service: str, account: _Account) -> None:
        """Bring the state of `service` into memory, if it is not there yet."""
        new = account.states.load(service)
        if "s3" in new:
            with self._ministack.working_for(self._account_id, self._region):
                account.index.load()
        if "events" in new:
            self._ministack.eventbridge.start_scheduler()

    async def _keep(self, account: _Account, changes: Changes) -> None:
        """Have the disk keep `changes`. Raises AwsError InternalError (500) when it refuses."""
        with self._ministack.working_for(self._account_id, self._region):
            change = account.index.snapshot(changes)
        change.services = account.states.changed(changes.services)
        if change == Change():
            return
        try:
            await account.index.write(change)
        except AwsError:
            self._unsettled.update(changes.services)
            raise
        account.states.written(change.services)

    async def _settle_for_ever(self) -> None:
        """Keep what changes outside calls: deliveries and schedules, and what the disk refused before."""
        failing = False
        while True:
            await asyncio.sleep(_SETTLE_SECONDS)
            if self._account is None:  # a reset is under way
                continue
            services, self._unsettled = self._unsettled, set()
            if self._account.states.is_loaded("events"):  # a schedule may have fired
                services |= {"events", *SERVICES["events"].reaches}
            try:
                await self._keep(self._account, Changes(services=services))
                failing = False
            except Exception as error:  # noqa: BLE001 - it must go on: this is what tries again
                if not failing:
                    _LOG.warning("the backing cannot write its state: %s", error)
                failing = True

    def _remove_trash(self) -> None:
        """Delete, in a thread, what resets have put aside."""
        for folder in self._folder.parent.iterdir() if self._folder.parent.exists() else ():
            if folder.name.startswith(self._folder.name + _TRASH):
                asyncio.get_running_loop().run_in_executor(None, shutil.rmtree, folder, True)
