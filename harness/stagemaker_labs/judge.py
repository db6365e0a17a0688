"""The pytest plugin that judges labs; registered by `plugin` only when an argument names one."""

from __future__ import annotations

import argparse
import inspect
import os
import shlex
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from stagemaker_labs import course, findings, plugin, render, reporter, targets, verdict
from stagemaker_labs.checking import AFTER
from stagemaker_labs.lab import Lab
from stagemaker_labs.problem import Problem
from stagemaker_labs.render import Page
from stagemaker_labs.text import one_line
from stagemaker_labs.trial import SILENT, Trial, Wishes
from stagemaker_labs.verdict import CheckResult, Outcome

NEEDS = verdict.needs("")


def enter(parser: pytest.Parser, manager: pytest.PytestPluginManager, config: pytest.Config) -> None:
    """Register the judge if a positional argument names a lab. Raises UsageError if it names one that is not there."""
    here = config.invocation_params.dir
    given = positional_arguments(parser, config.invocation_params.args)
    words = [word for word in given if plugin.names_a_lab(word, here)] if given else ["."]
    labs: dict[str, Lab] = {}
    for word in words:
        path = word.partition("::")[0]
        if plugin.holds_labs(os.path.join(here, path)):  # noqa: PTH118  as the plugin takes it
            raise pytest.UsageError(_which_lab(path, here))
        try:
            labs[word] = course.resolve(path, here)
        except Problem as problem:
            if _is_anothers(path, here):
                return
            raise pytest.UsageError(_told(problem)) from problem
    if labs:
        # Imported here: it imports this module.
        from stagemaker_labs import fixtures

        group = parser.getgroup("labs", "labs of Stagemaker")
        for name, settings in OPTIONS.items():
            group.addoption(name, **settings)
        manager.register(Judge(labs), Judge.NAME)
        manager.register(fixtures, fixtures.__name__)


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--target": {"default": "local", "metavar": "TARGET", "help": "where the account is: local (default), localstack"},
    "--rerun": {"action": "store_true", "help": "run work/lab.py even if nothing has changed"},
    "--no-run": {"action": "store_true", "help": "check the account without running work/lab.py"},
    "--verdict-json": {"type": Path, "metavar": "FILE", "help": "write the verdict there as JSON"},
}
"""The options of a lab's run, as `argparse` takes them."""


def positional_arguments(parser: pytest.Parser, words: Sequence[str]) -> list[str]:
    """The words that are neither options nor their values.

    Our own options are taken out first: pytest is told of them only in a lab's run, since another plugin may have a
    `--target` of its own.
    """
    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name, settings in OPTIONS.items():
        ours.add_argument(name, **settings)
    try:
        _, rest = ours.parse_known_args(words)
    except argparse.ArgumentError:
        # An option without its value: pytest says so in a moment.
        rest = list(words)
    return list(parser.parse_known_args(rest).file_or_dir)


class ChecksModule(pytest.Module):
    """A lab's checks.py: its functions `test_*` are the checks, whatever names the project's settings ask for.

    `listed` holds the names of all of them, also of those that this run was not asked for.
    """

    listed: tuple[str, ...] = ()

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        """All checks of the file."""
        found = list(super().collect())
        self.listed = tuple(each.name for each in found)
        return found

    def funcnamefilter(self, name: str) -> bool:
        """Whether a function is a check."""
        return name.startswith("test_")

    def classnamefilter(self, name: str) -> bool:
        """Checks are functions."""
        return False


