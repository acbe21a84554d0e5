"""What goes with what: settings that cannot work together, why, and what to set instead.

`check` refuses them before anything is trained; `table` lists what is left, for
`guides/combinations.md`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

from pdlib.config.settings import CHOICES, Settings


@dataclass(frozen=True)
class Rule:
    """A combination that cannot work. name: in the table. fails: is it that of these settings?"""

    name: str
    fails: Callable[[Mapping], bool]
    why: str
    instead: str


def _is_cut(settings: Mapping) -> bool:
    """Whether the weights are cut over processes; by the name of the launch configuration."""
    return str(settings["accelerate"]).startswith("zero3")


RULES = (
    Rule(
        "adapter on cut weights",
        lambda s: s["tuning"] != "full" and _is_cut(s),
        "an adapter is merged into whole weights, which no process has under ZeRO-3: one waits for "
        "the others for ever",
        "accelerate=multi_gpu, with a whole model on each GPU, or tuning=full",
    ),
    Rule(
        "vLLM on 4 bits",
        lambda s: s["tuning"] == "qlora" and s["rl_vllm"] != "none",
        "vLLM is given the merged weights after each step, and a base in 4 bits has none to merge "
        "into",
        "rl_vllm=none, or tuning=lora",
    ),
    Rule(
        "vLLM with trained tokens",
        lambda s: (
            s["tuning"] == "lora" and s["rl_vllm"] != "none" and s["rl_prefix_style"] == "token"
        ),
        "LoRA trains the mode tags' embeddings under names that vLLM does not know",
        "rl_prefix_style=text, or rl_vllm=none",
    ),
    Rule(
        "several processes without a launcher",
        lambda s: s["accelerate"] == "none" and (s["processes"] > 1 or s["machines"] > 1),
        "nothing starts the other processes",
        "accelerate=multi_gpu or zero3, or processes=1 and machines=1",
    ),
)


def check(settings: Settings) -> None:
    """ValueError for the first of RULES that `settings` break."""
    values = vars(settings)
    for rule in RULES:
        if rule.fails(values):
            names = ("tuning", "accelerate", "processes", "machines", "rl_vllm", "rl_prefix_style")
            found = ", ".join(f"{name}={values[name]}" for name in names)
            raise ValueError(f"{rule.name} ({found}): {rule.why}; set {rule.instead}")


def table() -> str:
    """Markdown: which tuning goes with which launch and which rollouts."""
    launches = {"none": "one process", "multi_gpu": "whole models", "zero3": "cut weights"}
    rollouts = CHOICES["rl_vllm"]
    lines = [
        "| `tuning` | `accelerate` | "
        + " | ".join(f"`rl_vllm={name}`" for name in rollouts)
        + " |",
        "|---|---|" + "---|" * len(rollouts),
    ]
    for tuning, (launch, words) in product(CHOICES["tuning"], launches.items()):
        cells = [_cell(tuning, launch, name) for name in rollouts]
        lines.append(f"| `{tuning}` | `{launch}` ({words}) | {' | '.join(cells)} |")
    lines.append("")
    for rule in RULES:
        lines.append(f"- **{rule.name}**: {rule.why}. Set {rule.instead}.")
    return "\n".join(lines)


def _cell(tuning: str, launch: str, rollouts: str) -> str:
    """What becomes of a combination, with either way to write the mode tags."""
    found = {}
    for style in CHOICES["rl_prefix_style"]:
        values = {
            "tuning": tuning,
            "accelerate": launch,
            "processes": 1 if launch == "none" else 2,
            "machines": 1,
            "rl_vllm": rollouts,
            "rl_prefix_style": style,
        }
        found[style] = next((rule.name for rule in RULES if rule.fails(values)), "yes")
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return "; ".join(f"tags as {style}: {words}" for style, words in found.items())
