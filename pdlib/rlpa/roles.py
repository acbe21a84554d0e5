"""Who plays the users and who judges in a run (setting dynamic_user).

The pocket world's script and rules, or an endpoint. After a dialogue some users, the askers, ask a
test question: a device has changed hands, the first half of the dialogue is a stranger's.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from pdlib import config, dataset
from pdlib.rlpa import pocket_judge, pocket_profile, pocket_user, real, scores
from pdlib.rlpa.dialogue import Speaker, instruction, scripted
from pdlib.rlpa.profile import PAPER_SLOTS, Profile
from pdlib.rlpa.rewards import Judge
from pdlib.rlpa.user import KINDS, User
from pdlib.schema import Item, Persona

ASKER = "meeting"  # the kind of dialogue of an asker, as records name it


@dataclass(frozen=True)
class Roles:
    """Who speaks, judges, trains and tests.

    speak: the users' next turns.  next_user: (seed) -> (k) -> the k-th training user.  test_users,
    askers: the users of an evaluation.  score: (records, users) -> the records with their scores.
    instruction: what a policy is told that starts RL from the backbone; empty where SFT comes
    first.
    """

    speak: Speaker
    judge: Judge
    next_user: Callable[[int], Callable[[int], User]]
    test_users: Callable[[], list[User]]
    askers: Callable[[], list[User]]
    score: Callable[[pd.DataFrame, Sequence[User]], pd.DataFrame]
    instruction: str = ""


def assign(cfg: config.Config) -> Roles:
    """The roles of a run.

    ValueError where real personas would have to be played by the pocket script, or pocket ones by
    an endpoint.
    """
    if (cfg.dynamic_user == "pocket") is not (cfg.data_dir == "pocket"):
        raise ValueError(
            f"dynamic_user is {cfg.dynamic_user!r} with data_dir {cfg.data_dir!r}: the pocket "
            "world has users of its own, other data need 'endpoint' and an expert_url"
        )
    return _pocket_roles(cfg) if cfg.dynamic_user == "pocket" else _endpoint_roles(cfg)


def persona(profile: Profile) -> Persona | None:
    """The asker whom an inferred profile describes; None where no slot can be read."""
    if set(profile) & set(PAPER_SLOTS):
        return real.persona(profile)
    return pocket_profile.persona(profile)


def asked_items(cfg: config.Config) -> list[Item]:
    """What askers ask: the first `dynamic_meeting_items` test items of each benchmark."""
    by_benchmark: dict[str, list[Item]] = {}
    for item in dataset.test_items(cfg):
        by_benchmark.setdefault(item.benchmark, []).append(item)
    return [item for items in by_benchmark.values() for item in items[: cfg.dynamic_meeting_items]]


def _pocket_roles(cfg: config.Config) -> Roles:
    def training_user(seed: int, k: int) -> User:
        """Each has a random stream of its own, of which the user of its kind comes last."""
        users = pocket_user.draw("rl", f"{seed}-{k}", 1 + k % len(KINDS), cfg.dynamic_turns)
        return users[-1]

    return Roles(
        scripted,
        pocket_judge.RuleJudge(),
        lambda seed: partial(training_user, seed),
        partial(pocket_user.test_users, cfg),
        partial(pocket_askers, cfg),
        pocket_judge.score,
    )


def pocket_askers(cfg: config.Config) -> list[User]:
    """Who asks the `asked_items` in the pocket world.

    In the second half of the dialogue the item's own asker says who they are. The stranger has no
    slot that the asker lacks, since nobody says "now I have no profession", and no value in common
    with the asker, so that nothing the stranger says is true of the asker. ValueError where the
    pool of personas holds no such stranger.
    """
    pool = [(person, pocket_profile.of(person)) for person in dataset.persona_pool(cfg)]
    askers = []
    for item in asked_items(cfg):
        rng = random.Random(f"{ASKER}|{item.id}")
        profile = pocket_profile.of(item.aligned)
        strangers = [
            person
            for person, other in pool
            if other.keys() <= profile.keys() and not other.items() & profile.items()
        ]
        if not strangers:
            raise ValueError(
                f"none of the {len(pool)} personas of the pool shares nothing with the asker of "
                f"{item.id!r}, {item.aligned.text!r}, and has no slot that this asker lacks: set a "
                "larger persona_pool"
            )
        stranger = rng.choice(strangers)
        dialogue = pocket_user.script(
            item.id, "change", stranger, rng, cfg.dynamic_turns, then=item.aligned
        )
        askers.append(User(item.id, ASKER, dialogue.turns, item.aligned, profile, item, stranger))
    return askers


def _endpoint_roles(cfg: config.Config) -> Roles:
    endpoint = dataset.open_endpoint(cfg, "dynamic/endpoint")
    player = real.EndpointUser(endpoint, middle=cfg.dynamic_turns // 2)
    judge = real.EndpointJudge(endpoint)
    pool = dataset.persona_pool(cfg)
    n = cfg.dynamic_test_users  # the first ones of the pool are tested, the others train
    tested, training = pool[:n], pool[n : n + cfg.dynamic_users]
    return Roles(
        player,
        judge,
        partial(real.training_users, player, training),
        partial(player.users, tested, "test"),
        partial(_endpoint_askers, cfg, player, pool),
        partial(scores.score_by_judge, judge=judge),
        instruction(PAPER_SLOTS),
    )


def _endpoint_askers(
    cfg: config.Config, player: real.EndpointUser, pool: Sequence[Persona]
) -> list[User]:
    items = asked_items(cfg)
    rng = random.Random(f"{ASKER}|{cfg.seed}")
    people = player.filled([item.aligned for item in items])
    drawn = player.filled([rng.choice(pool) for _ in items])
    strangers = [person for person in drawn if person]
    return [
        User(
            item.id,
            ASKER,
            (),
            person,
            person.facts["slots"],
            item,
            stranger_to(person, strangers, rng),
        )
        for item, person in zip(items, people, strict=True)
        if person
    ]


def stranger_to(asker: Persona, strangers: Sequence[Persona], rng: random.Random) -> Persona:
    """One of `strangers` who has no slot's value in common with `asker`; ValueError if none."""
    values = _values(asker)
    unlike = [person for person in strangers if not _values(person) & values]
    if not unlike:
        raise ValueError(
            f"none of {len(strangers)} strangers shares nothing with the asker "
            f"{asker.text[:60]!r}: set a larger dynamic_meeting_items, which draws more of them"
        )
    return rng.choice(unlike)


def _values(persona: Persona) -> set[tuple[str, str]]:
    return {(slot, value.strip().lower()) for slot, value in persona.facts["slots"].items()}
