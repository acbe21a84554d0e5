"""The reward: 0.9 x the answer is right + 0.1 x the format is right (published code)."""

from dataclasses import dataclass

from pdlib import benchmarks, modes
from pdlib.schema import PAPER_MODES, Item, ModeSet

ACCURACY_WEIGHT, FORMAT_WEIGHT = 0.9, 0.1


@dataclass(frozen=True)
class Reward:
    """What one completion earns; both parts are 0 or 1."""

    accuracy: float
    format: float

    @property
    def total(self) -> float:
        """The weighted sum of both parts."""
        return ACCURACY_WEIGHT * self.accuracy + FORMAT_WEIGHT * self.format


def score(
    text: str, item: Item, require_mode: bool = True, mode_set: ModeSet = PAPER_MODES
) -> Reward:
    """[Eq. 4] Reward of one completion.

    An answer in a malformed completion still earns its accuracy, not the format.
    require_mode=False: of a model without modes no tag is expected. mode_set: the modes whose tags
    are looked for.
    """
    parsed = modes.parse(text, require_mode, mode_set)
    correct = parsed.answer is not None and benchmarks.grade(item, parsed.answer)[0]
    return Reward(float(correct), float(parsed.error is None))
