"""Reads CloudFormation templates, and matches event patterns as EventBridge does, as far as ours need it."""

import re
from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Keeps `!Ref x` and the like as {"Ref": "x"}."""


def _tagged(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    return {suffix: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _tagged)


def load(path: Path) -> dict[str, Any]:
    """A template."""
    found: dict[str, Any] = yaml.load(path.read_text(), _Loader)
    return found


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether an event pattern matches: each of its fields, by one of the conditions that are listed."""
    for name, wanted in pattern.items():
        found = event.get(name)
        if isinstance(wanted, dict):
            if not isinstance(found, dict) or not matches(wanted, found):
                return False
        elif found is None or not any(_holds(condition, found) for condition in wanted):
            return False
    return True


def _holds(condition: Any, value: Any) -> bool:
    match condition:
        case {"wildcard": str(text)}:
            return _like(text, value)
        case {"anything-but": {"wildcard": list(texts)}}:
            return not any(_like(text, value) for text in texts)
        case {"Ref": str(name)}:
            return bool(value == f"<{name}>")
        case str(text):
            return bool(value == text)
    raise AssertionError(f"this test does not know the condition {condition}")


def _like(text: str, value: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, text.split("*"))), value, re.DOTALL) is not None
