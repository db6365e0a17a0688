"""The verdict as a picture: 80 columns, readable without colour and in ASCII.

`python -m stagemaker_labs.render [--svg FILE] VERDICT.json` shows a kept verdict, or draws it.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from stagemaker_labs import verdict as verdicts
from stagemaker_labs.problem import Card, Problem
from stagemaker_labs.text import ascii_only, clean, duration, one_line, plural, wants_ascii
from stagemaker_labs.verdict import RUN_DESCRIPTION, CheckResult, Outcome, Run, Verdict, needs

WIDTH = 80
NARROWEST = 40
KEY_WIDTH = 9
REASON_COLUMN = 46

SIGNS = {Outcome.PASSED: "✓", Outcome.FAILED: "✗", Outcome.SKIPPED: "\N{EN DASH}", Outcome.ERROR: "!"}
WORDS = {Outcome.PASSED: "pass", Outcome.FAILED: "FAIL", Outcome.SKIPPED: "skip", Outcome.ERROR: "ERR!"}
"""What stands for the signs in ASCII: words, which a screen reader says as well."""

STYLES = {Outcome.PASSED: "green", Outcome.FAILED: "red", Outcome.SKIPPED: "yellow", Outcome.ERROR: "magenta"}
COUNTED = {
    Outcome.PASSED: "passed",
    Outcome.FAILED: "failed",
    Outcome.SKIPPED: "skipped",
    Outcome.ERROR: "could not be checked",
}
DRAWN_SECONDS = (2.0, 3.0)
"""Seconds of the run and of the whole in a drawing: it must not differ from one run to the next by the time it took."""

FONT_FACE = re.compile(r"@font-face\s*\{[^}]*\}\s*")


@dataclass(frozen=True, slots=True)
class Page:
    """How to lay out: `width` in columns, whether in ASCII only, and whether every card is shown or only the first."""

    width: int = WIDTH
    ascii: bool = False
    all_cards: bool = False

    def text(self, words: str, style: str = "") -> Text:
        """`words` as this page can show them."""
        return Text(ascii_only(words) if self.ascii else words, style=style)

    def wrap(self, words: str, first: Text, style: str = "") -> list[Text]:
        """`words` after `first`, later lines indented to where they began."""
        indent = cell_len(first.plain)
        room = max(self.width - indent, 10)
        lines = self.text(words, style).wrap(_measuring, room, overflow="fold", tab_size=4)
        pieces = list(lines) or [Text("")]
        return [first + pieces[0], *(Text(" " * indent) + piece for piece in pieces[1:])]


_measuring = Console(file=io.StringIO(), width=WIDTH)


def for_stream(encoding: str | None, *, all_cards: bool = False) -> Page:
    """The page for a stream: 80 columns, or fewer in a narrower terminal."""
    columns = shutil.get_terminal_size((WIDTH, 24)).columns
    return Page(max(NARROWEST, min(WIDTH, columns)), wants_ascii(encoding), all_cards)


def verdict_lines(verdict: Verdict, page: Page) -> list[Text]:
    """The whole verdict."""
    lines = _head(verdict, page)
    entries = _entries(verdict)
    lines.append(Text(""))
    for before, entry in zip((None, *entries), entries, strict=False):
        lines.extend(_entry(entry, before, page))
    carded: dict[Card, CheckResult] = {}
    for entry in entries:
        if entry.card is not None:
            # One card for what many checks met, such as a stage that is gone.
            carded.setdefault(entry.card, entry)
    for card, entry in list(carded.items())[: None if page.all_cards else _cards_shown(verdict)]:
        lines.append(Text(""))
        lines.extend(card_lines(card_title(entry), _with_next(card, entry.outcome, verdict), page))
    lines.append(Text(""))
    lines.extend(_foot(verdict, page))
    for note in verdict.notes:
        lines.extend(page.wrap(note, Text(""), "dim"))
    return lines


def _cards_shown(verdict: Verdict) -> int:
    """One, for the first failure. Two when the file stopped with part of the work done in the account.

    A waiter then raises because a job failed, and why it failed is what the first failed check can tell.
    """
    card = verdict.run.card
    if verdict.run.outcome is not Outcome.FAILED or card is None:
        return 1
    waited = card.found.startswith("WaiterError")
    return 2 if waited or any(check.outcome is Outcome.PASSED for check in verdict.checks) else 1


def card_title(entry: CheckResult) -> str:
    """What stands above the entry's card: its own title, else the description of the check."""
    if entry.card and entry.card.title:
        return entry.card.title
    return f"could not check: {entry.description}" if entry.outcome is Outcome.ERROR else entry.description


