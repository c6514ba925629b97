"""Where a file of prompts is: here, at an address, or among the hub's data sets."""

from __future__ import annotations

from pathlib import Path

from tts.errors import SettingError
from tts.files.homes import expanded
from tts.files.hub import dataset_file, dataset_folder
from tts.files.locate import locate

HUB = "hf://datasets/"


def located(file: str) -> Path:
    """The file or folder, downloaded if needed.

    Raises:
        SettingError: the address names no file of a data set.
        WeightsError: it cannot be fetched. A path is not looked at.
    """
    if file.startswith(HUB):
        owner, _, rest = file.removeprefix(HUB).partition("/")
        name, _, path = rest.partition("/")
        if not (owner and name and path):
            raise SettingError(f"problems.conditions: file {file}: expected {HUB}OWNER/NAME/FILE, or .../FOLDER/")
        if path.endswith("/"):
            return dataset_folder(f"{owner}/{name}", path, "problems.conditions.file")
        return dataset_file(f"{owner}/{name}", path, "problems.conditions.file")
    return locate(file, "problems.conditions.file") if "://" in file else expanded(file)
