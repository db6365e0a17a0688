"""What a bucket's lifecycle rules will do to the lake.

`checks.py` starts this as a process of its own. In: `rules`, as GetBucketLifecycleConfiguration tells them, with dates
as text; `sizes`, the bytes of each key that the rules are judged on. Out: a card, or null, for each name in `JUDGES`.

Nothing is waited for: a rule acts once a day at most, and counts in days.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cards import Card, card

COLDER = {"STANDARD_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"}
ARCHIVED = {"GLACIER", "DEEP_ARCHIVE"}
"""Classes from which an object must be restored, for minutes to days, before anyone can read it."""

ACTIONS = (
    "Transitions",
    "Expiration",
    "NoncurrentVersionTransitions",
    "NoncurrentVersionExpiration",
    "AbortIncompleteMultipartUpload",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `narrowed`: it wants tags, so it does not act on every object that it reaches."""

    name: str
    prefix: str
    more_than: int | None
    less_than: int | None
    narrowed: bool
    enabled: bool
    actions: Mapping[str, Any]

    def reaches(self, key: str, size: int) -> bool:
        """Whether the rule is on and looks at objects of this key and size."""
        is_small_enough = self.less_than is None or size < self.less_than
        is_large_enough = self.more_than is None or size > self.more_than
        return self.enabled and key.startswith(self.prefix) and is_small_enough and is_large_enough

    @property
    def title(self) -> str:
        """How cards call the rule."""
        name = f"rule `{self.name}`" if self.name else "a rule"
        where = f"on `{self.prefix}`" if self.prefix else "on every key"
        return f"{name} {where}{'' if self.enabled else ' (disabled)'}"

    @property
    def destinations(self) -> list[str]:
        """The storage classes to which it moves what it reaches, some days after each object was written."""
        return [move["StorageClass"] for move in self.actions.get("Transitions", []) if "Days" in move]

    def __str__(self) -> str:
        """The rule in short."""
        does = ", ".join(name for name in ACTIONS if name in self.actions) or "nothing"
        return f"{self.title}: {does}"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The rules, and the keys with their sizes in bytes that they are judged on."""

    rules: Sequence[Rule]
    sizes: Mapping[str, int]

    def acting_on(self, key: str) -> list[Rule]:
        """The rules that act on `key` whatever its tags."""
        return [rule for rule in self.rules if rule.reaches(key, self.sizes[key]) and not rule.narrowed]

    def __str__(self) -> str:
        """All rules in short."""
        return "; ".join(map(str, self.rules)) or "no lifecycle rule"


def read_rule(entry: Mapping[str, Any]) -> Rule:
    """A rule as S3 tells it; the prefix may stand in any of three places."""
    outer = entry.get("Filter") or {}
    inner = {**outer, **outer.get("And", {})}
    return Rule(
        name=entry.get("ID", ""),
        prefix=inner.get("Prefix", entry.get("Prefix", "")),
        more_than=inner.get("ObjectSizeGreaterThan"),
        less_than=inner.get("ObjectSizeLessThan"),
        narrowed="Tag" in inner or "Tags" in inner,
        enabled=entry["Status"] == "Enabled",
        actions=entry,
    )


def raw_grows_cold(lifecycle: Lifecycle) -> Card | None:
    """Raw files must move to a colder class after some days, and one that keeps them safe."""
    for key in _in_folder(lifecycle, "raw/"):
        classes = [name for rule in lifecycle.acting_on(key) for name in rule.destinations]
        if COLDER.isdisjoint(classes):
            return card(
                f"the lifecycle, for {_shown(key)}",
                f"raw files move to {classes[0]}" if classes else str(lifecycle),
                "a rule that moves raw files after a number of days to a class that costs less to keep",
                "ONEZONE_IA keeps its copies in one zone: good for what can be made again, and raw data cannot"
                if classes
                else _why_not_reached(lifecycle, "Transitions", "raw/"),
                "a rule with Filter Prefix raw/ and Transitions to STANDARD_IA or GLACIER_IR, with Days",
            )
    return None


def old_versions_expire(lifecycle: Lifecycle) -> Card | None:
    """Old versions of every object must be deleted after some days."""
    return _reaches_all(
        lifecycle, "NoncurrentVersionExpiration", "a rule with an empty Filter and NoncurrentDays 90, in the same call"
    )


def uploads_aborted(lifecycle: Lifecycle) -> Card | None:
    """Uploads that never end must be aborted wherever they are made."""
    return _reaches_all(
        lifecycle,
        "AbortIncompleteMultipartUpload",
        "a rule with an empty Filter and DaysAfterInitiation 7, in the same call",
    )


def current_data_kept(lifecycle: Lifecycle) -> Card | None:
    """No rule may delete a current object, nor move curated ones where no job can read them."""
    for key, size in lifecycle.sizes.items():
        folder = key.partition("/")[0] + "/"
        for rule in lifecycle.rules:
            if not rule.reaches(key, size):
                continue
            expiry = rule.actions.get("Expiration", {})
            if "Days" in expiry or "Date" in expiry:
                when = f"{expiry['Days']} days" if "Days" in expiry else expiry["Date"]
                return card(
                    f"the lifecycle: {rule.title}",
                    f"it deletes current objects of {folder}: Expiration {when}",
                    "current data stay until somebody decides otherwise",
                    "Expiration is about current versions; old ones have a NoncurrentVersionExpiration of their own",
                    "take the Expiration out of that rule",
                )
            cold = ARCHIVED.intersection(rule.destinations)
            if cold and folder != "raw/":
                return card(
                    f"the lifecycle: {rule.title}",
                    f"it moves objects of {folder} to {min(cold)}",
                    "curated data in a class that can be read at once",
                    "an archived object answers InvalidObjectState until it is restored, and a job fails on it",
                    "let that rule reach raw/ only",
                )
    return None


def _reaches_all(lifecycle: Lifecycle, action: str, step: str) -> Card | None:
    for key in lifecycle.sizes:
        if not any(action in rule.actions for rule in lifecycle.acting_on(key)):
            folder = key.partition("/")[0] + "/"
            return card(
                f"the lifecycle, for {_shown(key)}",
                str(lifecycle),
                f"a rule with {action} that reaches all of raw/ and curated/",
                _why_not_reached(lifecycle, action, folder),
                step,
            )
    return None


def _shown(key: str) -> str:
    """How cards call a key; the raw one is of a day that is still to come."""
    return "raw files of coming days" if key.startswith("raw/") else key


def _in_folder(lifecycle: Lifecycle, folder: str) -> Iterable[str]:
    return (key for key in lifecycle.sizes if key.startswith(folder))


def _why_not_reached(lifecycle: Lifecycle, action: str, folder: str) -> str:
    """The likely reason for which no rule does `action` in `folder`."""
    having = [rule for rule in lifecycle.rules if action in rule.actions]
    if not lifecycle.rules:
        return "the rules are still to be written"
    if not having:
        return "no rule does it; if one did, a later call took it away: each put replaces the whole lifecycle"
    if not any(rule.enabled for rule in having):
        return "a rule whose Status is Disabled does nothing"
    if any(rule.prefix.startswith("/") for rule in having):
        return "a key does not begin with `/`, so a prefix that does matches nothing"
    if any(rule.narrowed for rule in having):
        return "the rule wants a tag that not every object has"
    return f"its prefix, its sizes or a fixed date leave out objects of {folder}"


JUDGES: Mapping[str, Callable[[Lifecycle], Card | None]] = {
    "raw_grows_cold": raw_grows_cold,
    "old_versions_expire": old_versions_expire,
    "uploads_aborted": uploads_aborted,
    "current_data_kept": current_data_kept,
}


def main() -> None:
    """Answer the question on stdin."""
    asked = json.load(sys.stdin)
    lifecycle = Lifecycle([read_rule(entry) for entry in asked["rules"]], asked["sizes"])
    json.dump({name: judge(lifecycle) for name, judge in JUDGES.items()}, sys.stdout)


if __name__ == "__main__":
    main()
