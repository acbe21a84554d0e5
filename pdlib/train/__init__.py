"""Train: SFT, DPO, (Dual)GRPO.

Each is a stage: run once, resumed when killed, cached by its manifest. With the setting
`accelerate` they run in several processes: the stage starts `accelerate launch` on this package
with a task file, and each process runs the same function as a notebook would. Which system is
trained how is for `systems` to say.
"""

from pdlib.train.dpo import preference_pairs, run_dpo
from pdlib.train.rl import reward, rl_rows, run_rl, train_rl
from pdlib.train.run import TRAINING, TrainingRun
from pdlib.train.sft import VIEWS, run_sft, sft_row, with_choices
from pdlib.train.supervised import train_on_rows

__all__ = [
    "TRAINING",
    "TrainingRun",
    "VIEWS",
    "preference_pairs",
    "reward",
    "rl_rows",
    "run_dpo",
    "run_rl",
    "run_sft",
    "sft_row",
    "train_on_rows",
    "train_rl",
    "with_choices",
]
