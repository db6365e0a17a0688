"""One lab in one run: open the target, run the learner's file if it changed, collect the checks, give the verdict.

It knows nothing of pytest: `judge` tells it what became of each check.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from stagemaker_labs import digest, progress, run, scene, stage, targets, verdict, workspace
from stagemaker_labs.checking import Account, Wrong
from stagemaker_labs.digest import Manifest
from stagemaker_labs.lab import Lab
from stagemaker_labs.problem import Card, Problem
from stagemaker_labs.progress import LastRun, Progress
from stagemaker_labs.targets import Opened, Target
from stagemaker_labs.text import one_line
from stagemaker_labs.verdict import CheckResult, Outcome, Run, RunState, Verdict
from stagemaker_labs.workspace import HIDDEN, Workspace

TRACE_FILE = "could-not-check.txt"
VERDICT_FILE = "verdict.json"
NOT_REACHED = Run(RunState.NOT_REACHED, Outcome.SKIPPED, "")


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of a lab's run."""

    target: Target
    rerun: bool = False
    no_run: bool = False


@dataclass(frozen=True, slots=True)
class Screen:
    """Where a trial says what it does: `say` a line that stays, `live` one that the next replaces, `echo` raw output.

    `echo` is None unless the learner asked to see the output as it comes.
    """

    say: Callable[[str], None]
    live: Callable[[str], None]
    echo: Callable[[bytes], None] | None = None


def _ignore(words: str) -> None:
    """A line that nobody sees."""


SILENT = Screen(_ignore, _ignore)


