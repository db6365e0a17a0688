"""A kept instance runs one job after the other, and no job finds anything of the one before."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from stagemaker.jobs import namespace
from stagemaker.jobs.directory import JobDirectory
from stagemaker.jobs.record import EndEvent, Entry, read_record
from stagemaker.jobs.spec import Program, S3Uri, TrainingSpec
from stagemaker.jobs.supervisor import Supervisor
from stagemaker.jobs.warm.instance import WarmInstance

LIBRARY = "import os\nloaded_by = os.getpid()\n"
PROGRAM = """
import json, os, sys
import heavy
print(json.dumps({
    "forked": heavy.loaded_by != os.getpid(),
    "arguments": sys.argv[1:],
    "environment": dict(os.environ),
    "folder": os.getcwd(),
    "descriptors": [int(name) for name in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + name)],
    "leader": os.getsid(0) == os.getpid(),
    "left_behind": hasattr(heavy, "seen"),
}))
heavy.seen = True
sys.exit(os.environ["TRAINING_JOB_NAME"] == "fails" and 3)
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="containers are forked on Linux only")


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A pool's folder, in which a kept instance also finds the modules of these tests."""
    folder = tmp_path / "pool"
    folder.mkdir()
    (folder / "heavy.py").write_text(LIBRARY)
    (folder / "algorithm.py").write_text(PROGRAM)
    return folder


@pytest.fixture
def instance(pool: Path) -> Iterator[WarmInstance]:
    """A kept instance with the library imported."""
    instance = WarmInstance(("heavy",), 1, pool / "instance.log")
    yield instance
    instance.close()


def job(folder: Path, name: str, pool: Path, **changes: Any) -> JobDirectory:
    """A job without input that is ready to run."""
    directory = JobDirectory(folder / name)
    directory.root.mkdir()
    members: dict[str, Any] = {
        "program": Program((sys.executable, "-m", "algorithm"), preload=("heavy",)),
        "environment": {},
        "instance_count": 1,
        "namespaced": namespace.available(),
        **changes,
    }
    TrainingSpec(
        name=name,
        arn=f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}",
        region="us-east-1",
        hyperparameters={},
        channels=(),
        output=S3Uri("data", "output"),
        metrics=(),
        instance_type="ml.m5.large",
        memory_bytes=None,
        volume_bytes=1 << 30,
        arguments=("train",),
        output_compression="GZIP",
        checkpoints=None,
        spot=False,
        retries=0,
        max_wait=None,
        created=time.time(),
        isolated=True,
        max_runtime=60,
        stop_grace=1.0,
        threads=1,
        stage_file=folder / "stage.json",
        warm_pool=pool,
        **members,
    ).save(directory.spec)
    keys = {"access_key_id": "AKIA", "secret_access_key": f"secret of {name}", "session_token": ""}
    directory.credentials.write_text(json.dumps(keys))
    return directory


def supervised(directory: JobDirectory, pool: Path, during: Callable[[Supervisor], None]) -> str:
    """The status in which a job ends that is left to the pool's instance; `during` is called once it is."""
    ends: list[EndEvent] = []

    async def watch() -> None:
        over = asyncio.Event()

        def fold(_: JobDirectory, entries: Sequence[Entry]) -> None:
            ends.extend(entry.event for entry in entries if isinstance(entry.event, EndEvent))
            if ends:
                over.set()

        supervisor = Supervisor(fold, slots=2)
        supervisor.keep(pool, ("heavy",), 1)
        await supervisor.start()
        supervisor.submit(directory)
        during(supervisor)
        await asyncio.wait_for(over.wait(), 60)
        await supervisor.stop()

    asyncio.run(watch())
    return ends[0].status