class Judge:
    """Turns a pytest run into verdicts: one trial for each lab, in the order of the arguments."""

    NAME: ClassVar = "stagemaker_labs_judge"

    def __init__(self, labs: Mapping[str, Lab]) -> None:
        self._labs = labs
        self._trials: dict[Path, Trial] = {}
        self._reporter: reporter.LabReporter | None = None
        self._descriptions: dict[str, str] = {}
        self._interrupted = False

    def trial_of(self, path: Path) -> Trial | None:
        """The trial of the lab whose checks.py is `path`."""
        return self._trials.get(path)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(
        self, early_config: pytest.Config, parser: pytest.Parser, args: list[str]
    ) -> Generator[None, None, None]:
        """Keep the project's own pytest settings out: addopts, warning filters and conftests are not meant for labs."""
        args[:] = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *early_config.invocation_params.args]
        # Filters of the command line win over the ini file's, where `error` would fail a learner's checks.
        given = parser.parse_known_args(list(args)).pythonwarnings or []
        early_config.known_args_namespace.pythonwarnings = ["ignore", *given]
        # pytest takes a word that is no path for "here", and would load the conftest.py of every folder test* below.
        words = early_config.known_args_namespace.file_or_dir or list(self._labs)
        early_config.known_args_namespace.file_or_dir = [self._translated(word) for word in words]
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Resolve the target and the arguments, and take over the screen."""
        if config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
            raise pytest.UsageError("the checks of a lab stand on one another: leave out -n")
        try:
            target = targets.resolve(config.option.target)
        except Problem as problem:
            raise pytest.UsageError(_told(problem)) from problem
        words = config.option.file_or_dir or list(self._labs)
        config.args = list(dict.fromkeys(self._translated(word) for word in words))
        # Two files called checks.py in one run need it, whatever the project says.
        config.option.importmode = "importlib"
        if not config.option.collectonly:
            self._reporter = reporter.replace(config)
        screen = self._reporter.screen() if self._reporter else SILENT
        wishes = Wishes(target, rerun=config.option.rerun, no_run=config.option.no_run)
        self._trials = {lab.checks: Trial(lab, wishes, screen) for lab in self._labs.values()}

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Look into a lab's folder even where pytest would not, such as in a virtual environment."""
        if any(checks.is_relative_to(collection_path) for checks in self._trials):
            return False
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
        """Collect a lab's checks by our rule of names, not by the project's."""
        if module_path not in self._trials:
            return None
        module: pytest.Module = ChecksModule.from_parent(parent, path=module_path)
        return module

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the checks back into the order of their file, which the verdict and `after` go by."""
        order = list(self._trials)
        items.sort(key=lambda item: (order.index(item.path), item.location[1] or 0))
        self._descriptions.update({item.nodeid: describe(item) for item in items})
        for item in items:
            module = item.getparent(ChecksModule)
            if module is not None:
                self._trials[item.path].listed = module.listed

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """A checks.py that cannot be read: the lab could not be judged."""
        report = yield
        trial = self.trial_of(collector.path)
        if trial and report.failed and isinstance(collector, ChecksModule):
            card = findings.unreadable_checks(trial, report.longreprtext)
            trial.keep(CheckResult("checks.py", "the lab's checks can be read", Outcome.ERROR, 0.0, card))
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Begin a trial before its first check, and conclude it after its last."""
        trial = self._trials[item.path]
        if not trial.has_begun:
            trial.begin()
        trial.screen.live(f"checking: {self._descriptions[item.nodeid]}")
        result = yield
        if nextitem is None or nextitem.path != item.path:
            self._conclude(trial)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Ask nothing when the account cannot be asked, or when a check that this one stands on did not pass."""
        trial = self._trials[item.path]
        if trial.problem:
            raise trial.problem
        for prerequisite in getattr(getattr(item, "function", None), AFTER, ()):
            results = trial.results_of(prerequisite.__name__)
            if not results:
                # An option such as -k left it out: whether this one can be asked is then unknown.
                pytest.skip(f"{verdict.needs(words_of(prerequisite))}, which was not asked")
            for before in results:
                if before.outcome is not Outcome.PASSED:
                    is_chained = before.reason.startswith(NEEDS)
                    pytest.skip(before.reason if is_chained else verdict.needs(before.description))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn an exception into a finding, and let the report say the same to every other plugin."""
        report = yield
        trial, description = self._trials[item.path], self._descriptions[item.nodeid]
        seconds = trial.seconds_of(item.name) + call.duration
        if call.excinfo is not None:
            finding = findings.of_exception(trial, call.excinfo, description)
            result = CheckResult(item.name, description, finding.outcome, seconds, finding.card, finding.reason)
            trial.keep(result)
            _align(report, result, item)
        elif report.when == "call":
            trial.keep(CheckResult(item.name, description, Outcome.PASSED, seconds))
        return report

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that the learner stopped the run: there is no verdict then."""
        self._interrupted = excinfo.type is KeyboardInterrupt

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Conclude what was cut short, write the JSON, set the exit code: the worst of the verdicts."""
        for trial in self._trials.values():
            if self._interrupted:
                trial.give_back()
            elif trial.verdict is None and (trial.has_begun or trial.checks):
                self._conclude(trial)
        verdicts = [trial.verdict for trial in self._trials.values() if trial.verdict]
        file: Path | None = session.config.option.verdict_json
        if file and not session.config.option.collectonly:
            verdict.write(session.config.invocation_params.dir / file, verdicts)
        if verdicts and not self._interrupted:
            session.exitstatus = max(each.exit_code for each in verdicts)

    def _conclude(self, trial: Trial) -> None:
        result = trial.conclude()
        if self._reporter:
            self._reporter.show_verdict(result)

    def _translated(self, word: str) -> str:
        """The argument that pytest understands for the one that named a lab."""
        _, colons, rest = word.partition("::")
        if word not in self._labs:
            raise pytest.UsageError(f"{word} is no lab: run labs and other tests apart")
        return f"{self._labs[word].checks}{colons}{rest}"


