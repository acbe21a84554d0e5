"""The users of a run and the SFT set: dialogues of an annotator who hears what the user says, but
does not know the hidden profile.

The annotator takes a plain statement or a change at its word, and believes a hint (where no field
was stated) or a whim as often as not: what is so, nobody tells. SFT imitates that; RL is rewarded
by the hidden profile. What can be known at best, `read_best`, believes every hint and no whim.
"""

import random
from collections.abc import Sequence
from pathlib import Path

from pdlib import config, dataset, modes
from pdlib.dataset import construct
from pdlib.rlpa import profile, rewards
from pdlib.rlpa.profile import Profile
from pdlib.rlpa.talk import Talk
from pdlib.rlpa.user import KINDS, Statement, User, draw, reply_to, script
from pdlib.run import stages
from pdlib.schema import Example, Item

DOUBTS = 0.5  # how often the annotator believes a hint or a whim
MEETING = "meeting"  # the kind of dialogues whose user asks a test item in the end


def heard(statements: Sequence[Statement], believes) -> Profile:
    """What somebody makes of all that was said. believes(statement) decides on hints and whims; a
    hint never overrides what was stated.
    """
    found, stated = {}, set()
    for one in statements:
        sure = one.how in ("plain", "change")
        if sure or (believes(one) and not (one.how == "hint" and one.slot in stated)):
            found[one.slot] = one.value
        if sure:
            stated.add(one.slot)
    return found


def read_best(user: User, n_turns: int) -> list[Profile]:
    """What can be known at best after each turn."""
    return [
        heard(
            [one for turn in user.turns[: at + 1] for one in turn.said],
            lambda one: one.how == "hint",
        )
        for at in range(n_turns)
    ]


def annotated(user: User, rng: random.Random) -> list[Example]:
    """The SFT examples of a user, one a turn, in the annotator's words; earlier turns are the
    annotator's too.
    """
    verdicts = {one: rng.random() < DOUBTS for turn in user.turns for one in turn.said}
    talk, out = Talk(user), []
    for at, turn in enumerate(user.turns):
        talk.turns.append(turn)
        inferred = heard(
            [one for turn in user.turns[: at + 1] for one in turn.said], lambda one: verdicts[one]
        )
        reply = reply_to(turn.about, turn.word, inferred)[0]
        said = rewards.write(inferred, reply)
        body = said.split(modes.ANSWER_OPEN)[0].strip()
        out.append(
            Example(
                talk.item(at), None, user.kind, reasoning=body, answer=reply, history=talk.history()
            )
        )
        talk.said.append(said)
    return out


def run_sft_set(cfg: config.Config) -> Path:
    """The annotator's dialogues with `dynamic_users` training users, as sft.parquet; a stage."""

    def build(folder: Path) -> dict:
        rng = random.Random(f"annotator|{cfg.seed}")
        rows = [
            row
            for user in draw("sft", cfg.seed, cfg.dynamic_users, cfg.dynamic_turns)
            for row in annotated(user, rng)
        ]
        construct.to_frame(rows).to_parquet(folder / "sft.parquet")
        return {"users": cfg.dynamic_users, "rows": len(rows)}

    return stages.once(
        cfg.folder() / "dynamic" / f"data-{cfg.seed}",
        build,
        version=2,
        settings=cfg.subset("seed", "dynamic_users", "dynamic_turns"),
    )


def test_users(cfg: config.Config) -> list[User]:
    """`dynamic_test_users` of each kind, no one of whom has a training user's occupation, hobby and
    style together.
    """
    return draw(
        "test", cfg.seed, cfg.dynamic_test_users * len(KINDS), cfg.dynamic_turns, held_out=True
    )


def meeting_items(cfg: config.Config) -> list[Item]:
    """The first `dynamic_meeting_items` test items of each benchmark."""
    found: dict[str, list[Item]] = {}
    for item in dataset.test_items(cfg):
        found.setdefault(item.benchmark, []).append(item)
    return [item for items in found.values() for item in items[: cfg.dynamic_meeting_items]]


def meeting_users(cfg: config.Config) -> list[User]:
    """Who asks the `meeting_items`, on a device that was a stranger's before.

    The first half of the dialogue is a stranger's, in the second the item's own asker says who they
    are. The stranger has no slot that the asker lacks, since nobody says "now I have no
    profession", and no value in common with the asker, so that nothing the stranger says is true of
    the asker. ValueError where the pool of personas holds no such stranger.
    """
    pool, out = dataset.persona_pool(cfg), []
    for item in meeting_items(cfg):
        rng, own = random.Random(f"{MEETING}|{item.id}"), profile.of(item.aligned)
        strangers = [
            p
            for p in pool
            if profile.of(p).keys() <= own.keys() and not profile.of(p).items() & own.items()
        ]
        if not strangers:
            raise ValueError(
                f"none of the {len(pool)} personas of the pool shares nothing with the asker of {item.id!r}, "
                f"{item.aligned.text!r}, and has no slot that this asker lacks: set a larger persona_pool"
            )
        stranger = rng.choice(strangers)
        one = script(item.id, "change", stranger, rng, cfg.dynamic_turns, then=item.aligned)
        out.append(User(one.id, MEETING, one.turns, item.aligned, item, stranger))
    return out
