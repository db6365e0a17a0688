"""ministack, the library behind the embedded backing: everything of it that the stage relies on.

Its service modules are called directly. Its HTTP server is not used: that is where its private paths,
banner, listeners and clean-up of containers are. What the modules lack is mended here by replacing
names of theirs, so each name that the stage touches is in `TOUCHED`, and `load` refuses a ministack
that lacks one.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import ipaddress
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, wraps
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from stagemaker.backing import managed_policies, multipart
from stagemaker.backing.bodies import StoredBody
from stagemaker.backing.checksums import ALGORITHMS, checksum
from stagemaker.backing.encryption import default_encryption
from stagemaker.backing.port import BackingError

VERSION = "1.5.33"

_STATE = "get_state load_persisted_state reset handle_request"
TOUCHED: Mapping[str, str] = {
    "ministack.app": "AUTH _handle_s3_control_request",
    "ministack.core.persistence": "_json_default _json_object_hook",
    "ministack.core.responses": "request_scope fix_error_content_type fix_success_content_type",
    "ministack.services.eventbridge": f"{_STATE} _http_open start_scheduler",
    "ministack.services.iam": (
        f"{_STATE} _access_keys _aws_managed_policies _make_aws_managed_record _now _seed_aws_managed_policies _users"
    ),
    "ministack.services.kms": f"{_STATE} _create_alias _create_key _resolve_key",
    "ministack.services.s3": (
        f"{_STATE} S3_NS S3_PERSIST _NEW_BUCKET_PUBLIC_ACCESS_BLOCK _bucket_default_sse_headers _buckets "
        "_check_put_preconditions _check_sse_c_part _complete_multipart_upload _completed_multipart_uploads "
        "_compute_s3_checksum _delete_persisted_object _error _fire_s3_event_async _maybe_replicate "
        "_multipart_uploads _new_bucket_public_access_block _object_acl _object_annotations _object_legal_hold "
        "_object_retention _object_tags _object_versions _parse_range _persist_delete_marker "
        "_persist_displaced_version _persist_version_state _record_object_version _reschedule_restores "
        "_stored_sse_headers _xml_body cors_preflight cors_response_headers format_head_response fromstring "
        "is_standard_object_request md5_hash now_iso"
    ),
    "ministack.services.secretsmanager": _STATE,
    "ministack.services.sns": f"{_STATE} _HOST _PORT _http_post_sync",
    "ministack.services.sqs": _STATE,
    "ministack.services.ssm": _STATE,
    "ministack.services.sts": "handle_request reset",
}
"""Modules, and the names of theirs that are read, called or replaced."""

_IMPORT_ENVIRONMENT = {"AUTH": "false", "S3_PERSIST": "0", "PERSIST_STATE": "0", "LOCALSTACK_PERSISTENCE": "0"}
"""Read by ministack once, at its import: checks and files are the stage's own."""


@dataclass
class Ministack:
    """The loaded modules, by the last part of their names. One per process: their state is in globals."""

    modules: dict[str, Any]
    changed_keys: set[tuple[str, str]] = field(default_factory=set)
    """(bucket, key) of the objects that ministack has written or deleted since this was last emptied."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self.modules[name]
        except KeyError:
            raise AttributeError(name) from None

    @contextmanager
    def working_for(self, account: str, region: str) -> Iterator[None]:
        """Within the block ministack works for `account` in `region`, whatever key signed a request."""
        with self.responses.request_scope(account, region):
            yield


def load(account: str, region: str, port: int) -> Ministack:
    """Import, check and mend ministack. Raises BackingError that names what is missing.

    `account` and `region` are what ministack falls back on outside a call; `port` is the stage's, for
    the links in SNS messages.
    """
    os.environ.update(MINISTACK_ACCOUNT_ID=account, MINISTACK_REGION=region)
    os.environ.pop("MINISTACK_AUTOCREATE_AWS_MANAGED", None)  # would make unknown managed policies that allow all
    ministack = _load()
    ministack.sns._HOST, ministack.sns._PORT = "127.0.0.1", str(port)
    return ministack


@cache
def _load() -> Ministack:
    with _undisturbed():
        ministack = Ministack({name.rpartition(".")[2]: _checked(name, names.split()) for name, names in TOUCHED.items()})
    _quieten()
    _mend(ministack)
    return ministack


def _checked(name: str, names: list[str]) -> ModuleType:
    """The module `name`, if it has `names`."""
    try:
        found = importlib.metadata.version("ministack")
        module = importlib.import_module(name)
    except ImportError as error:
        raise BackingError(f"the embedded backing needs ministack {VERSION}: {error}") from error
    if missing := [attribute for attribute in names if not hasattr(module, attribute)]:
        raise BackingError(
            f"the embedded backing is written for ministack {VERSION}, and {found} is installed: "
            f"its module {name} has no {', '.join(missing)}. Install ministack=={VERSION}."
        )
    return module


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Import with our settings, and without its `logging.basicConfig` (which does nothing once there is a handler)."""
    before = {name: os.environ.get(name) for name in _IMPORT_ENVIRONMENT}
    os.environ.update(_IMPORT_ENVIRONMENT)
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _quieten() -> None:
    """Its loggers (`s3`, `iam` ...) report to `stagemaker.backing.ministack`, which by default tells nobody."""
    ours = logging.getLogger("stagemaker.backing.ministack")
    ours.addHandler(logging.NullHandler())
    ours.propagate = False
    ours.setLevel(logging.WARNING)
    for name, module in list(sys.modules.items()):
        if name.startswith("ministack.") and isinstance(logger := getattr(module, "logger", None), logging.Logger):
            logger.parent = ours


