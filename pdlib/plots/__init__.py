"""One function per figure: tables in, a figure out; nothing here runs a model."""

from pdlib.plots.accuracy import ablations, accuracy, interference, mixing
from pdlib.plots.asking import asking_back
from pdlib.plots.bench import shared_prefix
from pdlib.plots.carry_over import carry_over
from pdlib.plots.counterfactual import counterfactuals, held_out, order
from pdlib.plots.hands_on import advantages_by_hand, at_threshold, replay
from pdlib.plots.idea import idea
from pdlib.plots.mistakes import calibration, selection_errors, tradeoff
from pdlib.plots.modes import choices_by_kind, forced_modes, mode_shares
from pdlib.plots.multi_turn import deviations, dialogue_tags, dialogue_turns
from pdlib.plots.replication import replication
from pdlib.plots.selection import selection_shares, selectors
from pdlib.plots.style import save
from pdlib.plots.training import differences, laboratory, paths, pushes, token_advantages, training
from pdlib.plots.when import when_outcomes, when_theory

__all__ = [
    "ablations",
    "accuracy",
    "advantages_by_hand",
    "asking_back",
    "at_threshold",
    "calibration",
    "carry_over",
    "choices_by_kind",
    "counterfactuals",
    "deviations",
    "dialogue_tags",
    "dialogue_turns",
    "differences",
    "forced_modes",
    "held_out",
    "idea",
    "interference",
    "laboratory",
    "mixing",
    "mode_shares",
    "order",
    "paths",
    "pushes",
    "replay",
    "replication",
    "save",
    "selection_errors",
    "selection_shares",
    "selectors",
    "shared_prefix",
    "token_advantages",
    "tradeoff",
    "training",
    "when_outcomes",
    "when_theory",
]
