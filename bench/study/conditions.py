"""Conditions of a run: lists, files of prompts, classes of ImageNet."""

from __future__ import annotations

import random
from typing import Any, Literal, TypeVar

from pydantic import Field, StrictInt

from bench.study import prompt_files, prompt_places
from bench.study.prompt_files import Cell, PromptTable
from tts.errors import DataError, SettingError
from tts.models.base import ModelSettings, with_article
from tts.noise import derive_seed
from tts.settings import Settings, nearest, parse

T = TypeVar("T")

FORMATS = {
    "drawbench": {"Prompts", "Category"},
    "partiprompts": {"Prompt", "Category", "Challenge"},
    "geneval": {"prompt", "tag"},
}
"""Columns by which the published lists of prompts are known."""
PROMPTS = {"drawbench": "Prompts", "partiprompts": "Prompt", "geneval": "prompt"}
"""Which of their columns holds the prompts."""


class Selection(Settings):
    """Which of the conditions to take; all, when left out."""

    first: int | None = Field(None, ge=1, description="use only the first ones: this many")
    sample: int | None = Field(None, ge=1, description="use a random sample of this size, in the file's order")
    sample_seed: int = Field(0, ge=0, description="seed of the sample")

    def select(self, items: list[T]) -> list[T]:
        """Those taken.

        Raises:
            SettingError: there are fewer than asked for.
        """
        wanted = max(self.first or 0, self.sample or 0)
        if wanted > len(items):
            raise SettingError(f"problems.conditions: {wanted} are asked for, and there are {len(items)}")
        items = items[: self.first]
        if self.sample is None:
            return items
        if self.sample > len(items):
            raise SettingError(f"problems.conditions: sample = {self.sample} is more than first = {self.first}")
        draw = random.Random(derive_seed("sample", self.sample_seed))  # noqa: S311  (not for secrets)
        return [items[place] for place in sorted(draw.sample(range(len(items)), self.sample))]


class PromptFile(Selection):
    """Prompts from a file: lines of text, or a column of CSV, TSV, JSON, JSON lines or Parquet.

    Repeated ones count once. A cell that is a list of texts is a prompt for each of them; ``outer.inner`` is a column
    inside a structure.
    """

    file: str = Field(
        description="path, https address, or hf://datasets/OWNER/NAME/FILE; without a suffix of a table, each line is "
        "a prompt, # begins a comment; of a folder, all files, whose names are the column 'file'"
    )
    column: str | None = Field(None, description="of a table; left out: the published lists' own, or the only one")
    format: Literal["drawbench", "partiprompts", "geneval"] | None = Field(
        None, description="published list that the file must be; left out: known by its columns"
    )
    where: dict[str, StrictInt | str | list[StrictInt | str]] = Field(
        {}, description="keep only rows with these values, {column: value or values}"
    )

    def conditions(self, model: ModelSettings) -> list[Any]:
        """The prompts.

        Raises:
            SettingError: a column or a value is not there, or the file's form cannot be told.
            DataError: the file is not there, or not what its name says.
        """
        return self.select(list(dict.fromkeys(prompt for prompt, _ in self._rows())))

    def groups(self, column: str) -> dict[str, str]:
        """Each prompt's value in another column; empty where the table has no such column."""
        return {prompt: str(row[column]) for prompt, row in self._rows() if row.get(column)}

    def _rows(self) -> list[tuple[str, dict[str, Cell]]]:
        """Prompts, each with the row that it stands in."""
        table = prompt_files.read(prompt_places.located(self.file), self.column)
        column = self._column(table)
        kept = [(line, row) for line, row in zip(table.lines, table.rows, strict=True) if self._keeps(row)]
        if not kept:
            raise SettingError(f"problems.conditions: no row of {self.file} has {self.where}")
        return [(prompt, row) for line, row in kept for prompt in self._prompts(row, column, f"{table.unit} {line}")]

    def _prompts(self, row: dict[str, Cell], column: str, where: str) -> list[str]:
        """A row's texts in the column."""
        cell = row[column]
        prompts = [prompt.strip() for prompt in (cell if isinstance(cell, list) else [cell or ""])]
        if not prompts or not all(prompts):
            raise DataError(f"{self.file}, {where}: has no {column}")
        if not all(map(prompt_files.whole, prompts)):
            raise DataError(f"{self.file}, {where}: {column} has half a character (a lone surrogate), which is no text")
        return prompts

    def _column(self, table: PromptTable) -> str:
        for name in [self.column, *self.where]:
            if name is not None and name not in table.columns:
                raise SettingError(
                    f"problems.conditions: {self.file} has no column '{name}'; {nearest(name, table.columns)}"
                )
        known = [name for name, needed in FORMATS.items() if needed <= set(table.columns)]
        if self.format is not None and self.format not in known:
            raise DataError(f"{self.file}: is no {self.format} list; its columns are {', '.join(table.columns)}")
        if self.column is not None:
            return self._with_text(self.column, table)
        if known:
            return self._with_text(PROMPTS[self.format or known[0]], table)
        if table.columns == table.plain and len(table.plain) == 1:  # numbers of classes
            return table.plain[0]
        if len(table.texts) != 1 or table.others:
            raise SettingError(f"problems.conditions: column is missing; {self.file} has {', '.join(table.columns)}")
        return table.texts[0]

    def _with_text(self, column: str, table: PromptTable) -> str:
        if column not in table.others:
            return column
        raise SettingError(
            f"problems.conditions: column {column} of {self.file} holds no texts; those that do: "
            f"{', '.join(table.texts) or 'none'}"
        )

    def _keeps(self, row: dict[str, Cell]) -> bool:
        wanted = {name: value if isinstance(value, list) else [value] for name, value in self.where.items()}
        return all((row.get(name) or "") in list(map(str, values)) for name, values in wanted.items())