def card_lines(title: str, card: Card, page: Page) -> list[Text]:
    """One card under its title."""
    lines = page.wrap(one_line(title), Text("  "), "bold")
    for key in ("looked_at", "found", "expected", "likely", "next"):
        value = one_line(getattr(card, key))
        if value:
            lines.extend(page.wrap(value, Text("    ") + Text(key.replace("_", " ").ljust(KEY_WIDTH + 2), "cyan")))
    if card.detail:
        lines.append(Text(""))
        lines.extend(_cut(page.text("      " + clean(line)), page) for line in card.detail)
    return lines


def output_lines(run: Run, page: Page) -> list[Text]:
    """What the learner's file printed last, to stand above the verdict of a run that went wrong."""
    if not run.output:
        return []
    shown = len(run.output)
    which = "all" if run.output_lines <= shown else f"the last {shown} of"
    head = f"work/lab.py printed ({which} {plural(run.output_lines, 'line')}, kept in work/.stagemaker/output.txt):"
    bar = "|" if page.ascii else "│"
    return [
        *page.wrap(head, Text(""), "dim"),
        *(_cut(Text(f"  {bar} ", "dim") + page.text(line), page) for line in run.output),
        Text(""),
    ]


def problem_lines(problem: Problem, page: Page) -> list[Text]:
    """A problem on its own, outside a verdict."""
    return card_lines(problem.title, problem.card, page)


def to_text(lines: Iterable[Text], *, colour: bool) -> str:
    """The lines as a string that ends with a line feed, with the terminal's colour codes if asked."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=WIDTH,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        legacy_windows=False,
    )
    for line in lines:
        line.rstrip()
        console.print(line, soft_wrap=True)
    return out.getvalue()


def show_problem(problem: Problem) -> None:
    """Print a problem's card to stderr."""
    colour = Console(stderr=True).color_system is not None
    sys.stderr.write(to_text(problem_lines(problem, for_stream(sys.stderr.encoding)), colour=colour))


def to_svg(verdict: Verdict) -> str:
    """The verdict as an SVG that stands alone: the web fonts of the renderer are left out, its seconds are fixed."""
    of_run, of_all = DRAWN_SECONDS
    note = verdict.run.note.replace(duration(verdict.run.seconds), duration(of_run))
    verdict = dataclasses.replace(verdict, seconds=of_all, run=dataclasses.replace(verdict.run, note=note))
    console = Console(
        file=io.StringIO(), width=WIDTH, record=True, force_terminal=True, color_system="truecolor", highlight=False
    )
    for line in verdict_lines(verdict, Page()):
        console.print(line, soft_wrap=True)
    command = verdict.command
    return FONT_FACE.sub("", console.export_svg(title=command, unique_id="verdict"))


def cost(dollars: float) -> str:
    """What the lab's work would have cost on AWS."""
    if dollars == 0:
        return "on AWS free"
    return "on AWS under $0.01" if dollars < 0.01 else f"on AWS about ${dollars:.2f}"


def _head(verdict: Verdict, page: Page) -> list[Text]:
    title = page.text(f"Lab {verdict.number}  {one_line(verdict.title)}", "bold")
    target = page.text(f"target {verdict.target}")
    gap = page.width - cell_len(title.plain) - cell_len(target.plain)
    lines = [Text("") + title + Text(" " * gap) + target] if gap >= 2 else [title, target]
    for words in (verdict.fidelity, verdict.run.note):
        if words:
            lines.extend(page.wrap(one_line(words), Text("  "), "dim"))
    return lines


