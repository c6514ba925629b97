"""Ask rewards for values of images, and sort their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from tts.engine.device_errors import device_error, of_the_device
from tts.errors import DeviceError, EngineError, RewardError, first_line
from tts.plan import Condition
from tts.rewards.base import LARGEST_SCORE, Reward, Score, score_at


def ask(
    name: str, reward: Reward, images: Tensor, conditions: Sequence[Condition], levels: Sequence[float] = ()
) -> list[Score]:
    """A reward's values for images; a value that is not a finite number, or a huge one, counts as "could not score".

    Args:
        name: the reward's name, for messages.
        images, conditions: ``[B, 3, H, W]`` uint8, and the condition of each.
        levels: noise levels of the images' states, for rewards that need them (:func:`tts.rewards.base.score_at`).

    Raises:
        DeviceError: the device failed while the reward was asked.
        EngineError: the reward failed; the message names it.
    """
    try:
        values = score_at(reward, images, conditions, levels)
    except (RewardError, KeyboardInterrupt):
        raise
    except BaseException as error:  # of code in Rust, say, or a script's SystemExit
        if of_the_device(error):
            raise device_error(f"reward {name}", error) from None
        raise EngineError(f"reward {name} failed: {type(error).__name__}: {first_line(error)}") from error
    return [value if value is not None and abs(value) <= LARGEST_SCORE else None for value in values]


def ask_places(
    name: str,
    reward: Reward,
    images: Tensor,
    conditions: Sequence[Condition],
    places: Mapping[int, int],
    levels: Sequence[float] = (),
) -> tuple[dict[int, Score], dict[int, str]]:
    """Values of some of the images, and errors; if the reward fails, each image is tried alone.

    Args:
        images, conditions, levels: ``[B, 3, H, W]`` uint8, with B conditions and levels.
        places: positions of the images that matter, each with its key in the answers.

    Raises:
        DeviceError: the device failed.
    """
    try:
        values = ask(name, reward, images, conditions, levels)
        return {place: values[k] for k, place in places.items()}, {}
    except DeviceError:
        raise
    except EngineError:
        found, errors, rows = dict[int, Score](), dict[int, str](), 1 if reward.host else len(images)
    for k, place in places.items():
        alone = images[k : k + 1]
        try:
            same = alone.expand(rows, *alone.shape[1:])
            found[place] = ask(name, reward, same, [conditions[k]] * rows, [*levels[k : k + 1]] * rows)[0]
        except DeviceError:
            raise
        except EngineError as error:
            errors[place] = str(error)
    return found, errors
