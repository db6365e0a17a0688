"""Secondary status and its transitions, as DescribeTrainingJob shows them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

Document = dict[str, Any]


def enter(document: Document, status: str, message: str, time: float) -> None:
    """Enter `status`, or change the message of the status that the document is in.

    Messages are replaced, not added: the last one of each status is what stays.
    """
    transitions = document.setdefault("SecondaryStatusTransitions", [])
    if transitions and transitions[-1]["Status"] == status:
        transitions[-1]["StatusMessage"] = message
    else:
        if transitions:
            transitions[-1]["EndTime"] = time
        transitions.append({"Status": status, "StartTime": time, "StatusMessage": message})
    document["SecondaryStatus"] = status


def end(document: Document, status: str, message: str, time: float) -> None:
    """Enter the last status, which is over as soon as it is entered."""
    enter(document, status, message, time)
    document["SecondaryStatusTransitions"][-1]["EndTime"] = time


def seconds_in(document: Document, statuses: Collection[str], until: float | None = None) -> float:
    """The seconds spent in `statuses`. One that is not over counts to `until`, or not at all."""
    total = 0.0
    for step in document["SecondaryStatusTransitions"]:
        end = step.get("EndTime", until)
        if step["Status"] in statuses and end is not None:
            total += end - step["StartTime"]
    return total