class ImageNetClasses(Selection):
    """Classes of ImageNet: indices for a class-conditional model, texts of their names for one that draws prompts."""

    imagenet: Literal["all"] | list[StrictInt | str] = Field(description="all, or indices, names and ranges as '10-19'")
    template: str = Field("{a} {name}", description="prompt of a class; {name}, and {a} for 'a' or 'an'")

    def conditions(self, model: ModelSettings) -> list[Any]:
        """Class indices, or prompts.

        Raises:
            SettingError: no such class, a wrong template, or a model of other classes.
        """
        from tts import imagenet

        drawn = len(model.conditions())
        if drawn not in (0, imagenet.CLASSES):
            raise SettingError(f"problems.conditions: imagenet has {imagenet.CLASSES} classes, and the model {drawn}")
        chosen = self.select(imagenet.indices(self.imagenet))
        return list(chosen) if drawn else [self._prompt(imagenet.names()[place]) for place in chosen]

    def _prompt(self, name: str) -> str:
        try:
            return self.template.format(name=name, a=with_article(name).split(" ", 1)[0])
        except (KeyError, IndexError, ValueError) as error:
            raise SettingError(
                f"problems.conditions: template '{self.template}' may hold {{name}} and {{a}} only ({error})"
            ) from None


def resolve(given: dict[str, Any], model: ModelSettings) -> list[Any]:
    """The conditions that a mapping describes.

    Raises:
        SettingError: it describes none, or what it describes is not there.
        DataError: a file cannot be used.
    """
    kinds: dict[str, type[PromptFile] | type[ImageNetClasses]] = {"file": PromptFile, "imagenet": ImageNetClasses}
    found = [kind for key, kind in kinds.items() if key in given]
    if len(found) != 1:
        raise SettingError("problems.conditions: say where they are from: 'file: PATH' or 'imagenet: all'")
    return parse(found[0], given, "problems.conditions").conditions(model)


def groups(given: object, column: str | None) -> dict[str, str]:
    """The group of each prompt that a mapping of a file describes, by a column of it; empty where it has none."""
    if column is None or not isinstance(given, dict) or "file" not in given:
        return {}
    return parse(PromptFile, given, "problems.conditions").groups(column)
