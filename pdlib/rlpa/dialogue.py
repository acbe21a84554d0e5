"""Dialogues: what the policy is shown in a turn, and how it goes on from its own answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from pdlib import evaluate, generate, modes
from pdlib.rlpa import profile as profiles
from pdlib.rlpa.user import Turn, User
from pdlib.schema import Item

BENCHMARK = "dynamic"  # the name of such dialogues in records
Speaker = Callable[[Sequence["Dialogue"]], list[Turn]]  # the users' next turns


@dataclass
class Dialogue:
    """A dialogue so far: the user's turns, and the policy's completions.

    There is one completion fewer while it is the policy's turn. instruction: what the policy is
    told before all else.
    """

    user: User
    instruction: str = ""
    turns: list[Turn] = field(default_factory=list)
    completions: list[str] = field(default_factory=list)

    def item(self, at: int) -> Item:
        """The user's `at`-th message as a question; the first one with the instruction.

        Its gold is the right reply for what was revealed.
        """
        turn = self.turns[at]
        gold, *others = turn.accepted or ("-",)
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
        """The turns before the last, each with its answer.

        The last answer is whole; of the answers before it only the reply is shown.
        """
        answers = self.completions[: len(self.turns) - 1]
        shown = [reply_only(text) for text in answers[:-1]] + answers[-1:]
        return tuple((self.item(at), text) for at, text in enumerate(shown))

    def messages(self, tokenizer=None) -> list[dict]:
        """The chat that the policy answers; tokenizer: as in `modes.messages`."""
        item = self.item(len(self.turns) - 1)
        return modes.messages(item, None, history=self.history(), tokenizer=tokenizer)


def reply_only(completion: str) -> str:
    r"""A completion without its profile; one in which no answer begins stays as it is.

    >>> reply_only('likes: chess\n\n<answer>{"answer": "try chess"}</answer>')
    '\n\n<answer>{"answer": "try chess"}</answer>'
    """
    _, mark, answer = completion.rpartition("\n\n" + modes.ANSWER_OPEN)
    return mark + answer if mark else completion


def instruction(slots: Sequence[str] = profiles.SLOTS) -> str:
    """What a policy that was not trained for it is asked to do."""
    return profiles.INSTRUCTION.format(slots=", ".join(slots))


def scripted(dialogues: Sequence[Dialogue]) -> list[Turn]:
    """The next turns of users who have a script."""
    return [dialogue.user.turns[len(dialogue.turns)] for dialogue in dialogues]


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
    """Records of every turn of a dialogue with every user, once per sampling seed.

    Each turn follows the policy's own earlier answers. condition: the user's kind; item_id: the
    user's; gold: the right reply for what is revealed. instruction: what is said before all else.
    """
    rows = []
    for seed in seeds:
        dialogues = [Dialogue(user, instruction) for user in users]
        for at in range(n_turns):
            for dialogue, turn in zip(dialogues, speak(dialogues), strict=True):
                dialogue.turns.append(turn)
            items = [dialogue.item(at) for dialogue in dialogues]
            prompts = [
                modes.render_prompt(tokenizer, item, None, history=dialogue.history())
                for item, dialogue in zip(items, dialogues, strict=True)
            ]
            outputs = generate.complete(
                model,
                tokenizer,
                prompts,
                seed=seed * n_turns + at,
                temperature=temperature,
                max_new_tokens=max_tokens,
                batch_tokens=batch_tokens,
            )
            answered = zip(dialogues, items, prompts, outputs, strict=True)
            for dialogue, item, prompt, output in answered:
                dialogue.completions.append(output.text)
                row = evaluate.record(item, prompt, None, output, mode_set=None)
                rows.append(row | {"condition": dialogue.user.kind, "seed": seed, "turn": at + 1})
    records = pd.DataFrame(rows).assign(
        run=run, model=model_name, train_seed=train_seed, forced="none"
    )
    return records[evaluate.COLUMNS]
