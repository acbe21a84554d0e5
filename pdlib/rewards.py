"""The reward: 0.9 x the answer is right + 0.1 x the format is right (published code).

A mode that asks back (`Mode.CLARIFY`, ours) gives no answer. What it earns in the place of a right
one is a setting: asking costs the asker something, and a wrong answer costs more.
"""

from dataclasses import dataclass

from pdlib import benchmarks, modes
from pdlib.schema import PAPER_MODES, Item, Mode, ModeSet

ACCURACY_WEIGHT, FORMAT_WEIGHT = 0.9, 0.1


@dataclass(frozen=True)
class Reward:
    """What one completion earns; both parts lie between 0 and 1."""

    accuracy: float
    format: float

    @property
    def total(self) -> float:
        """The weighted sum of both parts."""
        return ACCURACY_WEIGHT * self.accuracy + FORMAT_WEIGHT * self.format


def score(
    text: str,
    item: Item,
    require_mode: bool = True,
    mode_set: ModeSet = PAPER_MODES,
    asking: float = 0.0,
) -> Reward:
    """[Eq. 4] Reward of one completion.

    An answer in a malformed completion still earns its accuracy, not the format.
    require_mode=False: of a model without modes no tag is expected. mode_set: the modes whose tags
    are looked for. asking: the accuracy that a question in `Mode.CLARIFY` counts as, if it offers
    the reading that is meant (`benchmarks.asks_back`); otherwise, and where that mode answers
    instead of asking, it counts as a wrong answer.
    """
    parsed = modes.parse(text, require_mode, mode_set)
    if parsed.answer is None:
        accuracy = 0.0
    elif parsed.mode is not None and parsed.mode.name == Mode.CLARIFY.name:
        accuracy = asking * benchmarks.asks_back(item, parsed.answer)
    else:
        accuracy = float(benchmarks.grade(item, parsed.answer)[0])
    return Reward(accuracy, float(parsed.error is None))
