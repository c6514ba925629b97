"""Conditions of class-conditional models; those with a thousand classes are ImageNet's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tts import imagenet
from tts.errors import SettingError
from tts.plan import Condition


def class_index(value: object, classes: int) -> int:
    """A class index 0 .. classes - 1, from a number or its digits.

    Raises:
        SettingError: it is none.
    """
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < classes:
        raise SettingError(f"class {value} is out of range: this model has the classes 0 to {classes - 1}")
    return number


def class_condition(value: object, classes: int) -> int:
    """A class index, from a number, its digits or, where the classes are ImageNet's, a name.

    Raises:
        SettingError: it is none.
    """
    named = isinstance(value, str) and not value.isdecimal()
    return imagenet.index(value) if named and classes == imagenet.CLASSES else class_index(value, classes)


def class_label(index: object, classes: int) -> str:
    """The class's name, or its index where it has none."""
    number = class_index(index, classes)
    return imagenet.names()[number] if classes == imagenet.CLASSES else f"class {number}"


class OfClasses:
    """The conditions of a model of ``classes`` classes, for its settings to inherit."""

    if TYPE_CHECKING:

        @property
        def classes(self) -> int:
            """Classes of the network."""
            ...

    def condition(self, value: object) -> Condition:
        """A class index, or the name of a class of ImageNet."""
        return class_condition(value, self.classes)

    def conditions(self) -> tuple[Condition, ...]:
        """The class indices."""
        return tuple(range(self.classes))

    def label(self, condition: Condition) -> str:
        """The class's name."""
        return class_label(condition, self.classes)
