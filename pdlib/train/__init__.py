"""Train: SFT, DPO, (Dual)GRPO. Each is a stage: run once, resumed when killed, cached by its
manifest.
"""

from pdlib.train.methods import (
    TRAINING,
    VIEWS,
    preference_pairs,
    reading_rows,
    reward,
    rl,
    rl_rows,
    run_dpo,
    run_rl,
    run_sft,
    sft_row,
    with_choices,
)

__all__ = [
    "TRAINING",
    "VIEWS",
    "preference_pairs",
    "reading_rows",
    "reward",
    "rl",
    "rl_rows",
    "run_dpo",
    "run_rl",
    "run_sft",
    "sft_row",
    "with_choices",
]
