"""Live dialogues: RLPA's policy is trained turn by turn while it talks with users.

Every turn is a prompt of its own: the dialogue so far; its rollouts are a group. When their rewards
are known the best rollout goes on in the dialogue and the user says the next turn, as in the
authors' code. TRL's own interface for several turns (tools, an environment) gives one reward for a
whole trajectory and wants a chat template with tools; here each turn's reward belongs to that
turn's tokens.
"""

from collections.abc import Callable, Sequence

from datasets import Dataset

from pdlib.rlpa.dialogue import Dialogue, Speaker, scripted
from pdlib.rlpa.rewards import Judge, Reward, read
from pdlib.rlpa.user import User

# batches of dialogues that are open at once: the loader fetches a batch before the one before it
# has its rewards
AHEAD = 3


class LiveDialogues:
    """Open dialogues: prompts for TRL, rewards of the completions, and each dialogue's next turn.

    next_user(k): the k-th user.  n_turns: after which another user begins; the first ones leave
    earlier, so that a batch holds all turns.  tokenizer: of the policy, for which what users say is
    data, see `modes.as_data`.  In the data set, column `dialogue` says which of `dialogues` a
    prompt is of.
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
        self.next_user, self.n_turns, self.judge, self.speak = next_user, n_turns, judge, speak
        self.instruction, self.tokenizer = instruction, tokenizer
        self.begun, self.turns_done = 0, 0
        self.last_rewards: list[Reward] = []
        self.leaves_after = [1 + index % n_turns for index in range(n_open)]  # turns
        self.dialogues = [self._begin() for _ in range(n_open)]
        self._let_users_speak(self.dialogues)

    def _begin(self) -> Dialogue:
        self.begun += 1
        return Dialogue(self.next_user(self.begun - 1), self.instruction)

    def _let_users_speak(self, dialogues: Sequence[Dialogue]) -> None:
        for dialogue, turn in zip(dialogues, self.speak(dialogues), strict=True):
            dialogue.turns.append(turn)

    def data(self, n_rows: int) -> Dataset:
        """A data set of `n_rows`, the dialogues over and over.

        A row's prompt is that of its dialogue at the moment it is read.
        """

        def prompts(rows: dict) -> dict:
            current = [self.dialogues[index].messages(self.tokenizer) for index in rows["dialogue"]]
            return {"prompt": current, "dialogue": rows["dialogue"]}

        indices = [row % len(self.dialogues) for row in range(n_rows)]
        return Dataset.from_dict({"dialogue": indices}).with_transform(prompts)

    def profile(self, prompts, completions, dialogue, **_) -> list[float]:
        """TRL reward function: the Profile Reward.

        Both rewards are found here, since a judge may have to be asked. RuntimeError when a
        completion answers a turn that its dialogue has left.
        """
        late = 0
        for prompt, index in zip(prompts, dialogue, strict=True):
            late += prompt != self.dialogues[index].messages(self.tokenizer)
        if late:
            raise RuntimeError(
                f"{late} of {len(prompts)} completions answer a turn that has passed: the loader "
                f"read more than {AHEAD - 1} batches ahead; raise AHEAD"
            )
        turns = [self.dialogues[index].turns[-1] for index in dialogue]
        parsed = [read(messages[0]["content"]) for messages in completions]
        self.last_rewards = self.judge.rewards(turns, parsed)
        return [reward.profile for reward in self.last_rewards]

    def response(self, completions, dialogue, **_) -> list[float]:
        """TRL reward function: the Response Reward; then the dialogues go on."""
        rewards = self.last_rewards
        self._go_on([messages[0]["content"] for messages in completions], dialogue, rewards)
        return [reward.response for reward in rewards]

    def _go_on(
        self, texts: Sequence[str], dialogue: Sequence[int], rewards: Sequence[Reward]
    ) -> None:
        best: dict[int, int] = {}  # dialogue -> row of its best rollout
        for row, index in enumerate(dialogue):
            # the first of equal ones, as in the authors' code
            if index not in best or rewards[row].total > rewards[best[index]].total:
                best[index] = row
        for index, row in best.items():
            completions = self.dialogues[index].completions
            completions.append(texts[row])
            if len(completions) >= self.leaves_after[index]:
                self.dialogues[index] = self._begin()
                self.leaves_after[index] = self.n_turns
        self._let_users_speak([self.dialogues[index] for index in best])
        self.turns_done += len(best)
