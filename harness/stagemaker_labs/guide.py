"""Pages for the learner to read: a lab's guide, its hints, the reference, the map of the course."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table

from stagemaker_labs.lab import Lab
from stagemaker_labs.problem import Card, Problem
from stagemaker_labs.render import WIDTH
from stagemaker_labs.text import ascii_only, wants_ascii


def console() -> Console:
    """The learner's terminal, at most 80 columns wide; a pipe gets plain text of that width."""
    found = Console(highlight=False)
    return Console(width=min(found.width, WIDTH), highlight=False) if found.is_terminal else Console(width=WIDTH)


def print_guide(lab: Lab) -> None:
    """The lab's README."""
    if not lab.guide.is_file():
        raise Problem(f"lab {lab.number} has no guide", Card(str(lab.guide), "no such file", "the lab's README.md"))
    _print_markdown(lab.guide.read_text(encoding="utf-8"))


def print_hint(lab: Lab, number: int) -> None:
    """The hint of that number, from 1, under a line that says how many there are."""
    _write(f"hint {number} of {len(lab.hints)}")
    _print_markdown(lab.hints[number - 1], indent=2)


def print_source(file: Path) -> None:
    """A Python file; with colours on a terminal, byte for byte elsewhere."""
    if not file.is_file():
        raise Problem("there is no reference", Card(str(file), "no such file", "the lab's reference"))
    text = file.read_text(encoding="utf-8")
    out = console()
    if out.is_terminal:
        out.print(Syntax(text, "python", background_color="default", word_wrap=True))
    else:
        _write(text.rstrip("\n"))


def print_exams(lab: Lab) -> None:
    """What the lab prepares for: one exam a paragraph; nothing when it names none."""
    for exam, tasks in lab.exams.items():
        _print_markdown(f"exam {exam}: {', '.join(tasks)}")


def print_map(labs: Sequence[tuple[Lab, str]]) -> None:
    """One line for each lab: number, title, state, minutes."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_edge=False)
    for heading in ("lab", "title", "state", "minutes"):
        table.add_column(heading, justify="right" if heading == "minutes" else "left")
    for lab, state in labs:
        table.add_row(lab.number, lab.title, state or "-", str(lab.minutes))
    out = console()
    with out.capture() as captured:
        out.print(table)
    _write("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _print_markdown(text: str, indent: int = 0) -> None:
    out = console()
    with out.capture() as captured:
        out.print(Padding(Markdown(text.strip()), (0, 0, 0, indent)))
    _write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")


def _write(text: str) -> None:
    sys.stdout.write(_shown(text) + "\n")


def _shown(text: str) -> str:
    return ascii_only(text) if wants_ascii(sys.stdout.encoding) else text
