"""The pocket judge: rewards and scores of the pocket user's dialogues, all by rule."""

from collections.abc import Sequence

import pandas as pd

from pdlib.questions import grading
from pdlib.rlpa import profile as profiles
from pdlib.rlpa import rewards
from pdlib.rlpa.annotator import best_profiles
from pdlib.rlpa.pocket_profile import ASK_BACK, reply_to
from pdlib.rlpa.profile import Profile, WrittenProfile
from pdlib.rlpa.rewards import ParsedCompletion, Reward
from pdlib.rlpa.scores import VALUES
from pdlib.rlpa.user import Turn, User


def fits(reply: str | None, turn: Turn, profile: Profile) -> bool:
    """Whether this is the reply that `profile` asks for in this turn, compared as a free answer."""
    accepted = {grading.normalize(text) for text in reply_to(turn.about, turn.word, profile)}
    return reply is not None and grading.normalize(reply) in accepted


def asks_again(reply: str | None, turn: Turn) -> bool:
    """Whether the reply asks for what the user has told.

    Among the paper's five criteria such a reply fails logic and informativeness.
    """
    is_question = grading.normalize(reply or "") == grading.normalize(ASK_BACK)
    return is_question and turn.about in turn.revealed


class RuleJudge:
    """Profile Reward: F1 with the revealed profile. Response Reward: 1 for a right reply, else 0.

    Right is what the *inferred* profile asks for. Asking for what was told earns 0, whatever was
    inferred: else leaving slots out would make replies easy, and RL finds that out.
    """

    def rewards(
        self, turns: Sequence[Turn], completions: Sequence[ParsedCompletion]
    ) -> list[Reward]:
        """The rewards of one completion per turn; 0 for a malformed one."""
        return [
            self._reward(turn, completion)
            for turn, completion in zip(turns, completions, strict=True)
        ]

    def _reward(self, turn: Turn, completion: ParsedCompletion) -> Reward:
        if completion.error:
            return Reward(0.0, 0.0)
        reply, inferred = completion.reply, completion.written.slots
        is_right = fits(reply, turn, inferred) and not asks_again(reply, turn)
        agreement = profiles.agreement(completion.written, turn.revealed)
        return Reward(agreement.f1, float(is_right))


def score(records: pd.DataFrame, users: Sequence[User]) -> pd.DataFrame:
    """The records with VALUES and `written`, the lines of the inferred profile.

    A malformed completion scores 0 in all. users: those of the dialogues, whose hidden profiles no
    record holds; ValueError where one is missing.
    """
    by_id = {user.id: user for user in users}
    if missing := set(records.item_id) - set(by_id):
        raise ValueError(
            f"{len(missing)} users of the records are not among the {len(by_id)} given, the first: "
            f"{min(missing)!r}; they follow from seed and dynamic_ settings: load the config that "
            "the records were made with"
        )
    rows = []
    for record in records.itertuples():
        turn = by_id[record.item_id].turns[record.turn - 1]
        completion = rewards.read(record.completion)
        if completion.error:
            rows.append(dict.fromkeys(VALUES, 0.0) | {"written": 0})
        else:
            values = _values(completion.written, completion.reply, turn)
            rows.append(values | {"written": completion.written.lines})
    return records.reset_index(drop=True).join(pd.DataFrame(rows).astype(float))


def _values(written: WrittenProfile, reply: str | None, turn: Turn) -> dict:
    """VALUES of one answer."""
    return {
        "f1": profiles.agreement(written, turn.revealed).f1,
        "f1_whole": profiles.agreement(written, turn.whole).f1,
        "right": fits(reply, turn, turn.revealed),
        "right_whole": fits(reply, turn, turn.whole),
        "follows": fits(reply, turn, written.slots),
    }


def best_scores(users: Sequence[User], n_turns: int) -> pd.DataFrame:
    """VALUES of the best possible reader, one row per kind and turn: the mean over its users.

    Empty where users have no script.
    """
    if not all(user.turns for user in users):
        return pd.DataFrame(columns=["condition", "turn", *VALUES])
    rows = []
    for user in users:
        for at, profile in enumerate(best_profiles(user, n_turns)):
            turn, written = user.turns[at], WrittenProfile(profile, len(profile))
            reply = reply_to(turn.about, turn.word, profile)[0]
            values = _values(written, reply, turn)
            rows.append({"condition": user.kind, "turn": at + 1} | values)
    table = pd.DataFrame(rows).astype(dict.fromkeys(VALUES, float))
    return table.groupby(["condition", "turn"], as_index=False).mean()
