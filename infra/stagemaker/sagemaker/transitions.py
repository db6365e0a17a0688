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


def seconds_in(document: Document, statuses: Collection[str]) -> float:
    """The seconds spent in `statuses`, of those transitions that are over."""
    steps = (step for step in document["SecondaryStatusTransitions"] if step["Status"] in statuses)
    return sum((float(step["EndTime"]) - float(step["StartTime"]) for step in steps if "EndTime" in step), start=0.0)
