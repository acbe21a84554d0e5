"""What settings are refused: values that could only fail later and less clearly."""

from dataclasses import asdict

from pdlib.config import combinations
from pdlib.config.paths import run_name
from pdlib.config.settings import CHOICES, MAY_BE_ZERO, Settings

SFT_ROWS = {"general", "personalized", "no_persona"}  # what sft_composition counts per source


def check(settings: Settings) -> None:
    """Raise a ValueError that names the first setting that cannot work and what is expected."""
    n_modes = len(settings.mode_set)
    if settings.rl_rollouts < n_modes or settings.rl_rollouts % n_modes:
        raise ValueError(
            f"setting rl_rollouts is {settings.rl_rollouts}; forced prefixes need n rollouts in "
            f"each of {n_modes} modes (Eq. 5): use {n_modes}, {2 * n_modes}, {3 * n_modes}, ..."
        )
    for name, value in asdict(settings).items():
        _check_value(name, value)
    if settings.memories_judge and not settings.expert_url:
        raise ValueError(
            f"setting memories_judge is {settings.memories_judge!r}, and expert_url is empty; "
            "name the url at which it answers"
        )
    combinations.check(settings)
    _check_counts(settings)
    _check_backbones(settings)
    for stage in ("sft", "rl"):
        accumulation(settings, stage)
    _check_generation_batch(settings)


def _check_value(name: str, value) -> None:
    if type(value) is int and name not in MAY_BE_ZERO and value < 1:
        raise ValueError(f"setting {name} is {value}; it must be at least 1")
    if name.endswith("_share") and not 0 <= value <= 1:
        raise ValueError(f"setting {name} is {value}; a share lies between 0 and 1")
    if name in ("rl_asking", "ask_rewards"):
        counts = [value] if name == "rl_asking" else value
        if not all(0 <= count <= 1 for count in counts):
            raise ValueError(
                f"setting {name} is {value}; a wrong answer counts 0 and a right one 1, so asking "
                "back lies between them"
            )
    if name == "adam_beta2" and not 0 < value < 1:
        raise ValueError(
            f"setting adam_beta2 is {value}; expected a number between 0 and 1, "
            "0.999 is PyTorch's default"
        )
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"setting {name} is {value!r}; expected one of {', '.join(CHOICES[name])}")


def _check_counts(settings: Settings) -> None:
    counts = {}
    for name in ("eval_items", "likelihood_items", "rl_composition"):
        counts |= {f"{name}.{key}": n for key, n in getattr(settings, name).items()}
    for source, rows in settings.sft_composition.items():
        if not isinstance(rows, dict) or set(rows) - SFT_ROWS:
            raise ValueError(
                f"setting sft_composition.{source} is {rows!r}; expected counts of general, "
                "personalized, no_persona rows"
            )
        counts |= {f"sft_composition.{source}.{kind}": n for kind, n in rows.items()}
    for name, n in counts.items():
        if type(n) is not int or n < 1:
            raise ValueError(
                f"setting {name} is {n!r}; expected a whole number of at least 1 "
                "(leave out what is not wanted)"
            )


def _check_backbones(settings: Settings) -> None:
    by_run: dict[str, str] = {}
    for backbone in settings.backbones:
        run = run_name(backbone)
        if run in by_run:
            raise ValueError(
                f"setting backbones: {by_run[run]!r} and {backbone!r} are both called {run!r} "
                "in records and folders; rename one of them"
            )
        by_run[run] = backbone
    if settings.backbone not in settings.backbones:
        raise ValueError(
            f"setting backbone is {settings.backbone!r}; expected one of backbones: "
            f"{', '.join(settings.backbones)}"
        )


def _check_generation_batch(settings: Settings) -> None:
    batch, per_process = (
        settings.rl_generation_batch,
        settings.rl_prompts * settings.rl_rollouts // settings.processes,
    )
    if batch % settings.rl_micro_batch or per_process % batch:
        raise ValueError(
            f"setting rl_generation_batch is {batch}; expected a multiple of rl_micro_batch "
            f"({settings.rl_micro_batch}) that divides the {per_process} completions of a process "
            "and step"
        )
    if batch * settings.processes % settings.rl_rollouts:
        raise ValueError(
            f"setting rl_generation_batch is {batch}; over all processes it must hold whole groups "
            f"of rl_rollouts ({settings.rl_rollouts})"
        )


def accumulation(settings: Settings, stage: str) -> int:
    """Gradient accumulation steps of `stage` (sft, rl).

    The sequences per update are processes x micro batch x accumulation. Where an update cannot be
    cut so, a ValueError names the nearest micro batches that work.

    >>> from pdlib import config
    >>> paper = config.load("paper")  # 64 prompts x 8 rollouts, paper Table 6, on 8 GPUs
    >>> accumulation(paper, "rl")
    16
    """
    rollouts = settings.rl_prompts * settings.rl_rollouts
    total = settings.sft_batch if stage == "sft" else rollouts
    micro_batch = getattr(settings, f"{stage}_micro_batch")
    processes, per_process = settings.processes, total // settings.processes
    if total % processes:
        raise ValueError(
            f"{stage}: {total} sequences an update cannot be shared evenly by {processes} "
            "processes; change processes"
        )
    if per_process % micro_batch:
        divisors = [n for n in range(1, per_process + 1) if per_process % n == 0]
        nearest = sorted(divisors, key=lambda n: abs(n - micro_batch))[:2]
        raise ValueError(
            f"{stage}: {total} sequences an update on {processes} processes are {per_process} "
            f"each, which {stage}_micro_batch {micro_batch} does not divide; nearest that do: "
            f"{', '.join(map(str, sorted(nearest)))}"
        )
    return per_process // micro_batch