def finish(directory: JobDirectory) -> EndEvent:
    """Wait for the job's end."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        for entry in read_record(directory.record):
            if isinstance(entry.event, EndEvent):
                return entry.event
        time.sleep(0.02)
    log = directory.runner_log.read_text() if directory.runner_log.exists() else "no log"
    raise AssertionError(f"the job does not end: {log}")


def report(directory: JobDirectory, host: str = "algo-1") -> dict[str, Any]:
    """What the program has printed."""
    (line,) = (directory.root / f"{host}.log").read_text().splitlines()
    document: dict[str, Any] = json.loads(line.partition("\t")[2])
    return document


@linux
def test_jobs_find_the_library_imported_and_nothing_else(tmp_path: Path, pool: Path, instance: WarmInstance) -> None:
    """The second job is a copy of a process that has not seen the first: fresh variables, folder, descriptors."""
    for name in ("first", "second"):
        directory = job(tmp_path, name, pool)
        instance.run(directory)
        end = finish(directory)
        assert end.status == "Completed", end.reason
        seen = report(directory)
        assert seen["forked"]
        assert seen["arguments"] == ["train"]
        assert not seen["left_behind"]
        assert seen["leader"]
        assert sorted(seen["descriptors"]) == [0, 1, 2]
        assert seen["folder"] == str(directory.host("algo-1") / "tmp")
        environment = seen["environment"]
        assert environment["TRAINING_JOB_NAME"] == name
        assert not any("secret" in value for value in environment.values())
        assert "AWS_SECRET_ACCESS_KEY" not in environment
        assert environment["HOME"] == seen["folder"]


@linux
def test_hosts_are_all_forked(tmp_path: Path, pool: Path, instance: WarmInstance) -> None:
    """A job of two hosts has two copies."""
    directory = job(tmp_path, "two", pool, instance_count=2, namespaced=False)
    instance.run(directory)
    assert finish(directory).status == "Completed"
    reports = [report(directory, f"algo-{number}") for number in (1, 2)]
    assert [each["environment"]["CURRENT_HOST"] for each in reports] == ["algo-1", "algo-2"]
    assert all(each["forked"] for each in reports)


@linux
def test_exit_code_is_the_containers(tmp_path: Path, pool: Path, instance: WarmInstance) -> None:
    """A copy that fails is a job that fails, with the program's own code."""
    directory = job(tmp_path, "fails", pool)
    instance.run(directory)
    end = finish(directory)
    assert (end.status, end.reason) == ("Failed", "AlgorithmError: , exit code: 3")


def test_variables_of_the_request_get_a_fresh_program(tmp_path: Path, pool: Path, instance: WarmInstance) -> None:
    """Libraries read some variables when they are loaded, so what is loaded already will not do."""
    script = "import os, json; print(json.dumps({'seen': os.environ['OMP_PROC_BIND']}))"
    program = Program((sys.executable, "-c", script), preload=("heavy",))
    directory = job(tmp_path, "fresh", pool, environment={"OMP_PROC_BIND": "true"}, program=program)
    instance.run(directory)
    assert finish(directory).status == "Completed"
    assert report(directory) == {"seen": "true"}
    assert TrainingSpec.load(directory.spec).preload == ()


@linux
def test_module_that_cannot_be_imported_costs_the_saving_only(tmp_path: Path, pool: Path) -> None:
    """The instance runs jobs all the same, and its log says what is wrong."""
    instance = WarmInstance(("no.such.module",), 1, pool / "instance.log")
    try:
        program = Program((sys.executable, "-c", "print('{}')"), preload=("no.such.module",))
        directory = job(tmp_path, "all-the-same", pool, program=program)
        instance.run(directory)
        assert finish(directory).status == "Completed"
    finally:
        instance.close()
    assert "ModuleNotFoundError" in (pool / "instance.log").read_text()


def test_lock_is_held_from_the_moment_that_the_job_is_handed_over(
    tmp_path: Path, pool: Path, instance: WarmInstance
) -> None:
    """Whoever looks for the runner finds one, or one to come; an instance that is ended first lets go."""
    directory = job(tmp_path, "waits", pool)
    instance.run(directory)
    assert directory.runner_lives() or directory.record.exists()
    finish(directory)
    gone = WarmInstance((), 1, pool / "instance.log")
    late = job(tmp_path, "late", pool)
    gone.close()
    with pytest.raises(OSError, match=r"descriptor|pipe"):
        gone.run(late)
    assert not late.runner_lives()


def test_job_outlives_the_instance_that_it_was_left_to(tmp_path: Path, pool: Path) -> None:
    """An instance that ends before it has become the runner costs time; the job starts cold."""
    directory = job(tmp_path, "cold", pool, program=Program((sys.executable, "-c", "print('{}')")))
    assert supervised(directory, pool, lambda supervisor: supervisor.release(pool)) == "Completed"


@linux
def test_instances_are_no_more_than_slots(tmp_path: Path) -> None:
    """The oldest goes when there is one too many; with a supervisor that stops they all go."""

    async def keep() -> list[int]:
        supervisor = Supervisor(lambda *_: None, slots=1)
        for name in ("a", "b"):
            supervisor.keep(tmp_path / name, (), 1)
        found = instances(tmp_path)
        await supervisor.stop()
        return found

    assert len(asyncio.run(keep())) == 1
    assert instances(tmp_path) == []


def instances(folder: Path) -> list[int]:
    """The processes whose working folder lies below `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").resolve().is_relative_to(folder):
                found.append(int(entry.name))
    return found
