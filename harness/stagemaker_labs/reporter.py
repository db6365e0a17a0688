"""What a lab's run shows instead of pytest's header, dots and tracebacks."""

from __future__ import annotations

import io
import sys
from collections.abc import Generator, Sequence
from typing import Any

import pytest
from rich.text import Text

from stagemaker_labs import render
from stagemaker_labs.text import ascii_only
from stagemaker_labs.trial import Screen
from stagemaker_labs.verdict import Outcome, Verdict

NAME = "terminalreporter"


class LabReporter:
    """Stands in the place of pytest's reporter and hands on to it what `-v` asks to see.

    pytest's own reporter is final, so there are two of them behind this one: `loud` writes to the screen, for us and
    for plugins that report something of their own (`--durations`, `--junitxml`); `books` is told all that happens
    and shows its classic lines. Without `-v` the books are written where nobody reads them.
    """

    def __init__(self, config: pytest.Config, loud: pytest.TerminalReporter) -> None:
        self._loud = loud
        self._config = config
        self._verbosity: int = config.option.verbose
        # Its class by way of the object: pytest 8.3 does not give the name away.
        self._books = loud if self._verbosity > 0 else type(loud)(config, io.StringIO())
        loud.stats = self._books.stats
        self._page = render.for_stream(getattr(sys.stdout, "encoding", None), all_cards=self._verbosity > 0)
        self._is_live = sys.stdout.isatty() and self._verbosity >= 0
        self._shown = ""

    def __getattr__(self, name: str) -> Any:
        """All that other plugins expect of a reporter."""
        return getattr(self._loud, name)

    def screen(self) -> Screen:
        """The way for a trial to say what it does; with `-s` the learner's output is shown as it comes."""
        return Screen(self._say, self._live, self._echo if self._echoes else None)

    def show_verdict(self, verdict: Verdict) -> None:
        """The verdict; above it what the learner's file printed, if it went wrong and was not shown as it came."""
        lines: list[Text] = []
        if verdict.run.outcome in {Outcome.FAILED, Outcome.ERROR} and not self._echoes:
            lines = render.output_lines(verdict.run, self._page)
        lines += render.verdict_lines(verdict, self._page)
        self._live("")
        self._loud.ensure_newline()
        # The lines that said what was done stand apart; after `-v` and `-s` as well.
        gap = "" if self._verbosity < 0 else "\n"
        self._loud.write(gap + render.to_text(lines, colour=self._loud.hasmarkup), flush=True)

    @property
    def _echoes(self) -> bool:
        return bool(self._config.option.capture == "no")

    def _say(self, words: str) -> None:
        """A line that stays; not with `-q`."""
        self._live("")
        if self._verbosity >= 0:
            self._loud.write_line(ascii_only(words) if self._page.ascii else words)
            self._loud.flush()

    def _live(self, words: str) -> None:
        """A line that the next one replaces; on a terminal only. Empty: none is left."""
        shown = (ascii_only(words) if self._page.ascii else words)[: self._page.width - 1]
        if not self._is_live or shown == self._shown:
            return
        self._loud.write("\r" + shown.ljust(len(self._shown)) + ("" if shown else "\r"), flush=True)
        self._shown = shown

    def _echo(self, chunk: bytes) -> None:
        self._loud.write(chunk.decode(errors="replace"), flush=True)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """The header with versions and plugins: with `-v`."""
        self._books.pytest_sessionstart(session)

    def pytest_report_header(self, config: pytest.Config) -> list[str]:
        """The lines of pytest's own header."""
        return self._loud.pytest_report_header(config)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Counted; checks that cannot be read are told by the verdict."""
        self._books.pytest_collectreport(report)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Counted."""
        self._books.pytest_deselected(items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """How many checks there are: with `-v`."""
        self._books.pytest_collection_finish(session)

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """The check's name: with `-v`."""
        self._live("")
        self._books.pytest_runtest_logstart(nodeid, location)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The check's classic result: with `-v`."""
        self._books.pytest_runtest_logreport(report)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None]:
        """The verdicts are out by now; other plugins' summaries follow, pytest's own do not."""
        result = yield
        self._loud.ensure_newline()
        self._config.hook.pytest_terminal_summary(terminalreporter=self, exitstatus=exitstatus, config=self._config)
        return result

    def pytest_internalerror(self, excrepr: Any) -> None:
        """A fault of ours or of a plugin's: shown in full."""
        self._loud.pytest_internalerror(excrepr)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """One line, without a traceback."""
        if excinfo.type is KeyboardInterrupt:
            self._say("interrupted: nothing was judged; if work/lab.py was running, it was ended")


def replace(config: pytest.Config) -> LabReporter | None:
    """Put our reporter in the place of pytest's; None when there is none (`-p no:terminal`)."""
    standard = config.pluginmanager.get_plugin(NAME)
    if standard is None:
        return None
    config.pluginmanager.unregister(standard)
    reporter = LabReporter(config, standard)
    config.pluginmanager.register(reporter, NAME)
    return reporter
