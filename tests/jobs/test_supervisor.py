"""The supervisor outlives what goes wrong with one job."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from stagemaker.jobs import supervisor as module
from stagemaker.jobs.directory import JobDirectory
from stagemaker.jobs.record import EndEvent, Entry, RecordWriter, StatusEvent
from stagemaker.jobs.supervisor import Supervisor


def job(folder: Path, name: str, *, damaged: bool = False, ended: bool = True) -> JobDirectory:
    """A job whose runner has died, after it wrote its end."""
    directory = JobDirectory(folder / name)
    directory.root.mkdir()
    writer = RecordWriter(directory.record)
    writer.write(StatusEvent(1.0, "Training", "m"))
    if damaged:
        with directory.record.open("ab") as record:
            record.write(b"no event\n")
    if ended:
        writer.write(EndEvent(2.0, "Completed", "Completed", "done"))
    writer.close()
    return directory


def ends(folder: Path, monkeypatch: pytest.MonkeyPatch, *, fails_once: str = "") -> dict[str, str]:
    """How each job of the folder ended, as the supervisor folded it."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    found: dict[str, str] = {}
    refused: list[str] = []

    def fold(directory: JobDirectory, entries: Sequence[Entry]) -> None:
        name = directory.root.name
        if name == fails_once and name not in refused:
            refused.append(name)
            raise OSError(28, "No space left on device")
        for entry in entries:
            if isinstance(entry.event, EndEvent):
                found[name] = entry.event.status

    jobs = [JobDirectory(root) for root in sorted(folder.iterdir())]

    async def watch() -> None:
        supervisor = Supervisor(fold, slots=2)
        for directory in jobs:
            supervisor.resume(directory, 0)
        await supervisor.start()
        for _ in range(100):
            if len(found) == len(jobs):
                break
            await asyncio.sleep(0.02)
        await supervisor.stop()

    asyncio.run(watch())
    return found


def test_a_damaged_record_fails_its_own_job_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other job is taken in."""
    job(tmp_path, "a-damaged", damaged=True)
    job(tmp_path, "b-sound")
    assert ends(tmp_path, monkeypatch) == {"a-damaged": "Failed", "b-sound": "Completed"}


def test_what_cannot_be_written_now_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs time, not a job."""
    job(tmp_path, "a-unlucky")
    job(tmp_path, "b-sound")
    found = ends(tmp_path, monkeypatch, fails_once="a-unlucky")
    assert found == {"a-unlucky": "Completed", "b-sound": "Completed"}


@pytest.mark.parametrize("text", [None, "{", "[]", '{"name": "of another version"}'])
def test_a_job_whose_spec_cannot_be_read_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """Its runner is gone and no other can know what to do: it ends as Failed, and the other job is taken in."""
    lost = job(tmp_path, "a-lost", ended=False)
    if text is not None:
        lost.spec.write_text(text)
    job(tmp_path, "b-sound")
    assert ends(tmp_path, monkeypatch) == {"a-lost": "Failed", "b-sound": "Completed"}