def _entries(verdict: Verdict) -> tuple[CheckResult, ...]:
    """The lines of the list: a run that went wrong stands first, like a check."""
    run = verdict.run
    if run.outcome not in {Outcome.FAILED, Outcome.ERROR}:
        return verdict.checks
    return (CheckResult("", RUN_DESCRIPTION, run.outcome, run.seconds, run.card), *verdict.checks)


def _entry(entry: CheckResult, before: CheckResult | None, page: Page) -> list[Text]:
    sign = (WORDS if page.ascii else SIGNS)[entry.outcome]
    lines = page.wrap(one_line(entry.description), Text("  ") + Text(sign, STYLES[entry.outcome]) + Text(" "))
    if not entry.reason:
        return lines
    words = one_line(entry.reason)
    if before is not None:
        words = {needs(before.description): "needs the check above", before.reason: "as above"}.get(entry.reason, words)
    reason = page.text(words, "dim")
    column = max(REASON_COLUMN, cell_len(lines[-1].plain) + 3)
    if column + cell_len(reason.plain) <= page.width:
        return [*lines[:-1], lines[-1] + Text(" " * (column - cell_len(lines[-1].plain))) + reason]
    return [*lines, *page.wrap(reason.plain, Text(" " * 6), "dim")]


def _foot(verdict: Verdict, page: Page) -> list[Text]:
    counts = [f"{verdict.count(outcome)} {word}" for outcome, word in COUNTED.items() if verdict.count(outcome)]
    if verdict.unasked:
        counts.append(f"{verdict.unasked} not asked")
    command = {
        Outcome.PASSED: "stagemaker map" if verdict.complete else verdict.command,
        Outcome.FAILED: f"stagemaker hint {verdict.number}",
        Outcome.SKIPPED: verdict.command,
        Outcome.ERROR: "stagemaker status",
    }[verdict.outcome]
    lines = page.wrap(", ".join(counts) or "nothing checked", Text(""), "bold " + STYLES[verdict.outcome])
    costs = [cost(verdict.cost_on_aws)] if verdict.worked else []
    for piece in (page.text(words) for words in (duration(verdict.seconds), *costs, command)):
        if cell_len(lines[-1].plain) + 3 + cell_len(piece.plain) <= page.width:
            lines[-1] = lines[-1] + Text("   ") + piece
        else:
            lines.append(piece)
    return lines


def _with_next(card: Card, outcome: Outcome, verdict: Verdict) -> Card:
    """The card with a next step: the lab's usual one where it names none of its own."""
    again = verdict.command
    usual = f"{again} once more" if outcome is Outcome.ERROR else f"edit work/lab.py, then: {again}"
    return dataclasses.replace(card, next=card.next or usual)


def _cut(line: Text, page: Page) -> Text:
    """A line that is shown as it is, cut at the edge of the page."""
    if cell_len(line.plain) > page.width:
        end = "..." if page.ascii else "…"
        line.truncate(page.width - len(end))
        line.append(end)
    return line


def main(words: Sequence[str] | None = None) -> int:
    """Show the verdicts in a file written by --verdict-json, or draw the first as an SVG."""
    parser = argparse.ArgumentParser(prog="python -m stagemaker_labs.render", description=main.__doc__)
    parser.add_argument("verdict", type=Path, metavar="VERDICT.json")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw it there")
    told = parser.parse_args(words)
    try:
        found = verdicts.from_json(told.verdict.read_text(encoding="utf-8"))
        if not found:
            raise ValueError("it holds no verdict")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{told.verdict}: {error}\n")
        return 1
    if told.svg:
        told.svg.write_text(to_svg(found[0]), encoding="utf-8")
        return 0
    page = for_stream(sys.stdout.encoding)
    for verdict in found:
        sys.stdout.write(to_text(verdict_lines(verdict, page), colour=sys.stdout.isatty()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
