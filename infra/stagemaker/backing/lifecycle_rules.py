"""What S3 refuses to take as a bucket's lifecycle rules, and what it adds to those that it takes.

Limits: S3 user guide, "Lifecycle configuration elements" and "Transitioning objects using Amazon S3
Lifecycle". The words are those that S3 was seen to answer; where none is on record, they follow the
nearest that is.
"""

from __future__ import annotations

import base64
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise, permutations
from xml.etree.ElementTree import Element, SubElement

from stagemaker.backing import lifecycle_values as values
from stagemaker.backing.lifecycle_values import Move, Scope, When, invalid_argument, invalid_request
from stagemaker.backing.s3_documents import malformed, read_document, write_document

_ROOT = "LifecycleConfiguration"
_MOST_RULES = 1000
_LONGEST_ID = 255  # characters
_LARGEST_SIZE = 1024**4 * 1000  # bytes, as S3's message has it

_EXPIRATION, _TRANSITION = "Expiration", "Transition"
_OLD_EXPIRATION, _OLD_TRANSITION = "NoncurrentVersionExpiration", "NoncurrentVersionTransition"
_ABORT = "AbortIncompleteMultipartUpload"
_ACTIONS = (_EXPIRATION, _TRANSITION, _OLD_EXPIRATION, _OLD_TRANSITION, _ABORT)

_MEMBERS: Mapping[str, set[str]] = {
    _ROOT: {"Rule"},
    "Rule": {"ID", "Prefix", "Filter", "Status", *_ACTIONS},
    "Filter": {"And", "Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan"},
    "And": {"Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan"},
    "Tag": {"Key", "Value"},
    _EXPIRATION: {"Date", "Days", "ExpiredObjectDeleteMarker"},
    _TRANSITION: {"Date", "Days", "StorageClass"},
    _OLD_EXPIRATION: {"NoncurrentDays", "NewerNoncurrentVersions"},
    _OLD_TRANSITION: {"NoncurrentDays", "NewerNoncurrentVersions", "StorageClass"},
    _ABORT: {"DaysAfterInitiation"},
}
"""The schema: elements, and which they may hold."""

_REPEATED = {(_ROOT, "Rule"), ("Rule", _TRANSITION), ("Rule", _OLD_TRANSITION), ("And", "Tag")}
"""What may come more than once: the holder, and the element."""

_STAY: Mapping[str, int] = {"STANDARD_IA": 30, "ONEZONE_IA": 30, "GLACIER_IR": 90, "GLACIER": 90}
"""Days that objects stay in a class before a rule may move them on."""


def check_lifecycle(body: bytes) -> None:
    """Check the document of PutBucketLifecycleConfiguration.

    Raises MalformedXML, InvalidArgument or InvalidRequest (all 400), for the first fault.
    """
    document = read_document(body, _ROOT)
    _check_members(document)
    rules = list(document)
    if not rules:
        raise malformed()
    if len(rules) > _MOST_RULES:
        raise invalid_request("The number of lifecycle rules must not exceed the allowed limit of 1000 rules.")
    _check_ids([rule.findtext("ID", "") for rule in rules])
    # S3's name for rules with filters is V2; before them, rules had a prefix of their own.
    is_v2 = rules[0].find("Filter") is not None
    for rule in rules:
        _check_rule(rule, is_v2=is_v2)
    if not is_v2:
        _check_overlaps(rules)


def complete_lifecycle(body: bytes) -> bytes:
    """Checked rules, those without an ID with one as S3 makes them, and all prefixes in filters.

    ministack drops a rule's own prefix, so the rule would reach every object. Raises MalformedXML.
    """
    document = read_document(body, _ROOT)
    for rule in document:
        if not rule.findtext("ID"):
            for element in rule.findall("ID"):
                rule.remove(element)
            SubElement(rule, "ID").text = base64.b64encode(str(uuid.uuid4()).encode()).decode()
        prefix = rule.find("Prefix")
        if prefix is not None:
            rule.remove(prefix)
            SubElement(rule, "Filter").append(prefix)
    return write_document(document)


