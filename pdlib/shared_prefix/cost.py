"""The cost model: floating-point operations of a forward pass, with the prompt shared or not.

Written out, the prompt is there once per row; shared, once per group. A backward pass costs twice
the forward, and decoding token by token as much as one pass over the same tokens, so the best
possible ratio is one number for generation, training pass and whole step. It counts matrix products
only: what a step costs beside them (a call per layer and token, memory that is moved) can be saved,
too, and then more than the best ratio is measured.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The sizes of a batch.

    `prompts` distinct prompts of `prompt` tokens have `rollouts` completions of `completion` tokens
    each.
    """

    model: str
    prompts: int
    prompt: int
    completion: int
    rollouts: int

    def __str__(self) -> str:
        return f"{self.model}, {self.prompts} x {self.prompt} + {self.rollouts} x {self.completion}"


def flops(config, tokens: float, pairs: float, scored: float) -> float:
    """Operations of a Llama- or Qwen3-shaped model (its transformers config).

    `tokens` go through the layers, `pairs` count a query and a key that it sees, `scored` tokens go
    through the language model head; a multiply-add is two operations.
    """
    hidden, n_heads = config.hidden_size, config.num_attention_heads
    head = getattr(config, "head_dim", None) or hidden // n_heads
    queries, keys = n_heads * head, config.num_key_value_heads * head
    projections = hidden * (queries + 2 * keys) + queries * hidden
    linear = projections + 3 * hidden * config.intermediate_size
    layers = config.num_hidden_layers * (tokens * linear + 2 * pairs * queries)
    return 2 * (layers + scored * hidden * config.vocab_size)


def seen(before: int, own: int) -> float:
    """Pairs of `own` tokens in causal order, each of which sees `before` tokens, too."""
    return own * before + own * (own + 1) / 2


def forward(config, shape: Shape, shared: bool) -> float:
    """Operations of one pass over all completions and their prompts."""
    copies, completions = 1 if shared else shape.rollouts, shape.rollouts * shape.completion
    pairs = copies * seen(0, shape.prompt)
    pairs += shape.rollouts * seen(shape.prompt, shape.completion)
    tokens = copies * shape.prompt + completions
    return shape.prompts * flops(config, tokens, pairs, scored=completions)


def best_ratio(config, shape: Shape) -> float:
    """How many times less work the shared pass is."""
    return forward(config, shape, shared=False) / forward(config, shape, shared=True)