@dataclass
class Trial:
    """One lab's turn. `problem` is set when the account cannot be asked; every check then could not be made.

    `listed` are the names of all checks that the lab has, `checks` what became of those that were asked.
    """

    lab: Lab
    wishes: Wishes
    screen: Screen
    problem: Problem | None = None
    account: Account | None = None
    run: Run = NOT_REACHED
    checks: dict[str, CheckResult] = field(default_factory=dict)
    listed: tuple[str, ...] = ()
    verdict: Verdict | None = None

    def __post_init__(self) -> None:
        """Find the work folder and what is remembered of it; nothing is made yet."""
        self.workspace: Workspace = workspace.of_lab(self.lab)
        self._cleanup = contextlib.ExitStack()
        self._begun: tuple[str, float] | None = None
        self._opened: Opened | None = None
        self._progress = progress.load(self.workspace.hidden)
        self._findings: list[tuple[Wrong, str]] = []

    @property
    def has_begun(self) -> bool:
        """Whether `begin` was called."""
        return self._begun is not None

    def begin(self) -> None:
        """Get everything ready for the checks. What cannot be had becomes `problem`; nothing is raised."""
        self._begun = (progress.now(), time.monotonic())
        try:
            opened = self._open()
            if self.workspace.create():
                self.screen.say(f"made {self.workspace.shown}/{self.workspace.file.name} from the starter")
            self._cleanup.enter_context(self.workspace.locked())
            self._progress = progress.load(self.workspace.hidden)
            self.workspace.lay_out_data()
            self._set_scene(opened)
            self.run = self._run(opened)
            if self.run.outcome is Outcome.ERROR:
                assert self.run.card is not None
                raise Problem(self.run.card.title or "the target went away", self.run.card)
            self._open_account(opened)
        except Problem as problem:
            self.problem = problem
        except OSError as error:
            self.problem = Problem(
                "the workbench could not use its own files",
                Card(str(error.filename or self.workspace.folder), error.strerror or str(error), next="mend that"),
            )
        except Exception as error:  # noqa: BLE001  a fault of ours must not look like the learner's, nor fill the screen
            self.problem = self._fault(error)

    def target_went_away(self) -> Problem | None:
        """The problem to give to all further checks when the target does not answer any more."""
        if self._opened is None or stage.is_answering(self._opened.environment):
            return None
        target = self.wishes.target
        self.problem = Problem(
            "the stage stopped answering",
            Card(
                looked_at=self._opened.environment.endpoint,
                found="it answered when this run began, and does no longer",
                expected="a stage that answers until the last check",
                likely="it was stopped or was killed",
                next=f"{target.said('stagemaker up')}, then: {target.said(f'pytest labs/{self.lab.number}')}",
            ),
        )
        return self.problem

    def keep(self, result: CheckResult) -> None:
        """Take what became of a check."""
        self.checks[result.name] = dataclasses.replace(result, seconds=round(result.seconds, 3))

    def results_of(self, function: str) -> list[CheckResult]:
        """What became of a check function so far; several results when it is parametrised."""
        return [result for name, result in self.checks.items() if name.partition("[")[0] == function]

    def seconds_of(self, name: str) -> float:
        """The seconds that a check has taken so far."""
        return self.checks[name].seconds if name in self.checks else 0.0

    def first_to_find(self, finding: Wrong, description: str) -> str:
        """The description of the check that met this very finding first; it is remembered."""
        for known, found_by in self._findings:
            if known is finding:
                return found_by
        self._findings.append((finding, description))
        return description

    def keep_trace(self, trace: str) -> Path:
        """Append a traceback that the screen is spared to a file; its path."""
        self.workspace.hidden.mkdir(parents=True, exist_ok=True)
        file = self.workspace.hidden / TRACE_FILE
        with file.open("a", encoding="utf-8") as out:
            out.write(trace.rstrip("\n") + "\n\n")
        return file

    def conclude(self) -> Verdict:
        """The verdict, also kept in the work folder with the learner's progress. Gives everything back."""
        started, begun = self._begun or (progress.now(), time.monotonic())
        result = Verdict(
            number=self.lab.number,
            slug=self.lab.slug,
            title=self.lab.title,
            target=self.wishes.target.value,
            fidelity=self.lab.fidelity.get(self.wishes.target.value, ""),
            run=self.run,
            checks=tuple(self.checks.values()),
            started=started,
            seconds=round(time.monotonic() - begun, 2),
            cost_on_aws=self.lab.cost_on_aws,
            unasked=sum(name not in self.checks for name in self.listed),
            notes=self._notes(),
        )
        self.verdict = result
        try:
            if self.workspace.hidden.is_dir():
                verdict.write(self.workspace.hidden / VERDICT_FILE, [result])
                # Written only when it changed: another run may be on its way, which is then what this verdict says.
                new = self._progress.with_verdict(result)
                if new != self._progress:
                    self._save(new)
        except OSError as error:
            self.screen.say(f"the verdict could not be kept: {error}")
        finally:
            self.give_back()
        return result

    def give_back(self) -> None:
        """Return what the trial holds: the clients, the lock, this process's own AWS variables."""
        self._cleanup.close()

    def _open(self) -> Opened:
        opened = targets.open_target(self.wishes.target, starting=lambda: self.screen.say("starting the stage"))
        self._opened = opened
        return opened

    def _fault(self, error: Exception) -> Problem:
        """A fault of the workbench's own, its traceback kept in a file."""
        detail: tuple[str, ...] = ()
        with contextlib.suppress(OSError):
            detail = (f"full traceback: {os.path.relpath(self.keep_trace(traceback.format_exc()))}",)
        found = one_line(f"{type(error).__name__}: {error}")
        return Problem(
            "a fault of the workbench",
            Card("what it does before the checks", found, next="report it with the file below", detail=detail),
        )

    def _set_scene(self, opened: Opened) -> None:
        if self._progress.scene_set_on == opened.environment.stage_id:
            return
        if scene.play(self.workspace, opened, scene.SET):
            self._save(dataclasses.replace(self._progress, scene_set_on=opened.environment.stage_id))

    def _run(self, opened: Opened) -> Run:
        """Run the learner's file, unless there is a reason not to."""
        file, settings = self.workspace.file, self._settings(opened)
        variables = self.workspace.variables(opened, workspace.new_run(self._progress.last_run_id))
        (self.workspace.hidden / TRACE_FILE).unlink(missing_ok=True)
        self.workspace.write_env_file(variables)
        if not file.is_file():
            return _not_run(RunState.MISSING, "there is no work/lab.py: nothing was run")
        if self.workspace.is_starter():
            return _not_run(RunState.STARTER, "work/lab.py is still the starter: not run")
        last = self._progress.last_runs.get(self.wishes.target.value)
        before = digest.manifest(self.workspace.folder, last.work if last else None, skip=HIDDEN)
        data = digest.manifest(self.workspace.data, last.data if last else None)
        if self.wishes.no_run:
            return _not_run(RunState.NOT_ASKED, "work/lab.py was not run: --no-run")
        if last and not self.wishes.rerun and _is_unchanged(last, settings, before, data):
            note = f"work/lab.py has not changed since it ran {_when(last.finished)}: not run again (--rerun)"
            return _not_run(RunState.UNCHANGED, note)
        return self._run_now(opened, variables, settings, before, data)

    def _run_now(
        self, opened: Opened, variables: dict[str, str], settings: dict[str, str], before: Manifest, data: Manifest
    ) -> Run:
        self._save(dataclasses.replace(self._progress, last_run_id=variables["LAB_RUN"]))
        self.screen.say(f"running work/lab.py, for at most {self.lab.time_limit:.0f} s")
        result = run.run_file(
            self.workspace,
            variables,
            tick=lambda passed: self.screen.live(f"running work/lab.py  {passed:.0f} s"),
            is_target_there=lambda: stage.is_answering(opened.environment),
            echo=self.screen.echo,
        )
        self.screen.live("")
        after = digest.manifest(self.workspace.folder, before, skip=HIDDEN)
        last = LastRun(
            run=variables["LAB_RUN"],
            finished=progress.now(),
            seconds=round(result.seconds, 2),
            ended_well=result.outcome is Outcome.PASSED,
            settings=settings,
            work=dict(digest.after_run(before, after)),
            data=dict(data),
        )
        runs = {**self._progress.last_runs, self.wishes.target.value: last}
        self._save(dataclasses.replace(self._progress, last_runs=runs))
        return result

    def _settings(self, opened: Opened) -> dict[str, str]:
        return {"stage": opened.environment.stage_id, **self.workspace.lab_variables(opened)}

    def _open_account(self, opened: Opened) -> None:
        """Make the account, with the target's AWS variables in this process too: none of the shell's may be used."""
        environment = opened.environment
        self._cleanup.enter_context(targets.variables_of(environment))
        administrator = functools.partial(scene.administrator, opened.target)
        self.account = Account(self.workspace, environment, self.workspace.lab_variables(opened), administrator)
        self._cleanup.callback(self.account.close)

    def _save(self, new: Progress) -> None:
        self._progress = new
        progress.save(self.workspace.hidden, new)

    def _notes(self) -> tuple[str, ...]:
        if self._opened and self._opened.started:
            down = self.wishes.target.said("stagemaker down")
            return (f"the stage was started for this and stays up; {down} stops it",)
        return ()


def _is_unchanged(last: LastRun, settings: dict[str, str], work: Manifest, data: Manifest) -> bool:
    """Whether a run now would be the last one again.

    One that did not end well is tried again: what stopped it may have been mended in the account.
    """
    return (
        last.ended_well
        and last.settings == settings
        and not digest.changed(last.work, work)
        and not digest.changed(last.data, data)
    )


def _not_run(state: RunState, note: str) -> Run:
    return Run(state, Outcome.SKIPPED, note)


def _when(finished: str) -> str:
    """`at 14:02`, or `on 12 November, 14:02` for another day; local time."""
    then, today = datetime.fromisoformat(finished).astimezone(), datetime.now().astimezone()
    if then.date() == today.date():
        return f"at {then:%H:%M}"
    return f"on {then.day} {then:%B, %H:%M}"