def describe(item: pytest.Item) -> str:
    """What the learner reads of a check: the first paragraph of its docstring, else its name in words."""
    function = getattr(item, "function", None)
    if not function or not inspect.getdoc(function):
        return item.name.removeprefix("test_").replace("_", " ")
    case = getattr(item, "callspec", None)
    return f"{words_of(function)} ({case.id})" if case else words_of(function)


def words_of(check: Callable[..., object]) -> str:
    """The first paragraph of a check function's docstring, else its name in words."""
    doc = inspect.getdoc(check)
    return one_line(doc.split("\n\n")[0]).rstrip(".") if doc else check.__name__.removeprefix("test_").replace("_", " ")


def _align(report: pytest.TestReport, result: CheckResult, item: pytest.Item) -> None:
    """Make pytest's report agree with the result.

    To the rest of pytest (JUnit, `-v`) a failure is what fails in the phase "call" and an error what fails in "setup"
    or "teardown". A fixture may find the work wrong, and a check may meet a stage that is gone, so the phase is set to
    what was found; the text replaces the traceback.
    """
    if result.outcome is Outcome.SKIPPED:
        report.outcome, report.when = "skipped", "setup"
        report.longrepr = (str(item.path), (item.location[1] or 0) + 1, f"Skipped: {result.reason}")
        return
    report.outcome = "failed"
    if result.outcome is Outcome.FAILED:
        report.when = "call"
    elif report.when == "call":
        report.when = "setup"
    if result.card:
        lines = render.card_lines(render.card_title(result), result.card, Page())
        report.longrepr = render.to_text(lines, colour=False)


def _is_anothers(path: str, here: Path) -> bool:
    """Whether a word that names no lab of ours is none of our business: another project may have folders `labs`."""
    if (here / path).exists() or Path(path).name[:1].isdigit():
        return False
    try:
        return course.locate(here).packaged
    except Problem:
        return True


def _which_lab(path: str, here: Path) -> str:
    """The message for a word that names the folder of all labs."""
    listed = [lab.number for lab in course.locate(here / path).labs()]
    return (
        f"{path} is the folder of all labs: name one or several: pytest {' '.join(f'labs/{each}' for each in listed)}"
    )


def _told(problem: Problem) -> str:
    """A problem as the message of a UsageError, which pytest prints after `ERROR: `."""
    lines = render.problem_lines(problem, Page())
    return render.to_text(lines, colour=False).strip()
