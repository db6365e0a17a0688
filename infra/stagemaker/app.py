"""The composition root: builds the parts of a stage and hands each what it needs."""

from __future__ import annotations

import logging
import os

from stagemaker.algorithms.xgboost import definition as xgboost
from stagemaker.backing.embedded import EmbeddedBacking
from stagemaker.cloudwatch.service import CloudWatchService
from stagemaker.gateway.asgi import Receive, Scope, Send
from stagemaker.gateway.control import Control
from stagemaker.gateway.gateway import Gateway
from stagemaker.gateway.inside import GatewayObjects
from stagemaker.identity.keys import KeyFile
from stagemaker.identity.room import Identity
from stagemaker.jobs.images import Algorithm, ProcessImages
from stagemaker.jobs.spec import MetricDefinition
from stagemaker.logs.service import LogsService
from stagemaker.sagemaker.service import SageMakerService
from stagemaker.sagemaker.training_job import Neighbours
from stagemaker.settings import AuthMode, Settings
from stagemaker.state import StateFolder
from stagemaker.store import Store

_LOG = logging.getLogger(__name__)

ALGORITHMS = (
    Algorithm(
        "stagemaker.algorithms.xgboost",
        xgboost.TAGS,
        tuple(MetricDefinition(name, regex) for name, regex in xgboost.METRIC_DEFINITIONS),
    ),
)


class Stage:
    """A stage as an ASGI application: HTTP goes to the gateway, the lifespan starts and stops the parts."""

    def __init__(self, settings: Settings, folder: StateFolder, endpoint: str) -> None:
        account, region = settings.account, settings.region
        self._store = Store(folder.database)
        self._backing = EmbeddedBacking(folder.backing, account, region, int(endpoint.rpartition(":")[2]))
        self._identity = Identity(
            account=account,
            region=region,
            keys=KeyFile(folder.keys).read_or_create(account),
            store=self._store,
            send=self._backing.send,
            enforce=settings.auth is AuthMode.ENFORCE,
            register=self._backing.register_access_key,
        )
        self._logs = LogsService(self._store, account)
        self._cloudwatch = CloudWatchService(self._store, account)
        self._folder = folder
        control = Control(self._reset, allow_reset=settings.allow_reset)
        apis = {"sts": self._identity.sts, "logs": self._logs.api(), "monitoring": self._cloudwatch.api()}
        self._gateway = Gateway(self._identity, self._backing, apis, control, region=region)
        # One thread a job, as many jobs as cores: jobs that overlap on a core train several times slower.
        self._sagemaker = SageMakerService(
            self._store,
            account,
            Neighbours(
                roles=self._identity.sessions,
                objects=GatewayObjects(self._gateway),
                metrics=self._cloudwatch,
                logs=self._logs,
                events=self._backing,
                images=ProcessImages(ALGORITHMS, settings.images),
            ),
            folder.jobs,
            folder.stage_file,
            folder.quotas,
            slots=os.cpu_count() or 1,
            threads=1,
            stop_grace=settings.stop_grace,
        )
        apis["sagemaker"] = self._sagemaker.api()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: HTTP and the lifespan. There are no web sockets."""
        if scope["type"] == "http":
            await self._gateway(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start when told to, stop when told to."""
        await receive()
        try:
            await self._start()
        except Exception as error:  # noqa: BLE001 - whatever it is, uvicorn must hear of it
            _LOG.exception("the stage cannot start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        await self._backing.start()
        await self._identity.start()
        await self._sagemaker.start()

    async def _stop(self) -> None:
        await self._sagemaker.stop()
        await self._backing.stop()
        self._store.close()

    async def _reset(self) -> None:
        """Empty the account: nothing of it is left but its keys."""
        self._sagemaker.reset()
        self._logs.reset()
        self._cloudwatch.reset()
        await self._backing.reset()
        self._identity.reset()
        await self._identity.seed()
        self._folder.renew_id()