def _check_members(element: Element) -> None:
    for name, count in Counter(child.tag for child in element).items():
        if name not in _MEMBERS[element.tag] or (count > 1 and (element.tag, name) not in _REPEATED):
            raise malformed()
    for child in element:
        if child.tag in _MEMBERS:
            _check_members(child)


def _check_ids(ids: Sequence[str]) -> None:
    given = [each for each in ids if each]
    if any(len(each) > _LONGEST_ID for each in given):
        raise invalid_argument(f"ID length should not exceed allowed limit of {_LONGEST_ID}")
    if len(set(given)) < len(given):
        raise invalid_argument("Rule ID must be unique. Found same ID for more than one rule")


def _check_rule(rule: Element, *, is_v2: bool) -> None:
    if rule.findtext("Status") not in {"Enabled", "Disabled"}:
        raise malformed()
    scope = _scope(rule, is_v2=is_v2)
    if all(rule.find(action) is None for action in _ACTIONS):
        raise invalid_request("At least one action needs to be specified in a rule")
    if not is_v2 and rule.find("*/NewerNoncurrentVersions") is not None:
        raise invalid_request("NewerNoncurrentVersions element can only be used in Lifecycle V2.")
    moves = [values.move(element) for element in rule.findall(_TRANSITION)]
    old_moves = [values.old_move(element) for element in rule.findall(_OLD_TRANSITION)]
    end, old_end = _end(rule.find(_EXPIRATION), scope), _old_end(rule.find(_OLD_EXPIRATION))
    abort = rule.find(_ABORT)
    if abort is not None:
        values.positive(abort, "DaysAfterInitiation")
        _refuse_narrowing(_ABORT, scope)
    _check_order(_TRANSITION, moves, scope)
    _check_order(_OLD_TRANSITION, old_moves, scope)
    _check_end(_EXPIRATION, end, _TRANSITION, moves, scope)
    _check_end(_OLD_EXPIRATION, old_end, _OLD_TRANSITION, old_moves, scope)


def _scope(rule: Element, *, is_v2: bool) -> Scope:
    prefix, given = rule.find("Prefix"), rule.find("Filter")
    if prefix is not None and is_v2:
        raise invalid_request(
            "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the Filter."
        )
    if given is None:
        if prefix is None:
            raise malformed()
        return _scope_of([prefix])
    if not is_v2:
        raise invalid_request("Filter element can only be used in Lifecycle V2.")
    both = given.find("And")
    if len(given) > 1 or (both is not None and len(both) < 2):
        raise malformed()
    return _scope_of(given if both is None else both)


def _scope_of(conditions: Sequence[Element] | Element) -> Scope:
    tags = [(each.findtext("Key", ""), each.findtext("Value", "")) for each in conditions if each.tag == "Tag"]
    if len(dict(tags)) < len(tags):
        raise invalid_request("Duplicate Tag Keys are not allowed.")
    sizes = {each.tag: values.integer(each) for each in conditions if each.tag.startswith("ObjectSize")}
    more, less = sizes.get("ObjectSizeGreaterThan", 0), sizes.get("ObjectSizeLessThan", _LARGEST_SIZE)
    if not 0 <= more <= _LARGEST_SIZE:
        raise invalid_request(f"'ObjectSizeGreaterThan' should be between 0 and {_LARGEST_SIZE}.")
    if not 1 <= less <= _LARGEST_SIZE:
        raise invalid_request(f"'ObjectSizeLessThan' should be between 1 and {_LARGEST_SIZE}.")
    if len(sizes) == 2 and less <= more:
        raise invalid_request("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")
    words = [f"prefix={each.text or ''}" for each in conditions if each.tag == "Prefix"]
    words += [f"tag={{key={key}, value={value}}}" for key, value in tags]
    words += [f"{name.lower()}={sizes[name]}" for name in sorted(sizes)]
    return Scope(f"({' and '.join(words)})", has_tags=bool(tags), has_sizes=bool(sizes))


