"""Carries tuning jobs out: decides what to try next, creates the training jobs, hears of their ends.

What has been decided lies in the table of trials, and what has happened in the training jobs' records. So each look at
a tuning job starts from those alone, and a server that was killed goes on where it was.
"""

from __future__ import annotations

import asyncio
import copy
import time
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import asdict

from stagemaker.contract.failure import FAILURE_REASON_LIMIT
from stagemaker.jobs.record import Event, MetricEvent, StatusEvent
from stagemaker.ports import Events
from stagemaker.sagemaker.documents import Document, Documents
from stagemaker.sagemaker.family import Family
from stagemaker.sagemaker.state_changes import StateChanges
from stagemaker.sagemaker.training.job import TRAINING_JOB, TrainingJobs
from stagemaker.sagemaker.tuning import progress as tuning_progress
from stagemaker.sagemaker.tuning.definition import Definition, TuningImages, jobs_wanted, read_definitions
from stagemaker.sagemaker.tuning.progress import End
from stagemaker.sagemaker.tuning.request import entries, max_resource, min_resource
from stagemaker.sagemaker.tuning.summary import summary
from stagemaker.sagemaker.tuning.trials import PLANNED, TrialRow, Trials
from stagemaker.sagemaker.tuning.warm_start import WarmStart
from stagemaker.search import stopping
from stagemaker.search.ranges import Values, combinations
from stagemaker.search.strategy import Strategy, propose
from stagemaker.wire.errors import AwsError

RETRY_SECONDS = 2.0
"""Before a training job is tried again for which there was no quota left."""
STATE_CHANGE = "SageMaker HyperParameter Tuning Job State Change"
LISTED = ("Strategy", "ResourceLimits")
"""Members that the list shows beside the others; the description has them in the configuration only."""
_STATUS = "HyperParameterTuningJobStatus"


