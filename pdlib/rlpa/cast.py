"""Who plays and who judges in a run: the pocket world's script and rules, or an endpoint (setting
dynamic_user).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pdlib import config
from pdlib import dataset as questions
from pdlib.rlpa import data, profile, real
from pdlib.rlpa.rewards import Judge, Rules
from pdlib.rlpa.talk import Speaker, instruction, scripted
from pdlib.rlpa.user import KINDS, User, draw
from pdlib.schema import Persona


@dataclass(frozen=True)
class Cast:
    """speak: the users' next turns.  next_user: (seed) -> (k) -> the k-th training user.  test,
    meeting: the users of an evaluation.

    instruction: what a policy is told that starts RL from the backbone; empty where SFT comes
    first.
    """

    speak: Speaker
    judge: Judge
    next_user: Callable[[int], Callable[[int], User]]
    test: Callable[[], list[User]]
    meeting: Callable[[], list[User]]
    instruction: str = ""


def cast(cfg: config.Config) -> Cast:
    """The cast of `cfg`; ValueError where real personas would have to be played by the pocket
    script, or pocket ones by an endpoint.
    """
    if (cfg.dynamic_user == "pocket") is not (cfg.data_dir == "pocket"):
        raise ValueError(
            f"dynamic_user is {cfg.dynamic_user!r} with data_dir {cfg.data_dir!r}: the pocket world has users of its own, "
            "other data need 'endpoint' and an expert_url"
        )
    if cfg.dynamic_user == "pocket":

        def of_seed(seed: int) -> Callable[[int], User]:
            return lambda k: draw("rl", f"{seed}-{k}", 1 + k % len(KINDS), cfg.dynamic_turns)[-1]

        return Cast(
            scripted,
            Rules(),
            of_seed,
            lambda: data.test_users(cfg),
            lambda: data.meeting_users(cfg),
        )
    endpoint = questions.open_endpoint(cfg, "dynamic/endpoint")
    player, pool = (
        real.EndpointUser(endpoint, middle=cfg.dynamic_turns // 2),
        questions.persona_pool(cfg),
    )
    n = cfg.dynamic_test_users  # the first ones of the pool are tested, the others train

    def meeting() -> list[User]:
        items = data.meeting_items(cfg)
        rng = random.Random(f"{data.MEETING}|{cfg.seed}")
        askers = player.filled([item.aligned for item in items])
        strangers = [one for one in player.filled([rng.choice(pool) for _ in items]) if one]
        return [
            User(item.id, data.MEETING, (), who, item, stranger_to(who, strangers, rng))
            for item, who in zip(items, askers)
            if who
        ]

    return Cast(
        player,
        real.EndpointJudge(endpoint),
        lambda seed: real.training_users(player, pool[n : n + cfg.dynamic_users], seed),
        lambda: player.users(pool[:n], "test"),
        meeting,
        instruction(profile.PAPER_SLOTS),
    )


def stranger_to(asker: Persona, strangers: Sequence[Persona], rng: random.Random) -> Persona:
    """One of `strangers` who has no slot's value in common with `asker`; ValueError where there is
    none.
    """
    own = _values(asker)
    unlike = [one for one in strangers if not _values(one) & own]
    if not unlike:
        raise ValueError(
            f"none of {len(strangers)} strangers shares nothing with the asker {asker.text[:60]!r}: set a larger "
            "dynamic_meeting_items, which draws more of them"
        )
    return rng.choice(unlike)


def _values(persona: Persona) -> set[tuple[str, str]]:
    return {(slot, value.strip().lower()) for slot, value in persona.facts["slots"].items()}
