"""Train RLPA's policy: SFT on the annotator's dialogues, then RL in live dialogues, turn by turn.

Every turn is a prompt of its own: the dialogue so far; its rollouts are a group. When their rewards
are known the best rollout goes on in the dialogue and the user says the next turn, as in the
authors' code. TRL's own interface for several turns (tools, an environment) gives one reward for a
whole trajectory and wants a chat template with tools; here each turn's reward belongs to that
turn's tokens.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from datasets import Dataset
from trl import GRPOConfig

from pdlib import config, models, modes, train
from pdlib.dataset import construct
from pdlib.rlpa.cast import cast
from pdlib.rlpa.rewards import Judge, Reward, read
from pdlib.rlpa.talk import Speaker, Talk, scripted
from pdlib.rlpa.user import User
from pdlib.run import stages
from pdlib.run.progress import Progress
from pdlib.shared_prefix.grpo import SharedPrefixGRPOTrainer
from pdlib.train import common

# batches of dialogues that are open at once: the loader fetches a batch before the one before it
# has its rewards
AHEAD = 3


class Live:
    """Open dialogues: the prompts that TRL asks for, the rewards of what it got, and each
    dialogue's next turn.

    next_user(k): the k-th user.  n_turns: after which another user begins; the first ones leave
    earlier, so that a batch holds all turns. tokenizer: of the policy, for which what users say is
    data, see `modes.as_data`.
    """

    def __init__(
        self,
        next_user: Callable[[int], User],
        n_open: int,
        n_turns: int,
        judge: Judge,
        speak: Speaker = scripted,
        instruction: str = "",
        tokenizer=None,
    ):
        self.next_user, self.n_turns, self.judge, self.speak, self.instruction = (
            next_user,
            n_turns,
            judge,
            speak,
            instruction,
        )
        self.tokenizer = tokenizer
        self.begun, self.turns_done, self.scored = 0, 0, []
        self.leaves = [1 + place % n_turns for place in range(n_open)]
        self.talks = [self._begin() for _ in range(n_open)]
        self._say(self.talks)

    def _begin(self) -> Talk:
        self.begun += 1
        return Talk(self.next_user(self.begun - 1), self.instruction)

    def _say(self, talks: Sequence[Talk]) -> None:
        for talk, turn in zip(talks, self.speak(talks), strict=True):
            talk.turns.append(turn)

    def data(self, n_rows: int) -> Dataset:
        """A data set of `n_rows` places whose prompt is that of the place's dialogue at the moment
        it is read.
        """

        def now(rows: dict) -> dict:
            return {
                "prompt": [self.talks[place].messages(self.tokenizer) for place in rows["place"]],
                "place": rows["place"],
            }

        return Dataset.from_dict(
            {"place": [row % len(self.talks) for row in range(n_rows)]}
        ).with_transform(now)

    def profile(self, prompts, completions, place, **_) -> list[float]:
        """TRL reward function: the Profile Reward; both rewards are found here, since a judge may
        have to be asked.

        RuntimeError when a completion answers a turn that its dialogue has left.
        """
        if late := sum(
            prompt != self.talks[at].messages(self.tokenizer)
            for prompt, at in zip(prompts, place, strict=True)
        ):
            raise RuntimeError(
                f"{late} of {len(prompts)} completions answer a turn that has passed: the loader read more than "
                f"{AHEAD - 1} batches ahead; raise AHEAD"
            )
        self.scored = self.judge.rewards(
            [self.talks[at].turns[-1] for at in place],
            [read(text[0]["content"]) for text in completions],
        )
        return [one.profile for one in self.scored]

    def response(self, completions, place, **_) -> list[float]:
        """TRL reward function: the Response Reward; then the dialogues go on."""
        self._go_on([text[0]["content"] for text in completions], place, self.scored)
        return [one.response for one in self.scored]

    def _go_on(self, said: Sequence[str], place: Sequence[int], scored: Sequence[Reward]) -> None:
        best: dict[int, int] = {}
        for row, at in enumerate(place):  # the first of equal ones, as in the authors' code
            if at not in best or scored[row].total > scored[best[at]].total:
                best[at] = row
        for at, row in best.items():
            talk = self.talks[at]
            talk.said.append(said[row])
            if len(talk.said) >= self.leaves[at]:
                self.talks[at], self.leaves[at] = self._begin(), self.n_turns
        self._say([self.talks[at] for at in best])
        self.turns_done += len(best)


def folder(cfg: config.Config, name: str, seed: int) -> Path:
    """The stage folder of a policy (sft | rlpa) of one training seed: dynamic/<run>/<name>-<seed>."""
    return cfg.folder() / "dynamic" / config.file_name(cfg.backbone) / f"{name}-{seed}"


def run_sft(cfg: config.Config, start: Path, sets: Path, seed: int) -> Path:
    """SFT of the model in `start` on the annotator's dialogues of the folder `sets`,
    `dynamic_epochs` times; a stage.
    """

    def build(place: Path) -> dict:
        tokenizer = models.load_tokenizer(start)
        rows = [
            train.sft_row(tokenizer, example)
            for example in construct.from_frame(pd.read_parquet(sets / "sft.parquet"))
        ]
        if long := sum(len(row["input_ids"]) > cfg.sft_max_length for row in rows):
            raise ValueError(
                f"{long} of {len(rows)} dialogues are longer than sft_max_length {cfg.sft_max_length}; lower dynamic_turns"
            )
        rng = random.Random(seed)
        ordered = [
            row
            for _ in range(cfg.dynamic_epochs)
            for row in common.by_length(rows, cfg.sft_batch, rng)
        ]
        own = replace(cfg, seed=seed, processes=1)
        return common.supervised(
            own,
            place,
            start,
            common.loader(own, start),
            tokenizer,
            ordered,
            "SFT on dialogues",
            "sft",
            batch=cfg.sft_batch,
            learning_rate=cfg.sft_learning_rate,
            warmup=cfg.sft_warmup,
        )

    settings = cfg.subset(
        "sft_batch",
        "sft_micro",
        "sft_learning",
        "sft_warmup",
        "sft_max",
        "dynamic_epochs",
        *train.TRAINING,
    )
    return stages.once(
        folder(cfg, "sft", seed), build, settings=settings | {"seed": seed}, inputs=[start, sets]
    )


def run_rl(cfg: config.Config, start: Path, seed: int) -> Path:
    """RL from the model in `start`, which is also the KL reference, in dialogues with users of this
    training seed; a stage.

    Who plays and judges follows from `cfg` (pdlib.rlpa.cast). Not resumed in mid-run, since open
    dialogues are kept nowhere: a killed run begins anew. ValueError with several processes, among
    which a dialogue cannot be shared.
    """
    if cfg.accelerate != "none":
        raise ValueError(
            f"accelerate is {cfg.accelerate!r}: live dialogues are held by one process; set accelerate=none"
        )
    own = replace(
        cfg,
        seed=seed,
        processes=1,
        rl_prompts=cfg.dynamic_prompts,
        rl_rollouts=cfg.dynamic_rollouts,
    )

    def build(place: Path) -> dict:
        tokenizer = models.load_tokenizer(start)
        who = cast(cfg)
        live = Live(
            who.next_user(seed),
            AHEAD * cfg.dynamic_prompts,
            cfg.dynamic_turns,
            who.judge,
            who.speak,
            who.instruction,
            tokenizer,
        )
        vllm = {"use_vllm": True, "vllm_mode": cfg.rl_vllm} if cfg.rl_vllm != "none" else {}
        shared = common.common(
            own, place, "rl", cfg.dynamic_prompts * cfg.dynamic_rollouts, models.width_of(start)
        ) | {"save_strategy": "no"}
        args = GRPOConfig(
            **shared,
            **vllm,
            num_generations=cfg.dynamic_rollouts,
            steps_per_generation=cfg.rl_generation_batch // cfg.rl_micro_batch,
            max_completion_length=cfg.rl_max_completion,
            max_steps=cfg.dynamic_steps,
            learning_rate=cfg.dynamic_learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=round(cfg.rl_warmup * cfg.dynamic_steps),
            beta=cfg.dynamic_kl,
            temperature=cfg.dynamic_temperature,
            logging_steps=1,
            top_k=0,
            shuffle_dataset=False,
            loss_type="grpo",
            chat_template_kwargs=dict(modes.TEMPLATE_SETTINGS),
        )
        model, peft_config = common.loader(own, start)()
        found = SharedPrefixGRPOTrainer(
            model,
            [live.profile, live.response],
            args=args,
            train_dataset=live.data(len(live.talks)),
            processing_class=tokenizer,
            peft_config=peft_config,
            callbacks=[Progress(place / "log.jsonl", "RLPA", curve="reward")],
        )
        return common.finish(found, tokenizer, start, place) | {
            "users": live.begun,
            "turns": live.turns_done,
        }

    settings = own.subset(
        "seed",
        "dynamic_turns",
        "dynamic_steps",
        "dynamic_prompts",
        "dynamic_rollouts",
        "dynamic_learning",
        "dynamic_kl",
        "dynamic_temperature",
        "rl_micro",
        "rl_generation",
        "rl_warmup",
        "rl_max_completion",
        "rl_vllm",
        *train.TRAINING,
    )
    settings |= cfg.subset("dynamic_user")
    if cfg.dynamic_user != "pocket":
        settings |= cfg.subset(
            "data_dir", "expert", "dynamic_test", "dynamic_users", "persona_pool"
        )
    return stages.once(folder(cfg, "rlpa", seed), build, settings=settings, inputs=[start])