def _mend(ministack: Ministack) -> None:
    s3, iam = ministack.s3, ministack.iam
    # Bodies that lie on the disk (see bodies.py).
    s3.md5_hash = _of_stored_bodies(s3.md5_hash, StoredBody.md5)
    s3._compute_s3_checksum = _compute_checksum
    s3._complete_multipart_upload = lambda *arguments: multipart.complete(ministack, *arguments)
    # Which keys to write to the disk (see object_index.py). ministack calls the first of these for each
    # new version, and the others where it would write or delete files of its own.
    s3._record_object_version = _noting(ministack, s3._record_object_version)
    for name in ("_persist_delete_marker", "_persist_version_state", "_delete_persisted_object"):
        setattr(s3, name, _noting(ministack, _nothing))
    s3._persist_displaced_version = _nothing
    # As on AWS since 2023, whoever authenticates: new buckets block public access, and all objects are encrypted.
    block = {"_public_access_block": s3._NEW_BUCKET_PUBLIC_ACCESS_BLOCK}
    s3._new_bucket_public_access_block = block.copy
    explicit = s3._bucket_default_sse_headers
    s3._bucket_default_sse_headers = lambda bucket: default_encryption(ministack, explicit(bucket))
    # Managed policies that it lacks, again after each reset.
    seed = iam._seed_aws_managed_policies
    iam._seed_aws_managed_policies = lambda: (seed(), managed_policies.add(ministack))
    managed_policies.add(ministack)
    # Nothing leaves the machine.
    post = ministack.sns._http_post_sync
    ministack.sns._http_post_sync = lambda endpoint, *rest: post(_loopback(endpoint), *rest)
    open_request = ministack.eventbridge._http_open
    ministack.eventbridge._http_open = lambda request, *rest: (_loopback(request.full_url), open_request(request, *rest))[1]


def _of_stored_bodies(original: Callable[..., Any], method: Callable[[StoredBody], Any]) -> Callable[[bytes], Any]:
    return lambda data: method(data) if isinstance(data, StoredBody) else original(data)


def _compute_checksum(algorithm: str, body: bytes) -> str | None:
    """`s3._compute_s3_checksum`: base64, None for an algorithm that S3 does not know."""
    algorithm = (algorithm or "").upper().replace("_", "")
    if algorithm not in ALGORITHMS:
        return None
    return body.checksum(algorithm) if isinstance(body, StoredBody) else checksum(algorithm, [body])


def _noting(ministack: Ministack, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def noted(bucket: str, key: str, *rest: Any) -> Any:
        ministack.changed_keys.add((bucket, key))
        return function(bucket, key, *rest)

    return noted


def _nothing(*_: object) -> None:
    """In place of what wrote ministack's own files."""


def _loopback(url: str) -> str:
    """`url`, if its host is this machine. Raises PermissionError."""
    host = urlsplit(url).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
    if not local:
        raise PermissionError(f"nothing leaves the machine: {url} is not a loopback address")
    return url
