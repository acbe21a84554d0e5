"""The SFT set: dialogues of an annotator who hears the user, but does not know the hidden profile.

The annotator takes a plain statement or a change at its word, and believes a hint (where no field
was stated) or a whim as often as not: what is so, nobody tells. SFT imitates that; RL is rewarded
by the hidden profile. The best possible reader (`best_profiles`) believes every hint and no whim.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from pdlib import config, modes
from pdlib.dataset import construct
from pdlib.rlpa import rewards
from pdlib.rlpa.dialogue import Dialogue
from pdlib.rlpa.pocket_profile import reply_to
from pdlib.rlpa.pocket_user import Statement, draw
from pdlib.rlpa.profile import Profile
from pdlib.rlpa.user import User
from pdlib.run import stages
from pdlib.schema import Example

DOUBTS = 0.5  # how often the annotator believes a hint or a whim


def infer(statements: Sequence[Statement], believes: Callable[[Statement], bool]) -> Profile:
    """The profile that somebody makes of all that was said.

    believes: decides on hints and whims; a hint never overrides what was stated.
    """
    profile, stated = {}, set()
    for statement in statements:
        if statement.how in ("plain", "change"):
            profile[statement.slot] = statement.value
            stated.add(statement.slot)
            continue
        is_overruled = statement.how == "hint" and statement.slot in stated
        if believes(statement) and not is_overruled:
            profile[statement.slot] = statement.value
    return profile


def _statements(user: User, n_turns: int) -> list[Statement]:
    return [statement for turn in user.turns[:n_turns] for statement in turn.statements]


def best_profiles(user: User, n_turns: int) -> list[Profile]:
    """What can be known at best after each turn."""
    return [
        infer(_statements(user, n), lambda statement: statement.how == "hint")
        for n in range(1, n_turns + 1)
    ]


def annotate(user: User, rng: random.Random) -> list[Example]:
    """The SFT examples of a user, one per turn, in the annotator's words.

    The earlier turns that they show are answered by the annotator, too.
    """
    statements = _statements(user, len(user.turns))
    is_believed = {statement: rng.random() < DOUBTS for statement in statements}
    dialogue, examples = Dialogue(user), []
    for at, turn in enumerate(user.turns):
        dialogue.turns.append(turn)
        profile = infer(_statements(user, at + 1), is_believed.__getitem__)
        reply = reply_to(turn.about, turn.word, profile)[0]
        completion = rewards.write(profile, reply)
        reasoning = completion.split(modes.ANSWER_OPEN)[0].strip()
        examples.append(
            Example(
                dialogue.item(at),
                None,
                user.kind,
                reasoning=reasoning,
                answer=reply,
                history=dialogue.history(),
            )
        )
        dialogue.completions.append(completion)
    return examples


def run_sft_set(cfg: config.Config) -> Path:
    """The annotator's dialogues with `dynamic_users` training users, as sft.parquet; a stage."""

    def build(folder: Path) -> dict:
        rng = random.Random(f"annotator|{cfg.seed}")
        users = draw("sft", cfg.seed, cfg.dynamic_users, cfg.dynamic_turns)
        examples = [example for user in users for example in annotate(user, rng)]
        construct.to_frame(examples).to_parquet(folder / "sft.parquet")
        return {"users": cfg.dynamic_users, "rows": len(examples)}

    return stages.once(
        cfg.folder() / "dynamic" / f"data-{cfg.seed}",
        build,
        version=2,
        settings=cfg.subset("seed", "dynamic_users", "dynamic_turns"),
    )
