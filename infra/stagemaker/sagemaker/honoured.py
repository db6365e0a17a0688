"""Which members of a request have an effect, which are only kept, which are refused.

A table a family: members as the API names them. What stands in no table is refused by name. The
same tables make the fidelity page of the docs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stagemaker.wire.errors import NotHonouredError


@dataclass(frozen=True, slots=True)
class Honoured:
    """The member does what it does on AWS, but for what `but` says."""

    but: str = ""


@dataclass(frozen=True, slots=True)
class Only:
    """Only these values are honoured; any other is refused because of `why`."""

    values: tuple[object, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """The member is kept and described, and has no effect: `unseen` is what would happen on AWS."""

    unseen: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The member is refused because of `why`."""

    why: str


Entry = Honoured | Only | Recorded | Refused | Mapping[str, Any]
HONOURED = Honoured()


def refuse_unhonoured(parameters: Mapping[str, Any], table: Mapping[str, Entry], path: str = "") -> None:
    """Raise NotHonouredError (a ValidationException) for the first member without an effect."""
    for name, value in parameters.items():
        where = f"{path}{name}"
        match table.get(name, Refused("this version does not give its effect")):
            case Refused(why):
                raise NotHonouredError(where, why)
            case Only(values, why) if value not in values:
                raise NotHonouredError(f"{where} = {value!r}", why)
            case Mapping() as inner:
                for item in value if isinstance(value, list) else [value]:
                    refuse_unhonoured(item, inner, f"{where}.")


def rows(table: Mapping[str, Entry], path: str = "") -> Iterable[tuple[str, str, str]]:
    """(member, mark, remark) for the fidelity page."""
    for name, entry in table.items():
        where = f"{path}{name}"
        match entry:
            case Honoured(but):
                yield where, "kept", but
            case Only(values, why):
                yield where, "in part", f"only {', '.join(map(str, values))}: {why}"
            case Recorded(unseen):
                yield where, "recorded", unseen
            case Refused(why):
                yield where, "refused", why
            case Mapping() as inner:
                yield from rows(inner, f"{where}.")
