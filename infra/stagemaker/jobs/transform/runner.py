"""Carries out one transform job: `python -m stagemaker.jobs.transform.runner DIRECTORY`.

A process of its own, like that of a training job, so that the server may stop or die meanwhile.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from stagemaker.contract.failure import FAILURE_REASON_LIMIT
from stagemaker.jobs.directory import JobDirectory, remove_tree
from stagemaker.jobs.endings import INTERNAL_ERROR
from stagemaker.jobs.objects import ObjectClient, ObjectsError
from stagemaker.jobs.processes import adopt_orphans, kill_descendants
from stagemaker.jobs.record import EndEvent, RecordWriter, StatusEvent
from stagemaker.jobs.selection import DownloadError
from stagemaker.jobs.transform.capture import write_capture
from stagemaker.jobs.transform.failures import Failures
from stagemaker.jobs.transform.inputs import InputObject, input_objects
from stagemaker.jobs.transform.instance import Instance, Surroundings
from stagemaker.jobs.transform.spec import TransformSpec
from stagemaker.ports import Credentials

STARTED = "Started"
"""The status event from which the job has instances of its own, and pays for them."""
STOPPING = "Stopping"
_TICK = 0.02


class TransformRunner:
    """One transform job from its start to its end."""

    def __init__(self, directory: JobDirectory) -> None:
        self.directory = directory
        self.spec = TransformSpec.load(directory.spec)
        self.record = RecordWriter(directory.record)
        self.credentials = Credentials(**json.loads(directory.credentials.read_text()))
        self._failures = Failures()
        self._cancelled = threading.Event()
        self._instances: list[Instance] = []

    def run(self) -> None:
        """Carry the job out and write its end down, whatever happens."""
        try:
            status = self._transform()
        except Exception:  # noqa: BLE001 - the record must end, and runner.log keeps the cause
            traceback.print_exc()
            self._failures.add(INTERNAL_ERROR)
            status = "Failed"
            self._abandon()
        kill_descendants()
        reason = self._failures.reason if status == "Failed" else None
        if status != "Failed":  # what a failed job leaves is for its owner to look at
            for instance in self._instances:
                remove_tree(self.directory.root / instance.id / "parts")
        self.record.write(EndEvent(time.time(), status, status, "", reason and reason[:FAILURE_REASON_LIMIT]))
        self.record.close()
        self.directory.credentials.unlink(missing_ok=True)

    def _transform(self) -> str:
        """The job's status in the end."""
        if self.directory.stop_request.exists():
            return "Stopped"
        self.record.write(StatusEvent(time.time(), STARTED, ""))
        objects = self._input()
        if not objects:
            return "Failed"
        shared = Surroundings(
            self.spec,
            self.directory,
            self.record,
            self.credentials,
            self._new_client,
            self._failures,
            self._cancelled,
        )
        count = self.spec.instance_count
        self._instances = [Instance(shared, objects[index::count]) for index in range(count)]
        for instance in self._instances:
            instance.start()
        stopped = self._watch()
        self._capture()
        if stopped:
            return "Stopped"
        return "Failed" if self._failures.reason else "Completed"

    def _input(self) -> Sequence[InputObject]:
        """The objects; when there are none, `failures` knows why."""
        source = self.spec.input.source
        try:
            found = list(input_objects(self._new_client(), self.spec.input))
        except DownloadError as error:
            self._failures.add(f"ClientError: {error.detail}")
            return []
        except ObjectsError as error:
            self._failures.add(f"ClientError: Failed to list the objects under S3 URL: {source}. {error.message}")
            return []
        if not found:
            self._failures.add(
                f"ClientError: No objects found under S3 URL: {source}. Please ensure that the bucket exists in the "
                f"selected region ({self.spec.region}) and that objects exist under that S3 prefix."
            )
        return found

    def _watch(self) -> bool:
        """Wait for the instances, and have them end when asked to. Whether they were."""
        stopped = False
        while any(instance.is_alive for instance in self._instances):
            if not stopped and self.directory.stop_request.exists():
                stopped = True
                self.record.write(StatusEvent(time.time(), STOPPING, ""))
                self._cancelled.set()
            for instance in self._instances:
                instance.look()
            time.sleep(_TICK)
        return stopped

    def _abandon(self) -> None:
        """End the instances that still run: nothing may happen after the job's end."""
        self._cancelled.set()
        while any(instance.is_alive for instance in self._instances):
            time.sleep(_TICK)

    def _capture(self) -> None:
        done = [each for instance in self._instances for each in instance.done]
        if self.spec.capture is None or not done:
            return
        inputs = [each.uri for each in done]
        outputs = [each.output(self.spec.output) for each in done]
        try:
            write_capture(self._new_client(), self.spec.capture, inputs, outputs, self.directory.root / "manifest.json")
        except ObjectsError as error:
            self._failures.add(f"ClientError: Failed to store the captured data. {error.message}")

    def _new_client(self) -> ObjectClient:
        return ObjectClient(self.spec.instance.stage_file, self.spec.region, self.credentials)


def main(arguments: list[str]) -> int:
    """Run the job in the folder `arguments[0]`; 3 when another runner has it already."""
    directory = JobDirectory(Path(arguments[0]))
    try:
        directory.sign_lock(directory.take_lock())
    except BlockingIOError:
        return 3
    os.umask(0o077)
    adopt_orphans()
    TransformRunner(directory).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