class TuningSearch:
    """Takes each tuning job as far as it can go now. `family` is that of tuning jobs."""

    def __init__(
        self,
        documents: Documents,
        family: Family,
        training_jobs: TrainingJobs,
        trials: Trials,
        images: TuningImages,
        events: Events,
    ) -> None:
        self._documents = documents
        self._family = family
        self._training_jobs = training_jobs
        self._trials = trials
        self._images = images
        self.state_changes = StateChanges(documents.store, events, STATE_CHANGE)
        self.warm_start = WarmStart(documents, family, trials, images)
        self.wake = asyncio.Event()
        """Set when there may be something to do."""

    async def advance(self, region: str, name: str) -> float | None:
        """One tuning job. The seconds after which to look again; None when only an event changes anything."""
        while True:
            # Read anew after each wait: a Stop, or the end of a job, may have come meanwhile.
            document = self._documents.find(self._family, region, name)
            if document is None or document[_STATUS] not in self._family.transitional:
                return None
            definitions = read_definitions(document, self._images)
            rows = self._look(region, name, document, definitions)
            running = [row for row in rows if not row.is_over]
            if end := tuning_progress.why_end(document, rows):
                if self._wind_up(region, name, document, end, running):
                    return None
                continue
            for row in running:
                if row.stop:
                    self._training_jobs.halt(region, row.job)
            if planned := next((row for row in running if row.status == PLANNED), None):
                if not await self._create(document, planned, definitions[planned.definition]):
                    return RETRY_SECONDS
            elif not await self._plan(region, name, document, rows, definitions):
                if not running:
                    self._finish(region, name, document, tuning_progress.last_end(rows))
                    return None
                return tuning_progress.seconds_left(document)

    def hear(self, region: str, document: Document, events: Sequence[Event]) -> None:
        """A training job's news, within the transaction that keeps them: each counts once."""
        tuning = document.get("TuningJobArn")
        row = self._trials.find(tuning, document["TrainingJobName"]) if tuning else None
        if row is None or row.is_over:
            return
        if "CheckpointConfig" not in document and (lost := _interruption(events)) is not None:
            # It begins from nothing, and its next report is a first one. With checkpoints it goes on where it was.
            row, events = self._trials.begin_anew(row), events[lost:]
        reported = [each.value for each in events if isinstance(each, MetricEvent) and each.name == row.metric]
        if reported and self._judge(region, row, reported):
            self._trials.want_stop(row)
            self.wake.set()
        status = document["TrainingJobStatus"]
        if status in TRAINING_JOB.transitional:
            if status != row.status:
                self._trials.stands(row, status)
            return
        final = {metric["MetricName"]: metric["Value"] for metric in document.get("FinalMetricDataList", [])}
        objective = None if status == "Failed" else final.get(row.metric)
        self._trials.end(row, status, document["TrainingEndTime"], objective, document.get("FailureReason"))
        self.wake.set()

    def _judge(self, region: str, row: TrialRow, reported: Sequence[float]) -> bool:
        """Keep what the job reported, where anybody compares it; whether the job is to be stopped."""
        name = row.tuning.rpartition("/")[2]
        document = self._documents.find(self._family, region, name)
        if document is None or row.stop:
            return False
        config = document["HyperParameterTuningJobConfig"]
        if config["Strategy"] == Strategy.HYPERBAND:
            static = entries(document)[row.definition].get("StaticHyperParameters", {})
            least, most = min_resource(config), max_resource(config, static) or 0
            steps = self._trials.report(row, reported)
            judged = stopping.rungs(row.number - 1, least, most)
            return any(step > most for step, _ in steps) or any(
                stopping.successive_halving(
                    objective, [peer.objective for peer in self._trials.peers(row, step)], minimize=row.minimize
                )
                for step, objective in steps
                if step in judged
            )
        if config["TrainingJobEarlyStoppingType"] == "Auto":
            return any(
                stopping.median_rule(
                    step,
                    objective,
                    [peer.mean for peer in self._trials.peers(row, step) if peer.is_over],
                    minimize=row.minimize,
                )
                for step, objective in self._trials.report(row, reported)
            )
        return False

    def _look(self, region: str, name: str, document: Document, definitions: Sequence[Definition]) -> list[TrialRow]:
        """The trials as they are; the document says so too."""
        tuning = document["HyperParameterTuningJobArn"]
        rows = self._trials.of(tuning)
        for row in rows:
            # The server died between the two: the job is there, and nobody has noted it.
            if row.status == PLANNED and self._documents.find(TRAINING_JOB, region, row.job) is not None:
                self._trials.created(row)
                rows = self._trials.of(tuning)
        shown = copy.deepcopy(document)
        tuning_progress.apply(document, rows)
        best = tuning_progress.best(rows)
        if best and (job := self._documents.find(TRAINING_JOB, region, best.job)):
            document["BestTrainingJob"] = summary(best, job, definitions[best.definition])
        if overall := self.warm_start.overall_best(region, document, document.get("BestTrainingJob")):
            document["OverallBestTrainingJob"] = overall
        if document != shown:
            self._documents.save(self._family, region, name, document)
        return rows

    def _wind_up(self, region: str, name: str, document: Document, end: End, running: Sequence[TrialRow]) -> bool:
        """Have running jobs stopped; the end comes when none is left. False when jobs only planned were dropped."""
        if planned := [row for row in running if row.status == PLANNED]:
            for row in planned:
                self._trials.drop(row)
            return False
        if not running:
            self._finish(region, name, document, end)
        elif tuning_progress.ENDING not in document:
            document[tuning_progress.ENDING] = asdict(end)
            self._documents.save(self._family, region, name, document)
        for row in running:
            if row.status == "InProgress":
                self._training_jobs.halt(row.region, row.job)
        return True

    async def _plan(
        self, region: str, name: str, document: Document, rows: Sequence[TrialRow], definitions: Sequence[Definition]
    ) -> bool:
        """Decide upon another job, if there is to be one now. Whether there is something new to do."""
        config = document["HyperParameterTuningJobConfig"]
        running = sum(not row.is_over for row in rows)
        if running >= config["ResourceLimits"]["MaxParallelTrainingJobs"]:
            return False
        if len(rows) >= jobs_wanted(config, list(definitions)):
            return False
        # Definitions take turns; one whose combinations have all been tried has none left.
        tried = {each.index: sum(row.definition == each.index for row in rows) for each in definitions}
        open_ones = [each for each in definitions if tried[each.index] < combinations(each.space)]
        if not open_ones:
            return False
        definition = min(open_ones, key=lambda each: tried[each.index])
        values = await self._propose(region, document, definition, rows)
        now = self._documents.find(self._family, region, name)
        if now is None or now[_STATUS] != "InProgress" or values is None:
            return values is not None
        number = len(rows) + 1
        self._trials.plan(
            document["HyperParameterTuningJobArn"],
            number,
            definition.index,
            region=region,
            job=f"{name}-{number:03d}-{uuid.uuid4().hex[:8]}",
            tried=values,
            metric=definition.metric,
            minimize=definition.minimize,
        )
        return True

    async def _propose(
        self, region: str, document: Document, definition: Definition, rows: Sequence[TrialRow]
    ) -> Values | None:
        config = document["HyperParameterTuningJobConfig"]
        # Without a seed of the user's the search is another each time, and yet the same after a restart.
        own = f"{document['HyperParameterTuningJobArn']}/{document['CreationTime']}"
        seed = definition_seed(str(config.get("RandomSeed", own)), definition.index)
        return await asyncio.to_thread(
            propose,
            Strategy(config["Strategy"]),
            definition.space,
            [row.trial for row in rows if row.definition == definition.index],
            seed=seed,
            minimize=definition.minimize,
            parents=self.warm_start.parents(region, document, definition),
        )

    async def _create(self, document: Document, row: TrialRow, definition: Definition) -> bool:
        """Create the training job of a trial. False when it has to wait; what cannot be at all fails the search."""
        tags = [{"Key": key, "Value": value} for key, value in self._documents.tags(row.tuning).items()]
        request = definition.training_job(row.job, row.tried, tags)
        try:
            await self._training_jobs.begin(row.region, request, TuningJobArn=row.tuning)
        except AwsError as error:
            if error.status >= 500:
                raise
            if error.code == "ResourceLimitExceeded":
                return False
            name = document["HyperParameterTuningJobName"]
            if now := self._documents.find(self._family, row.region, name):
                reason = f"Training job {row.job} could not be created: {error.message}"
                end = End("Failed", reason[:FAILURE_REASON_LIMIT])
                now[tuning_progress.ENDING] = asdict(end)
                self._documents.save(self._family, row.region, name, now)
            return True
        self._trials.created(row)
        return True

    def _finish(self, region: str, name: str, document: Document, end: End) -> None:
        document.pop(tuning_progress.ENDING, None)
        document[_STATUS] = end.status
        document["HyperParameterTuningEndTime"] = round(time.time(), 3)
        seconds = document["HyperParameterTuningEndTime"] - document["CreationTime"]
        document["ConsumedResources"] = {"RuntimeInSeconds": int(seconds)}
        if end.reason:
            document["FailureReason"] = end.reason
        with self._documents.store.transaction():
            self._documents.save(self._family, region, name, document)
            self.announce(region, document)

    def announce(self, region: str, document: Document) -> None:
        """Let EventBridge know of the tuning job's status."""
        hidden = (*LISTED, tuning_progress.ENDING)
        shown = {name: value for name, value in document.items() if name not in hidden}
        self.state_changes.add(region, document["HyperParameterTuningJobArn"], shown)


def _interruption(events: Sequence[Event]) -> int | None:
    """The place of the last loss of spot capacity among a job's events."""
    losses = (isinstance(each, StatusEvent) and each.status == "Interrupted" for each in events)
    return max((place for place, lost in enumerate(losses) if lost), default=None)


def definition_seed(seed: str, index: int) -> int:
    """The seed of the search of one definition: those of a tuning job must not try the same values side by side."""
    return zlib.crc32(f"{seed}/{index}".encode())
