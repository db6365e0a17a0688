"""Objects of 256 MB and 1 GB: seconds, the stage's memory, and the longest wait of another call meanwhile."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import machine
from stagemaker.testing import RunningStage, start_stage

SIZES = (256, 1024)
PIECE = os.urandom(1024 * 1024)


@dataclass
class Probe:
    """Makes small calls all the while and remembers the longest."""

    call: Callable[[], object]
    longest: float = 0.0

    def during(self, action: Callable[[], object]) -> float:
        """Seconds of `action`; `longest` is of the calls made meanwhile."""
        self.longest, done = 0.0, threading.Event()

        def probe() -> None:
            while not done.is_set():
                start = time.perf_counter()
                self.call()
                self.longest = max(self.longest, time.perf_counter() - start)
                time.sleep(0.01)

        thread = threading.Thread(target=probe)
        thread.start()
        start = time.perf_counter()
        action()
        took = time.perf_counter() - start
        done.set()
        thread.join()
        return took


def memory(stage: RunningStage) -> float:
    """The stage's high-water mark in MB (Linux)."""
    for line in Path(f"/proc/{stage.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def main() -> None:
    """Print a Markdown table; times are per GB, so that equal ones mean linear time."""
    print(machine(), end="\n\n")
    print("| what | size | seconds per GB | stage's memory | longest wait of another call |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        stage = start_stage(Path(folder) / "state")
        try:
            for megabytes in SIZES:
                measure(stage, Path(folder), megabytes)
        finally:
            stage.stop()


def measure(stage: RunningStage, folder: Path, megabytes: int) -> None:
    """One size: put, multipart upload, ranged download, get of a version."""
    s3, sts = stage.client("s3"), stage.client("sts")
    bucket = f"large-{megabytes}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    file = folder / "file"
    with file.open("wb") as target:
        for _ in range(megabytes):
            target.write(PIECE)
    version: dict[str, Any] = {}

    def put() -> None:
        with file.open("rb") as body:
            version.update(s3.put_object(Bucket=bucket, Key="put", Body=body))

    def get_version() -> None:
        answer = s3.get_object(Bucket=bucket, Key="put", VersionId=version["VersionId"])
        for _ in answer["Body"].iter_chunks(1024 * 1024):
            pass

    probe = Probe(sts.get_caller_identity)
    for what, action in (
        ("put", put),
        ("multipart upload", lambda: s3.upload_file(str(file), bucket, "parts")),
        ("ranged download", lambda: s3.download_file(bucket, "parts", str(folder / "back"))),
        ("get of a version", get_version),
    ):
        took = probe.during(action)
        print(
            f"| {what} | {megabytes} MB | {took * 1024 / megabytes:.1f} | {memory(stage):.0f} MB "
            f"| {probe.longest * 1000:.0f} ms |",
            flush=True,
        )
    file.unlink()


if __name__ == "__main__":
    main()
