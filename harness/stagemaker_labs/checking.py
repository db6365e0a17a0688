"""What a lab's `checks.py` uses: the account to ask, `wrong` to say what falls short, `after` to stand on a check.

The plugin provides the fixture `account` (one for each lab, scope "module").
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from stagemaker_labs import isolation, progress
from stagemaker_labs.isolation import HelperFailed
from stagemaker_labs.lab import Lab
from stagemaker_labs.problem import Card
from stagemaker_labs.stage import Environment
from stagemaker_labs.workspace import Workspace

__all__ = ["Account", "HelperFailed", "TooLarge", "Wrong", "after", "wrong"]

AFTER = "__stagemaker_after__"
"""The attribute in which a check keeps those that it stands on."""

ASK_LIMIT = 10
"""Seconds to connect and to wait for the next bytes; a stage that takes longer could not be asked."""

DOWNLOAD_LIMIT = 512 * 1024 * 1024

Check = TypeVar("Check", bound=Callable[..., object])


class Wrong(Exception):  # noqa: N818  not an error but a finding
    """The work falls short in the way that `card` tells. Raised by `wrong`, turned into a failed check."""

    def __init__(self, card: Card) -> None:
        super().__init__(card.found)
        self.card = card


class TooLarge(Exception):  # noqa: N818  reads as what it is
    """An object is larger than a check is willing to download."""


def wrong(*, looked_at: str, found: str, expected: str, likely: str = "", next: str = "") -> NoReturn:  # noqa: A002  the card's own word
    """Fail the check with a card. Without `next` the card says to edit `work/lab.py` and to run the lab again."""
    raise Wrong(Card(str(looked_at), str(found), str(expected), str(likely), str(next)))


def after(*prerequisites: Callable[..., object]) -> Callable[[Check], Check]:
    """Skip the decorated check unless all `prerequisites`, checks of the same file, passed."""

    def mark(check: Check) -> Check:
        setattr(check, AFTER, (*getattr(check, AFTER, ()), *prerequisites))
        return check

    return mark


class Account:
    """The account that is judged, as the learner sees it.

    Facts: `account_id`, `region`, `role_arn` (the execution role), `prefix` and `bucket` (LAB_PREFIX, LAB_BUCKET),
    `target`, `data_folder` (LAB_DATA), `lab`, `proxy` (by which AWS's own hosts are reached; empty on AWS), `since`
    (when the lab was begun again; None when it never was): what cannot be deleted and is older is no work of now.
    """

    def __init__(
        self,
        workspace: Workspace,
        environment: Environment,
        lab_variables: Mapping[str, str],
        admin: Callable[[], Environment],
    ) -> None:
        self.lab: Lab = workspace.lab
        self.account_id = environment.account_id
        self.region = environment.region
        self.role_arn = environment.role_arn
        self.prefix = lab_variables["LAB_PREFIX"]
        self.bucket = lab_variables["LAB_BUCKET"]
        self.target = lab_variables["LAB_TARGET"]
        self.data_folder = Path(lab_variables["LAB_DATA"])
        self.proxy = environment.variables.get("HTTP_PROXY", "")
        reset_at = progress.load(workspace.hidden).reset_at
        self.since = datetime.fromisoformat(reset_at) if reset_at else None
        self._workspace = workspace
        self._environment = environment
        self._ask_admin = admin
        self._admin: Environment | None = None
        self._clients: dict[tuple[str, bool], Any] = {}
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def client(self, service: str) -> Any:
        """A boto3 client of `service` with the learner's key; kept for the rest of the run."""
        return self._client(service, admin=False)

    def admin_client(self, service: str) -> Any:
        """A boto3 client of `service` with the administrator's key, for what the learner may not see."""
        return self._client(service, admin=True)

    def held_back(self, name: str) -> Path:
        """The file that `lab.toml` calls `name` under `held_back`, which the learner is never given."""
        return self.lab.held_back_file(name)

    def isolated(
        self, script: Path | str, payload: Mapping[str, Any], timeout: float = 60, *, reuse_key: str | None = None
    ) -> dict[str, Any]:
        """What `script` (relative to the lab's folder) answers to `payload` in a process without credentials.

        `payload` comes as one JSON object on stdin; the last line of stdout is the answer, one JSON object. With
        `reuse_key`, which names all that the answer depends on beside the script, an answer is kept and used again.
        Raises HelperFailed.
        """
        file = self.lab.folder / script
        kept = self._workspace.hidden / "answers"
        reuse = None if reuse_key is None else kept / isolation.reuse_name(file, reuse_key)
        return isolation.ask(file, payload, timeout=timeout, reuse=reuse)

    def download(self, bucket: str, key: str, *, limit: int = DOWNLOAD_LIMIT) -> Path:
        """The object in a temporary file that is gone after the run. Raises TooLarge above `limit` bytes."""
        answer = self.client("s3").get_object(Bucket=bucket, Key=key)
        # Not `with ... as body`: botocore's StreamingBody gives its raw stream there, which has no iter_chunks.
        body = answer["Body"]
        with body:
            if answer["ContentLength"] > limit:
                raise TooLarge(f"s3://{bucket}/{key} has {answer['ContentLength']:,} bytes; a check reads {limit:,}")
            if self._temporary is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="stagemaker-check-")
            descriptor, name = tempfile.mkstemp(dir=self._temporary.name, suffix="-" + Path(key).name[-40:])
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(body.iter_chunks(1024 * 1024))
        return Path(name)

    def close(self) -> None:
        """Close the clients and delete what was downloaded."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self._temporary:
            self._temporary.cleanup()
            self._temporary = None

    def _client(self, service: str, *, admin: bool) -> Any:
        key = (service, admin)
        if key not in self._clients:
            self._clients[key] = self._make_client(service, self._admin_environment() if admin else self._environment)
        return self._clients[key]

    def _admin_environment(self) -> Environment:
        if self._admin is None:
            self._admin = self._ask_admin()
        return self._admin

    def _make_client(self, service: str, environment: Environment) -> Any:
        # boto3 costs 0.2 s: only a run that asks the account pays it.
        import boto3
        from botocore.config import Config

        variables = environment.variables
        session: Any = boto3.session.Session(
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=variables.get("AWS_SESSION_TOKEN"),
            region_name=environment.region,
        )
        config = Config(
            connect_timeout=ASK_LIMIT,
            read_timeout=ASK_LIMIT,
            retries={"total_max_attempts": 2, "mode": "standard"},
            # A proxy of the shell's would take calls to the loopback address away from the stage.
            proxies={},
        )
        return session.client(service, endpoint_url=environment.endpoint, config=config)
