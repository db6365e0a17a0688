"""The composition root: builds the parts of a stage and hands each what it needs."""

from __future__ import annotations

import logging
import os

from stagemaker.algorithms.sklearn import definition as sklearn
from stagemaker.algorithms.xgboost import definition as xgboost
from stagemaker.algorithms.xgboost import tunable as xgboost_tuning
from stagemaker.backing import Backing, BackingError
from stagemaker.backing.embedded import EmbeddedBacking
from stagemaker.backing.localstack import LocalStackBacking
from stagemaker.cloudwatch.service import CloudWatchService
from stagemaker.gateway.asgi import Receive, Scope, Send
from stagemaker.gateway.control import Control
from stagemaker.gateway.gateway import Gateway
from stagemaker.gateway.inside import GatewayObjects
from stagemaker.identity.keys import KeyFile
from stagemaker.identity.room import Identity
from stagemaker.identity.seed import RegisterAccessKey
from stagemaker.jobs.images import Algorithm, ProcessImages
from stagemaker.jobs.serving.model_server import STOP_SECONDS
from stagemaker.jobs.spec import MetricDefinition
from stagemaker.jobs.tunable import Tunable, TuningRules
from stagemaker.logs.service import LogsService
from stagemaker.sagemaker.documents import Documents
from stagemaker.sagemaker.hosting.endpoint import Endpoints, Ground
from stagemaker.sagemaker.hosting.endpoint_config import EndpointConfigs
from stagemaker.sagemaker.hosting.fleet import Fleets
from stagemaker.sagemaker.hosting.model import Models
from stagemaker.sagemaker.quotas import Quotas
from stagemaker.sagemaker.runtime.api import Runtime
from stagemaker.sagemaker.runtime.data_capture import DataCapture
from stagemaker.sagemaker.runtime.metrics import InvocationMetrics
from stagemaker.sagemaker.runtime.pool import Pool
from stagemaker.sagemaker.service import SageMakerService
from stagemaker.sagemaker.training.job import Neighbours, TrainingJobs
from stagemaker.sagemaker.transform.job import TransformJobs, TransformNeighbours
from stagemaker.sagemaker.tuning.job import TuningJobs
from stagemaker.settings import AuthMode, Settings
from stagemaker.state import StateFolder
from stagemaker.store import Store

_LOG = logging.getLogger(__name__)

ALGORITHMS = (
    Algorithm(
        "stagemaker.algorithms.xgboost",
        xgboost.TAGS,
        tuple(MetricDefinition(name, regex) for name, regex in xgboost.METRIC_DEFINITIONS),
        preload=xgboost.PRELOAD,
        tuning=TuningRules(
            xgboost_tuning.OBJECTIVES,
            {
                name: Tunable(whole, low, high, (least, most))
                for name, (whole, low, high, least, most) in xgboost_tuning.TUNABLES.items()
            },
        ),
    ),
    Algorithm("stagemaker.algorithms.sklearn", sklearn.TAGS, ()),
)


class Stage:
    """A stage as an ASGI application: HTTP goes to the gateway, the lifespan starts and stops the parts."""

    def __init__(self, settings: Settings, folder: StateFolder, endpoint: str) -> None:
        account, region = settings.account, settings.region
        self._store = Store(folder.database)
        self.backing, register = _backing(settings, folder, endpoint)
        self._identity = Identity(
            account=account,
            region=region,
            keys=KeyFile(folder.keys).read_or_create(account),
            store=self._store,
            send=self.backing.send,
            enforce=settings.auth is AuthMode.ENFORCE,
            register=register,
        )
        self._logs = LogsService(self._store, account)
        self._cloudwatch = CloudWatchService(self._store, account)
        self._folder = folder
        control = Control(self._reset, allow_reset=settings.allow_reset)
        apis = {"sts": self._identity.sts, "logs": self._logs.api(), "monitoring": self._cloudwatch.api()}
        self._gateway = Gateway(self._identity, self.backing, apis, control, region=region)
        self._sagemaker = self._sagemaker_service(settings, folder)
        apis["sagemaker"] = self._sagemaker.api()

    def _sagemaker_service(self, settings: Settings, folder: StateFolder) -> SageMakerService:
        documents = Documents(self._store, settings.account)
        objects, quotas = GatewayObjects(self._gateway), Quotas(folder.quotas)
        images = ProcessImages(ALGORITHMS, settings.images)
        roles, logs, metrics = self._identity.sessions, self._logs, self._cloudwatch
        # One thread a job, as many jobs as cores: jobs that overlap on a core train several times slower.
        training_jobs = TrainingJobs(
            documents,
            Neighbours(roles, objects, metrics, logs, self.backing, images),
            folder.jobs,
            folder.stage_file,
            folder.file_systems,
            quotas,
            slots=os.cpu_count() or 1,
            threads=1,
            stop_grace=settings.stop_grace,
            keep_bytes=int(settings.keep_failed * (1 << 30)),
        )
        transform_jobs = TransformJobs(
            documents,
            TransformNeighbours(roles, metrics, logs, self.backing, images),
            folder.transform_jobs,
            folder.stage_file,
            quotas,
            slots=os.cpu_count() or 1,
            threads=os.cpu_count() or 1,  # unlike trainings, requests that overlap on a core only take turns
            stop_grace=min(settings.stop_grace, STOP_SECONDS),
        )
        pool = Pool()
        fleets = Fleets(folder.endpoints, roles, logs, metrics, pool.under_way)
        endpoints = Endpoints(documents, fleets, self.backing, Ground(images, folder.stage_file, quotas, threads=1))
        runtime = Runtime(settings.account, fleets, InvocationMetrics(metrics), DataCapture(roles, objects), pool=pool)
        self._gateway.runtime = runtime
        parts = [
            training_jobs,
            TuningJobs(documents, training_jobs, images, self.backing),
            Models(documents, roles, objects),
            EndpointConfigs(documents),
            endpoints,
            runtime,
            transform_jobs,
        ]
        return SageMakerService(documents, parts)

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
        except BackingError as error:
            _LOG.error("the stage cannot start: %s", error)
            await send({"type": "lifespan.startup.failed", "message": ""})
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, uvicorn must hear of it
            _LOG.exception("the stage cannot start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        await self.backing.start()
        await self._identity.start()
        await self._sagemaker.start()
        if isinstance(self.backing, LocalStackBacking):
            await self.backing.watch(self._begin_anew)

    async def _stop(self) -> None:
        await self._sagemaker.stop()
        await self.backing.stop()
        self._store.close()

    async def _reset(self) -> None:
        """Empty the account: nothing of it is left but its keys."""
        self._empty_own_services()
        await self.backing.reset()
        await self._seed_anew()

    async def _begin_anew(self) -> None:
        """The backing has lost the account: what describes it goes too, and the folder holds another account."""
        self._empty_own_services()
        await self._seed_anew()

    def _empty_own_services(self) -> None:
        self._sagemaker.reset()
        self._logs.reset()
        self._cloudwatch.reset()

    async def _seed_anew(self) -> None:
        self._identity.reset()
        await self._identity.seed()
        self._folder.renew_id()


def _backing(settings: Settings, folder: StateFolder, endpoint: str) -> tuple[Backing, RegisterAccessKey | None]:
    """The backing that was asked for, and its way to list keys that its IAM did not make."""
    if settings.backing_url:
        account, region = settings.account, settings.region
        return LocalStackBacking(settings.backing_url, account, region, folder.backing, endpoint), None
    embedded = EmbeddedBacking(folder.backing, settings.account, settings.region, int(endpoint.rpartition(":")[2]))
    return embedded, embedded.register_access_key
