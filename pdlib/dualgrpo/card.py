"""What a model card says of a DualGRPO training: its paper, its modes, its settings."""

import pdlib
from pdlib import advantages
from pdlib.dualgrpo.config import DualGRPOConfig

PAPER = {
    "title": "PersonaDual: Balancing Personalization and Objectivity via Adaptive Reasoning",
    "id": "2601.08679",
    "citation": (
        "@article{personadual2026,\n"
        "    title        = {{PersonaDual: Balancing Personalization and Objectivity via Adaptive "
        "Reasoning}},\n"
        "    year         = 2026,\n"
        "    eprint       = {arXiv:2601.08679},\n"
        "}"
    ),
}
SETTINGS = (  # of DualGRPOConfig, beside the modes and the estimator
    "forced_prefixes",
    "num_generations",
    "prefix_style",
    "importance_correction",
    "temperature",
    "beta",
    "learning_rate",
    "max_steps",
    "seed",
)


def of_training(args: DualGRPOConfig) -> str:
    """The modes and settings of a training, in Markdown."""
    options = advantages.options(args.estimator) | args.options()
    settings = {"estimator": advantages.name_of(args.estimator)} | options
    settings |= {name: getattr(args, name) for name in SETTINGS}
    lines = [
        "",
        "## Modes",
        "",
        "A completion begins with the tag of its mode and a line break.",
        "",
        *_table(("mode", "tag"), {name: f"`{tag}`" for name, tag in args.modes.items()}),
        "",
        "## Settings of DualGRPO",
        "",
        *_table(("setting", "value"), settings),
        "",
        f"Trained with pdlib {pdlib.__version__}.",
        "",
    ]
    return "\n".join(lines)


def _table(head: tuple[str, str], rows: dict) -> list[str]:
    return [
        f"| {head[0]} | {head[1]} |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
    ]
