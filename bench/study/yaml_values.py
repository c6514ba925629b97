"""YAML as configurations use it: no key twice, no number that YAML 1.1 reads as another."""

from __future__ import annotations

import re
from typing import Any

import yaml

MOST_BYTES = 2**24
"""Of a text; a configuration has some thousands."""

MOST_VALUES = 10**6
"""That a text may stand for, each alias counted as what it repeats."""

OCTAL = re.compile(r"[-+]?0[0-9_]+")
SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which says what it would change in silence."""

    def get_single_node(self) -> yaml.Node | None:
        """The text's one value; refused where its aliases repeat very much, or themselves."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None and _values(node, {}) > MOST_VALUES:
            raise yaml.YAMLError(f"its aliases stand for more than {MOST_VALUES} values")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping; a key that stands there twice is refused, one of a merge (``<<``) may be set again."""
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if key.value in seen:
                raise yaml.YAMLError(f"'{key.value}' stands twice, in lines {seen[key.value]} and {line}; remove one")
            seen[key.value] = line
        self.flatten_mapping(node)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """A number; one that YAML 1.1 takes for octal or sexagesimal is refused."""
        text, line = str(node.value), node.start_mark.line + 1
        if OCTAL.fullmatch(text):
            plain = text.replace("_", "")
            raise yaml.YAMLError(f"line {line}: YAML reads {text} as octal; write {int(plain)}, or '{text}' for a text")
        if SEXAGESIMAL.fullmatch(text):
            raise yaml.YAMLError(f"line {line}: YAML reads {text} in base 60; write '{text}' for a text")
        found: int | float = (
            self.construct_yaml_int(node) if node.tag.endswith(":int") else self.construct_yaml_float(node)
        )
        return found


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)


def _values(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """How many values a node stands for."""
    if node not in known:
        known[node] = MOST_VALUES + 1  # what it has inside while it is being counted
        if isinstance(node, yaml.MappingNode):
            known[node] = 1 + sum(_values(each, known) for pair in node.value for each in pair)
        else:
            known[node] = 1 + sum(_values(each, known) for each in node.value if isinstance(each, yaml.Node))
    return known[node]


def load(text: str | bytes) -> Any:
    """The value of a YAML text; bytes are UTF-8, or UTF-16 with its mark, whatever the locale.

    Raises:
        yaml.YAMLError: not YAML, a key stands twice, a number is read as another, or it is far too large.
        ValueError: a date that does not exist.
        RecursionError: it is nested too deeply.
    """
    if len(text) > MOST_BYTES:
        raise yaml.YAMLError(f"it has more than {MOST_BYTES >> 20} MiB")
    return yaml.load(text, _Loader)  # noqa: S506  (a safe loader)
