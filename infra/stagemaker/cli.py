"""The stage's commands: serve, up, down, status, env, bill, interrupt, run, shell."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from stagemaker.background import BackgroundError, down, up
from stagemaker.compose import ComposeError, start_localstack
from stagemaker.environment import Who, inside_environment, proxy_environment, stage_environment
from stagemaker.settings import (
    DEFAULT_ACCOUNT,
    DEFAULT_KEEP_FAILED,
    DEFAULT_PORT,
    DEFAULT_REGION,
    DEFAULT_STOP_GRACE,
    LOOPBACK,
    AuthMode,
    BackingKind,
    Settings,
)
from stagemaker.state import StateError, StateFolder, default_state

EXIT_FAILED = 1
EXIT_NO_STAGE = 3
EXIT_CANNOT_RUN = 127


_TARGETS = {"local": BackingKind.EMBEDDED.value, "localstack": BackingKind.LOCALSTACK.value}
"""What each target's account is on."""


class NoStageError(Exception):
    """A command needs a running stage, and none runs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    options = _parser().parse_args(arguments)
    options.target = options.target or ("localstack" if getattr(options, "backing_url", None) else "local")
    options.state = (options.state or default_state(_TARGETS[options.target])).absolute()
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except NoStageError as error:
        print(f"stagemaker: {error}", file=sys.stderr)
        return EXIT_NO_STAGE
    except (StateError, BackgroundError, ComposeError) as error:
        print(f"stagemaker: {error}", file=sys.stderr)
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stagemaker", description="The local stage: AWS on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run a stage in the foreground")
    _add_serving_options(serve)
    serve.set_defaults(command=_serve)

    background = commands.add_parser("up", help="start a stage in the background")
    _add_serving_options(background)
    background.set_defaults(command=_up)

    stop = commands.add_parser("down", help="stop the stage that runs in the background")
    _add_state(stop)
    stop.set_defaults(command=_down)

    status = commands.add_parser("status", help="say whether a stage runs, where, and with which endpoints")
    _add_state(status)
    status.add_argument("--json", action="store_true", help="as JSON")
    status.set_defaults(command=_status)

    env = commands.add_parser("env", help="print the variables that lead AWS clients to the stage")
    _add_state(env)
    _add_who(env)
    env.add_argument("--proxy", action="store_true", help="also what leads clients with hard-wired hosts to the stage")
    env.add_argument("--json", action="store_true", help="as JSON")
    env.set_defaults(command=_env)

    interrupt = commands.add_parser("interrupt", help="take the spot instances of a training job away")
    _add_state(interrupt)
    interrupt.add_argument("job", metavar="JOB", help="the name of a training job that runs on spot capacity")
    interrupt.add_argument("--region", default=DEFAULT_REGION, help="default: %(default)s")
    interrupt.set_defaults(command=_interrupt)

    bill = commands.add_parser("bill", help="what the jobs and endpoints would have cost on AWS")
    _add_state(bill)
    bill.add_argument("--json", action="store_true", help="as JSON")
    bill.add_argument(
        "--group",
        action="append",
        default=[],
        type=_group,
        metavar="PREFIX=TITLE",
        help="sum up the jobs whose name, or output bucket, begins with PREFIX; may be given several times",
    )
    bill.add_argument("--only", metavar="PREFIX", help="only the jobs whose name, or output bucket, begins with it")
    bill.set_defaults(command=_bill)

    run = commands.add_parser("run", help="run a command that sees the stage and nothing else of AWS: run -- CMD")
    _add_state(run)
    _add_who(run)
    run.add_argument("words", nargs="+", metavar="CMD", help="the command and its arguments, after --")
    run.set_defaults(command=_run)

    shell = commands.add_parser("shell", help="open a shell that sees the stage and nothing else of AWS")
    _add_state(shell)
    _add_who(shell)
    shell.set_defaults(command=_shell)
    return parser


def _add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help=f"the folder that holds the account (default: {default_state()}; each target has its own)",
    )
    parser.add_argument(
        "--target",
        choices=_TARGETS,
        help="local: all in the stage's own process; localstack: S3, IAM and the like from LocalStack (default: local)",
    )


def _add_who(parser: argparse.ArgumentParser) -> None:
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--admin", dest="who", action="store_const", const=Who.ADMIN, help="with the administrator's key")
    who.add_argument(
        "--root", dest="who", action="store_const", const=Who.ROOT, help="with the root's key, whom no policy locks out"
    )
    parser.set_defaults(who=Who.LEARNER)


def _add_serving_options(parser: argparse.ArgumentParser) -> None:
    _add_state(parser)
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="default: %(default)s; 0 takes any free one")
    parser.add_argument("--account", type=_account, default=DEFAULT_ACCOUNT, help="12 digits; default: %(default)s")
    parser.add_argument(
        "--auth",
        type=AuthMode,
        choices=list(AuthMode),
        default=AuthMode.ENFORCE,
        help="enforce: keys and policies count; open: any key is root (default: %(default)s)",
    )
    parser.add_argument(
        "--backing-url",
        type=_backing_url,
        metavar="URL",
        help="the LocalStack of --target localstack, at http://HOST:PORT (default: one is started by docker compose)",
    )
    parser.add_argument("--allow-reset", action="store_true", help="let POST /_stagemaker/reset empty the account")
    parser.add_argument(
        "--listen",
        default=LOOPBACK,
        metavar="ADDRESS",
        help="another address only inside a container whose ports are published on loopback (default: %(default)s)",
    )
    parser.add_argument(
        "--stop-grace",
        type=float,
        default=DEFAULT_STOP_GRACE,
        metavar="SECONDS",
        help="between SIGTERM and SIGKILL for a container that is stopped (default: %(default)s, as on AWS)",
    )
    parser.add_argument(
        "--keep-failed",
        type=_gigabytes,
        default=DEFAULT_KEEP_FAILED,
        metavar="GB",
        help="what failed jobs' folders may take together before the oldest go (default: %(default)s)",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="programs that stand for your own images")


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65534:  # the proxy listens on the one above
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65534)")
    return int(text)


def _account(text: str) -> str:
    if len(text) != 12 or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not an account: AWS account ids have 12 digits")
    return text


def _group(text: str) -> tuple[str, str]:
    prefix, equals, title = text.partition("=")
    if not (prefix and equals and title):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form PREFIX=TITLE")
    return prefix, title


def _gigabytes(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of GB")
    return float(text)


def _backing_url(text: str) -> str:
    if not re.fullmatch(r"http://[A-Za-z0-9._-]+:[0-9]{1,5}/?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an address of the form http://HOST:PORT")
    return text.rstrip("/")


def _settings(options: argparse.Namespace) -> Settings:
    if options.backing_url and options.target != "localstack":
        raise StateError("--backing-url is for --target localstack")
    return Settings(
        state=options.state,
        port=options.port,
        account=options.account,
        auth=options.auth,
        allow_reset=options.allow_reset,
        images=options.images.absolute() if options.images else None,
        listen=options.listen,
        backing_url=options.backing_url or _localstack(options),
        stop_grace=options.stop_grace,
        keep_failed=options.keep_failed,
    )


def _localstack(options: argparse.Namespace) -> str | None:
    """The LocalStack to use where none was named: that of the stage that runs already, else one from Compose."""
    if options.target != "localstack":
        return None
    running = StateFolder(options.state).running()
    return (running or {}).get("backing_url") or start_localstack()


def _serve(options: argparse.Namespace) -> int:
    from stagemaker.server import serve  # uvicorn and the backing: only a server needs them

    return serve(_settings(options))


def _up(options: argparse.Namespace) -> int:
    print(up(_settings(options)))
    return 0


def _down(options: argparse.Namespace) -> int:
    print(down(StateFolder(options.state)))
    return 0


def _status(options: argparse.Namespace) -> int:
    folder = StateFolder(options.state)
    running = folder.running()
    if running:
        from stagemaker.sagemaker.hosting import endpoint_status  # only a stage that runs has any

        endpoints = endpoint_status.endpoints(folder.database)
    if options.json:
        shown = {**running, "endpoints": [asdict(each) for each in endpoints]} if running else {}
        print(json.dumps({"running": running is not None, "state": str(folder.root), **shown}))
    elif running:
        backing = f"LocalStack at {running['backing_url']}" if "backing_url" in running else "embedded"
        print(f"A stage runs at {running['endpoint']} (process {running['pid']}), state in {folder.root}")
        print(f"Backing: {backing}")
        print(endpoint_status.as_text(endpoints))
    else:
        print(f"No stage runs on {folder.root}. Start one with: stagemaker up")
    return 0 if running else EXIT_NO_STAGE


def _env(options: argparse.Namespace) -> int:
    folder = StateFolder(options.state)
    running = _running(folder)
    variables = stage_environment(folder, running["endpoint"], options.who)
    if options.proxy:
        variables |= proxy_environment(folder, running["proxy"])
    if options.json:
        print(json.dumps(variables))
    else:
        print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))
    return 0


def _bill(options: argparse.Namespace) -> int:
    from stagemaker.sagemaker import bill  # botocore's shapes: 0.2 s that other commands do without

    folder = StateFolder(options.state)
    lines = bill.bill(folder.database) if folder.database.exists() else []
    if options.only:
        lines = [line for line in lines if line.belongs_to(options.only)]
    groups = bill.grouped(lines, dict(options.group))
    print(bill.as_json(groups) if options.json else bill.as_text(groups))
    return 0


def _interrupt(options: argparse.Namespace) -> int:
    from stagemaker.jobs.interruption import InterruptionError, interrupt

    try:
        interrupt(StateFolder(options.state.absolute()).jobs, options.region, options.job)
    except InterruptionError as error:
        print(f"stagemaker: {error}", file=sys.stderr)
        return EXIT_FAILED
    print(f"{options.job} loses its spot instances and begins anew from its checkpoints.")
    return 0


def _run(options: argparse.Namespace) -> int:
    """Replace this process by the command."""
    folder = StateFolder(options.state)
    environment = inside_environment(folder, _running(folder), os.environ, options.who)
    try:
        os.execvpe(options.words[0], options.words, environment)  # noqa: S606 - that is what it is for
    except OSError as error:
        print(f"stagemaker: cannot run {options.words[0]}: {error.strerror}", file=sys.stderr)
        return EXIT_CANNOT_RUN


def _shell(options: argparse.Namespace) -> int:
    options.words = [os.environ.get("SHELL") or "/bin/sh"]
    print("A shell on the stage: AWS clients reach it, and pip or git reach nothing. `exit` leaves it.")
    sys.stdout.flush()
    return _run(options)


def _running(folder: StateFolder) -> dict[str, str]:
    """The addresses of the stage on `folder`. Raises NoStageError."""
    running = folder.running()
    if running is None:
        raise NoStageError(f"no stage runs on {folder.root}. Start one with: stagemaker up")
    return running