def _end(action: Element | None, scope: Scope) -> When | None:
    """When an Expiration deletes current versions, if it does."""
    if action is None:
        return None
    if len(action) != 1:
        raise malformed()
    match action[0].tag:
        case "Days":
            return When("Days", values.positive(action, "Days"))
        case "Date":
            return When("Date", values.midnight(action[0]))
    if action[0].text not in {"true", "false"}:
        raise malformed()
    _refuse_narrowing("ExpiredObjectDeleteMarker", scope)
    return None


def _old_end(action: Element | None) -> When | None:
    """When a NoncurrentVersionExpiration deletes old versions."""
    if action is None:
        return None
    values.check_newer(action)
    return When("NoncurrentDays", values.positive(action, "NoncurrentDays"))


def _refuse_narrowing(action: str, scope: Scope) -> None:
    if scope.has_tags:
        raise invalid_request(f"{action} cannot be specified with Tags.")
    if scope.has_sizes:
        raise invalid_request(f"{action} cannot be specified with Object Size.")


def _check_order(action: str, moves: Sequence[Move], scope: Scope) -> None:
    """Refuse moves to the same class, on days that cannot be compared, to a warmer class, and too soon on."""
    if len({move.when.field for move in moves}) > 1:
        raise invalid_request(
            f"Found mixed 'Date' and 'Days' based {action} actions in lifecycle rule for filter '{scope.words}'"
        )
    if len({move.storage_class for move in moves}) < len(moves):
        raise invalid_request(
            f"'StorageClass' must be different for '{action}' actions in same 'Rule' with filter '{scope.words}'"
        )
    for warm, cold in permutations(moves, 2):
        if cold.storage_class not in values.COLDER[warm.storage_class]:
            continue
        field, between = warm.when.field, cold.when.day - warm.when.day
        stay = 0 if field == "Date" else _STAY.get(warm.storage_class, 0)  # of dates no refusal is on record
        if between <= 0:
            raise invalid_argument(
                f"'{field}' in the {action} action for StorageClass '{cold.storage_class}' for filter "
                f"'{scope.words}' must be greater than '{field}' in the {action} action for StorageClass "
                f"'{warm.storage_class}' for filter '{scope.words}'"
            )
        if between < stay:
            raise invalid_argument(
                f"'{field}' in the '{action}' action for StorageClass '{cold.storage_class}' for filter "
                f"'{scope.words}' must be {stay} days more than 'filter '{scope.words}'' in the '{action}' action "
                f"for StorageClass '{warm.storage_class}'"
            )


def _check_end(action: str, end: When | None, move_action: str, moves: Sequence[Move], scope: Scope) -> None:
    """Refuse an expiration before a move, on the same day, or on a day that cannot be compared."""
    if end is None:
        return
    for move in moves:
        if move.when.field != end.field:
            raise invalid_request(
                f"Found mixed 'Date' and 'Days' based {action} and {move_action} actions in lifecycle rule "
                f"for filter '{scope.words}'"
            )
        if end.day <= move.when.day:
            raise invalid_argument(
                f"'{end.field}' in the {action} action for filter '{scope.words}' must be greater than "
                f"'{end.field}' in the {move_action} action"
            )


def _check_overlaps(rules: Sequence[Element]) -> None:
    """Before V2, no two rules may do the same to the same objects."""
    for action in _ACTIONS:
        prefixes = sorted(rule.findtext("Prefix", "") for rule in rules if rule.find(action) is not None)
        # Sorted, a prefix that begins another begins the next one too.
        for shorter, longer in pairwise(prefixes):
            if longer.startswith(shorter):
                raise invalid_request(
                    f"Found overlapping prefixes '{shorter}' and '{longer}' for same action type '{action}'"
                )
