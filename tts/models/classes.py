"""Conditions of class-conditional models; a thousand classes are taken for ImageNet's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tts import imagenet
from tts.errors import SettingError
from tts.plan import Condition


def class_index(value: object, classes: int) -> int:
    """A class index 0 .. classes - 1, from a number or its digits.

    Raises:
        SettingError: the value is no such index.
    """
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(number, str):
        raise SettingError(f"unknown class {number!r}: this model has no names of classes; give 0 to {classes - 1}")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < classes:
        raise SettingError(f"class {value} is out of range: this model has the classes 0 to {classes - 1}")
    return number


def class_condition(value: object, classes: int) -> int:
    """A class index 0 .. classes - 1, from a number, its digits or, for ImageNet's classes, a name.

    Raises:
        SettingError: the value names no class.
    """
    named = isinstance(value, str) and not value.isdecimal()
    return imagenet.index(value) if named and classes == imagenet.CLASSES else class_index(value, classes)


def class_label(index: object, classes: int) -> str:
    """The class's name, or its index where it has none."""
    number = class_index(index, classes)
    return imagenet.names()[number] if classes == imagenet.CLASSES else f"class {number}"


class OfClasses:
    """Base of settings of class-conditional models: the conditions are ``classes`` class indices."""

    if TYPE_CHECKING:

        @property
        def classes(self) -> int:
            """Number of classes of the network."""
            ...

    def condition(self, value: object) -> Condition:
        """A class index, from the index or, for ImageNet's classes, a name."""
        return class_condition(value, self.classes)

    def conditions(self) -> tuple[Condition, ...]:
        """The class indices."""
        return tuple(range(self.classes))

    def label(self, condition: Condition) -> str:
        """The class's name."""
        return class_label(condition, self.classes)
