"""Talking: what the policy is shown in a turn, and dialogues that it leads with its own earlier
answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from pdlib import evaluate, generate, modes
from pdlib.rlpa import profile as profiles
from pdlib.rlpa.user import Turn, User, reply_to
from pdlib.schema import Item

BENCHMARK = "dynamic"  # the name of such dialogues in records
Speaker = Callable[[Sequence["Talk"]], list[Turn]]  # the users' next turns


@dataclass
class Talk:
    """A dialogue so far: the user's turns, and the policy's completions, one fewer while it is the
    policy's turn.
    """

    user: User
    instruction: str = ""
    turns: list[Turn] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def item(self, at: int) -> Item:
        """The user's `at`-th message as a question; its gold is the right reply for what was
        revealed. The first has the instruction.
        """
        turn = self.turns[at]
        gold, *others = reply_to(turn.about, turn.word, turn.revealed) if turn.about else ["-"]
        return Item(
            self.user.id,
            BENCHMARK,
            "personalized",
            "text",
            (self.instruction if at == 0 else "") + turn.text,
            gold,
            aliases=tuple(others),
            source=self.user.kind,
        )

    def history(self) -> tuple[tuple[Item, str], ...]:
        """The turns before the last, each with its answer: the last answer whole, of those before
        only the reply.
        """
        done = self.said[: len(self.turns) - 1]
        return tuple(
            (self.item(at), said if at == len(done) - 1 else reply_only(said))
            for at, said in enumerate(done)
        )

    def messages(self, tokenizer=None) -> list[dict]:
        """The chat that the policy answers; tokenizer: as in `modes.messages`."""
        return modes.messages(
            self.item(len(self.turns) - 1), None, history=self.history(), tokenizer=tokenizer
        )


def reply_only(completion: str) -> str:
    """A completion without its profile; one in which no answer begins stays as it is.

    >>> reply_only('likes: chess\\n\\n<answer>{"answer": "try chess"}</answer>')
    '\\n\\n<answer>{"answer": "try chess"}</answer>'
    """
    _, mark, answer = completion.rpartition("\n\n" + modes.ANSWER_OPEN)
    return mark + answer if mark else completion


def instruction(slots: Sequence[str] = profiles.SLOTS) -> str:
    """What a policy that was not trained for it is asked to do."""
    return profiles.INSTRUCTION.format(slots=", ".join(slots))


def scripted(talks: Sequence[Talk]) -> list[Turn]:
    """The pocket users' next turns."""
    return [talk.user.turns[len(talk.turns)] for talk in talks]


def converse(
    model,
    tokenizer,
    users: Sequence[User],
    n_turns: int,
    *,
    run: str,
    model_name: str,
    train_seed: int,
    seeds: Sequence[int],
    speak: Speaker = scripted,
    instruction: str = "",
    temperature: float = 0.6,
    max_tokens: int = 64,
    batch_tokens: int = generate.BATCH_TOKENS,
) -> pd.DataFrame:
    """Records of every turn of a dialogue with every user, once a sampling seed; each turn follows
    the policy's own earlier answers.

    condition: the user's kind; item_id: the user's; gold: the right reply for what is revealed.
    instruction: what is said before all else.
    """
    rows = []
    for seed in seeds:
        talks = [Talk(user, instruction) for user in users]
        for at in range(n_turns):
            for talk, turn in zip(talks, speak(talks), strict=True):
                talk.turns.append(turn)
            items = [(talk.item(at), talk.history()) for talk in talks]
            prompts = [
                modes.render_prompt(tokenizer, item, None, history=history)
                for item, history in items
            ]
            outs = generate.complete(
                model,
                tokenizer,
                prompts,
                seed=seed * n_turns + at,
                temperature=temperature,
                max_new_tokens=max_tokens,
                batch_tokens=batch_tokens,
            )
            for talk, (item, _), prompt, out in zip(talks, items, prompts, outs, strict=True):
                talk.said.append(out.text)
                row = evaluate.record(item, prompt, None, out, two_modes=False)
                rows.append(row | {"condition": talk.user.kind, "seed": seed, "turn": at + 1})
    return pd.DataFrame(rows).assign(
        run=run, model=model_name, train_seed=train_seed, forced="none"
    )[evaluate.COLUMNS]
