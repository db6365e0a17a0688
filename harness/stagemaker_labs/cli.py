"""The command `stagemaker`: the course's own commands, and the stage's handed on to the stage."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from stagemaker_labs import __version__, course, progress, render, scene, stage, targets, workspace
from stagemaker_labs.guide import print_exams, print_guide, print_hint, print_map, print_source
from stagemaker_labs.lab import Lab
from stagemaker_labs.problem import Problem
from stagemaker_labs.targets import Opened, Target
from stagemaker_labs.verdict import COULD_NOT_CHECK_EXIT, FAILED_EXIT, PASSED_EXIT
from stagemaker_labs.workspace import Workspace

STAGE_COMMANDS = {
    "up": "start the stage in the background",
    "down": "stop it",
    "status": "say whether one runs, where, and with which endpoints",
    "serve": "run it in the foreground",
    "env": "print what a client needs to reach it",
    "run": "run a command on it: run -- CMD",
    "shell": "open a shell on it",
    "bill": "what its jobs and endpoints would have cost on AWS, lab by lab: bill [LAB]",
    "interrupt": "take a training job's spot instances away: interrupt JOB",
}
"""Handed to the stage's command with all their arguments."""

BILL = "bill"
USAGE_EXIT = 2
INTERRUPTED_EXIT = 130


def main(words: Sequence[str] | None = None) -> int:
    """Run one command. The exit code: 0 done, 1 not now, 2 wrong usage, 6 something is missing; else the stage's."""
    words = list(sys.argv[1:] if words is None else words)
    try:
        if not words:
            build_parser().print_help()
            return USAGE_EXIT
        if words[0] == BILL:
            return hand_on(billed_by_lab(words))
        if words[0] in STAGE_COMMANDS:
            return hand_on(words)
        told = build_parser().parse_args(words)
        command: Callable[[argparse.Namespace], int] = told.command
        return command(told)
    except Problem as problem:
        render.show_problem(problem)
        return COULD_NOT_CHECK_EXIT
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT


def build_parser() -> argparse.ArgumentParser:
    """The course's commands; the stage's are listed below them."""
    listed = "\n".join(f"  {name:<10} {what}" for name, what in STAGE_COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="stagemaker",
        description="Labs for machine learning on AWS. Work on one with: stagemaker start 03, then pytest labs/03",
        epilog=f"the stage:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"stagemaker {__version__}")
    commands = parser.add_subparsers(title="the course", required=True, metavar="COMMAND")

    begin = _add(commands, "start", start, "make work/lab.py from the starter and print the guide")
    begin.add_argument("--quiet", action="store_true", help="do not print the guide")
    hint = _add(commands, "hint", give_hint, "give one more hint")
    hint.add_argument("--all", action="store_true", dest="every", help="give all of them")
    solve = _add(commands, "solve", reveal, "show the reference, once the lab has passed")
    solve.add_argument("--reveal", action="store_true", help="show it all the same")
    reset = _add(commands, "reset", start_over, "move your work aside and clear the account of what the lab made")
    reset.add_argument("--target", default="local", help="whose account to clear: local (default) or localstack")
    chart = commands.add_parser("map", help="list the labs and how far you are")
    chart.set_defaults(command=show_map)
    return parser


def billed_by_lab(words: Sequence[str]) -> list[str]:
    """The stage's words for `bill`: it knows no labs, so it is told which names begin how. A lab comes first, if any.

    Raises Problem for a lab that is not there. Without a course to be found all jobs are listed together.
    """
    command, *rest = words
    if rest and not rest[0].startswith("-"):
        return [command, "--only", workspace.of_lab(course.resolve(rest[0])).prefix, *rest[1:]]
    try:
        labs = course.locate().labs()
    except Problem:
        return list(words)
    groups = [f"{workspace.of_lab(lab).prefix}=lab {lab.number} {lab.title}" for lab in labs]
    return [command, *(word for group in groups for word in ("--group", group)), *rest]


def hand_on(words: Sequence[str]) -> int:
    """Replace this process by the stage's command, so that signals and the exit code are its own."""
    stage.require()
    command = [*stage.command(), *words]
    try:
        os.execvp(command[0], command)  # noqa: S606  the stage's command, no shell in between
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return COULD_NOT_CHECK_EXIT


def start(told: argparse.Namespace) -> int:
    """Make the work folder, open the target, set the scene, print the guide."""
    lab = the_lab(told)
    work = workspace.of_lab(lab)
    made = work.create()
    work.lay_out_data()
    if not told.quiet:
        print_guide(lab)
        print_exams(lab)
    file = f"{work.shown}/{work.file.name}"
    print(f"made {file} from the starter" if made else f"{file} is there already and was left as it is")
    opened = targets.open_target(Target.LOCAL, starting=lambda: print("starting the stage"))
    set_scene(work, opened)
    remembered = progress.load(work.hidden)
    work.write_env_file(work.variables(opened, workspace.new_run(remembered.last_run_id)))
    if opened.started:
        print("the stage was started and stays up; stagemaker down stops it")
    print(f"edit {file}, then: pytest labs/{lab.number}")
    return PASSED_EXIT


def the_lab(told: argparse.Namespace) -> Lab:
    """The lab that was named, or the one in whose folder the learner is."""
    return course.resolve(told.lab) if told.lab else course.here()


def set_scene(work: Workspace, opened: Opened) -> None:
    """Set the lab's scene, and remember on which stage."""
    if scene.play(work, opened, scene.SET):
        progress.update(work.hidden, scene_set_on=opened.environment.stage_id)


def give_hint(told: argparse.Namespace) -> int:
    """Give the next hint, from a nudge to nearly the answer; after the last one, the last one again."""
    lab = the_lab(told)
    work = workspace.of_lab(lab)
    seen = progress.load(work.hidden).hints_seen
    if not lab.hints:
        print(f"lab {lab.number} has no hints")
        return PASSED_EXIT
    number = len(lab.hints) if told.every else min(seen + 1, len(lab.hints))
    first = 1 if told.every else number
    for each in range(first, number + 1):
        print_hint(lab, each)
    if number > seen:
        progress.update(work.hidden, hints_seen=number)
    if number == len(lab.hints):
        early = "" if progress.load(work.hidden).first_passed else " --reveal"
        print(f"that was the last one; the reference: stagemaker solve {lab.number}{early}")
    return PASSED_EXIT


def reveal(told: argparse.Namespace) -> int:
    """Copy the reference to work/solution.py and print it, once the lab has passed or with --reveal."""
    lab = the_lab(told)
    work = workspace.of_lab(lab)
    if not told.reveal and not progress.load(work.hidden).first_passed:
        print(f"lab {lab.number} has not passed yet: stagemaker hint {lab.number} gives a hint, --reveal shows it now")
        return FAILED_EXIT
    print_source(lab.solution)
    work.create()
    copy = work.folder / "solution.py"
    if copy.exists() and copy.read_bytes() != lab.solution.read_bytes():
        print(f"{work.shown}/{copy.name} is there already, with changes, and was left as it is")
        return PASSED_EXIT
    copy.write_bytes(lab.solution.read_bytes())
    print(f"copied to {work.shown}/{copy.name}")
    return PASSED_EXIT


def start_over(told: argparse.Namespace) -> int:
    """Move the work aside, make a fresh starter and delete what the lab made in the account of a stage that runs.

    The work is only moved. Exit code 1 when the account was not cleared.
    """
    lab = the_lab(told)
    target = targets.resolve(told.target)
    work = workspace.of_lab(lab)
    aside = work.reset()
    work.create()
    progress.update(work.hidden, reset_at=datetime.now(UTC).isoformat())
    if aside:
        print(f"your work is kept in {os.path.relpath(aside)}")
    print(f"{work.shown}/{work.file.name} is the starter again")
    return clear_account(work, target)


def clear_account(work: Workspace, target: Target) -> int:
    """Strike the lab's scene on the stage of `target`, if one runs."""
    number = work.lab.number
    untouched = f"lab {number} has nothing that clears the account: what was made there is still there"
    if not work.lab.scene.is_file():
        print(untouched)
        return PASSED_EXIT
    # What went well is said before a problem's card, which goes to stderr.
    sys.stdout.flush()
    found = targets.environment(target)
    if found is None:
        again = f"{target.said('stagemaker up')}, then: {target.said(f'stagemaker reset {number}')}"
        print(f"no stage runs, so what the lab made in the account is still there; to clear it: {again}")
        return FAILED_EXIT
    opened = Opened(target, found, started=False)
    print("what the lab made in the account is deleted" if scene.play(work, opened, scene.STRIKE) else untouched)
    return PASSED_EXIT


def show_map(told: argparse.Namespace) -> int:
    """List the labs: state and minutes."""
    labs = course.locate().labs()
    print_map([(lab, _state(lab)) for lab in labs])
    return PASSED_EXIT


def _state(lab: Lab) -> str:
    work = workspace.of_lab(lab)
    return progress.load(work.hidden).state if work.file.exists() else ""


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], int],
    what: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=command.__doc__)
    parser.add_argument("lab", nargs="?", help="its number, its name or its folder; left out: the one here")
    parser.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
