"""Every error that a user can cause or meet.

    TTSError
    ├── SettingError (ValueError)        a setting is wrong; the message names it
    │   ├── UnknownNameError (KeyError)  no such model, reward, search, ...; the message names the nearest
    │   ├── RunMismatchError             the results folder belongs to another configuration
    │   └── UntrustedError               a results folder names code, files or addresses
    ├── WeightsError (OSError)           a weights file is missing, damaged or of another network
    ├── DataError (OSError)              a data set is missing or has another form
    ├── SearchError (ValueError)         a search broke a rule; the message says what a search must do
    └── EngineError (RuntimeError)       an engine could not go on
        ├── RewardError                  a reward failed on an image; the message names the reward
        └── DeviceError                  its device failed
            └── DeviceMemoryError        its device has too little memory

The command line prints the message of a ``TTSError`` in one line, without a traceback.
"""

from __future__ import annotations


class TTSError(Exception):
    """Base of all errors of this project; ``str(error)`` is one line that says what to change."""


class SettingError(TTSError, ValueError):
    """A setting has a value that cannot be used."""


class UnknownNameError(SettingError, KeyError):
    """A name is not registered."""

    __str__ = Exception.__str__  # KeyError would print the message in quotes


class RunMismatchError(SettingError):
    """A results folder was written by another configuration."""


class UntrustedError(SettingError):
    """A results folder names code, files or addresses, which only a user's own configuration may."""


class WeightsError(TTSError, OSError):
    """A weights file cannot be used."""


class DataError(TTSError, OSError):
    """A data set cannot be used."""


class SearchError(TTSError, ValueError):
    """A search broke a rule of searches."""


class EngineError(TTSError, RuntimeError):
    """An engine failed while it evaluated segments."""


class RewardError(EngineError):
    """A reward failed on an image, and has said so elsewhere."""


class DeviceError(EngineError):
    """A device failed, so that nothing else can be computed on it either."""


class DeviceMemoryError(DeviceError):
    """A device's memory is too small for the batch."""


def text_of(error: BaseException) -> str:
    """What an error says; its kind, where it cannot even say that."""
    try:
        return str(error)
    except Exception:  # a user's own class may have a fault of its own
        return type(error).__name__


def first_line(error: BaseException) -> str:
    """The first line of an error that says anything."""
    return next((line.strip() for line in text_of(error).splitlines() if line.strip()), type(error).__name__)
