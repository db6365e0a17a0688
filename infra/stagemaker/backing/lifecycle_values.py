"""What the elements of lifecycle rules say: numbers, days and storage classes, and S3's words when they cannot be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from xml.etree.ElementTree import Element

from stagemaker.backing.s3_documents import malformed
from stagemaker.wire.errors import AwsError

COLDER: Mapping[str, frozenset[str]] = {
    "STANDARD_IA": frozenset({"INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"}),
    "INTELLIGENT_TIERING": frozenset({"ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"}),
    "ONEZONE_IA": frozenset({"GLACIER", "DEEP_ARCHIVE"}),
    "GLACIER_IR": frozenset({"GLACIER", "DEEP_ARCHIVE"}),
    "GLACIER": frozenset({"DEEP_ARCHIVE"}),
    "DEEP_ARCHIVE": frozenset(),
}
"""From each storage class that a rule can move objects to, those that they can move on to."""

_YOUNGEST: Mapping[str, int] = {"STANDARD_IA": 30, "ONEZONE_IA": 30}
"""Days that objects must be old before a rule may move them to a class."""

_LARGEST_DAYS = 2**31 - 1
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class When:
    """`day` is an object's age in days or, for `field` Date, a day of the calendar."""

    field: str
    day: int


@dataclass(frozen=True, slots=True)
class Move:
    """To which storage class objects go, and when."""

    storage_class: str
    when: When


@dataclass(frozen=True, slots=True)
class Scope:
    """Which objects a rule is for; `words` are those of S3's messages."""

    words: str
    has_tags: bool
    has_sizes: bool


def invalid_argument(message: str) -> AwsError:
    """S3's InvalidArgument (400)."""
    return AwsError("InvalidArgument", message)


def invalid_request(message: str) -> AwsError:
    """S3's InvalidRequest (400)."""
    return AwsError("InvalidRequest", message)


def integer(element: Element) -> int:
    """The integer in `element`. Raises MalformedXML."""
    if not _INTEGER.fullmatch(element.text or ""):
        raise malformed()
    return int(element.text or "")


def positive(action: Element, name: str) -> int:
    """The count that `action` must have as `name`. Raises MalformedXML, InvalidArgument."""
    element = action.find(name)
    if element is None:
        raise malformed()
    value = _days(element)
    if value <= 0:
        raise invalid_argument(f"'{name}' for {action.tag} action must be a positive integer")
    return value


def move(action: Element) -> Move:
    """What a Transition says. Raises MalformedXML, InvalidArgument."""
    storage_class, days, date = _storage_class(action), action.find("Days"), action.find("Date")
    if days is not None and date is not None:
        raise malformed()
    if date is not None:
        return Move(storage_class, When("Date", midnight(date)))
    if days is None:
        raise invalid_argument("'Transition' action must specify either 'Days' or 'Date'")
    return Move(storage_class, When("Days", _age(action, days, storage_class)))


def old_move(action: Element) -> Move:
    """What a NoncurrentVersionTransition says. Raises MalformedXML, InvalidArgument."""
    storage_class, days = _storage_class(action), action.find("NoncurrentDays")
    if days is None:
        raise malformed()
    check_newer(action)
    return Move(storage_class, When("NoncurrentDays", _age(action, days, storage_class)))


def check_newer(action: Element) -> None:
    """Check how many newer versions `action` on old versions spares. Raises MalformedXML, InvalidArgument.

    S3 documents 100 as the most, and was seen to take 500.
    """
    if action.find("NewerNoncurrentVersions") is not None:
        positive(action, "NewerNoncurrentVersions")


def midnight(element: Element) -> int:
    """The day that a Date means, counted from the year 1. Raises MalformedXML, InvalidArgument."""
    try:
        given = datetime.fromisoformat(element.text or "")
        moment = given.replace(tzinfo=given.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise malformed() from None
    if moment.time() != time():
        raise invalid_argument("'Date' must be at midnight GMT")
    return moment.toordinal()


def _days(element: Element) -> int:
    value = integer(element)
    if abs(value) > _LARGEST_DAYS:
        raise malformed()
    return value


def _storage_class(action: Element) -> str:
    name = action.findtext("StorageClass", "")
    if name not in COLDER:
        raise malformed()
    return name


def _age(action: Element, days: Element, storage_class: str) -> int:
    age, youngest = _days(days), _YOUNGEST.get(storage_class, 0)
    if age < 0:
        raise invalid_argument(f"'{days.tag}' in {action.tag} action must be nonnegative")
    if age < youngest:
        raise invalid_argument(
            f"'{days.tag}' in {action.tag} action must be greater than or equal to {youngest} "
            f"for storageClass '{storage_class}'"
        )
    return age
