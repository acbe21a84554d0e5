"""One frozen config: `load("pocket", seed=1)`. Every value of a profile carries its source; unknown keys raise."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import yaml

PROFILES = Path(__file__).parent / "profiles"


@dataclass(frozen=True)
class Config:
    """Settings of a run. `profiles/pocket.yaml` says what each means here and where its value comes from."""

    profile: str
    seed: int
    output_dir: str
    # pocket world
    cue_share: float
    # backbone
    backbones: list
    backbone_first_steps: int
    backbone_steps: int
    backbone_batch: int
    backbone_learning_rate: float
    # SFT
    gain_candidates: int
    gain_margin: float
    sft_rows: int
    sft_personalized_share: float
    sft_preference_share: float
    sft_no_persona_share: float
    sft_epochs: int
    sft_batch: int
    sft_learning_rate: float
    sft_mode_token_weight: float
    # RL
    rl_steps: int
    rl_prompts: int
    rl_rollouts: int
    rl_learning_rate: float
    rl_warmup: float
    rl_kl: float
    rl_temperature: float
    rl_prefix_weight: float
    rl_prefix_style: str
    rl_importance_correction: str
    rl_preference_share: float
    rl_max_completion: int
    checkpoint_every: int
    # evaluation
    eval_objective: int
    eval_personalized: int
    eval_runs: int
    eval_temperature: float
    eval_max_tokens: int
    # the advantage laboratory
    lab_systems: list
    lab_seeds: int
    lab_steps: int
    sources: dict = field(default_factory=dict, hash=False, compare=False)

    def folder(self) -> Path:
        """outputs/<profile>; a relative output_dir counts from the repository, wherever the kernel was started."""
        return Path(__file__).resolve().parents[1] / self.output_dir / self.profile

    def subset(self, *prefixes: str) -> dict:
        """The settings whose names begin with one of `prefixes`: what a stage depends on."""
        return {k: v for k, v in asdict(self).items() if k.startswith(prefixes) and k != "sources"}


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
            raise ValueError(f"profile {profile!r}, {key}: found {entry!r}, expected [value, source]")
    return base | entries


def load(profile: str, **overrides) -> Config:
    """The config of `profile` with `overrides`; ValueError for an unknown profile, setting, or a value of a wrong type."""
    entries = _read(profile)
    known = {f.name: f.type for f in fields(Config) if f.name not in ("profile", "sources")}
    unknown = sorted((set(entries) | set(overrides)) - set(known))
    if unknown:
        raise ValueError(f"unknown setting {', '.join(unknown)}; known settings: {', '.join(known)}")
    missing = sorted(set(known) - set(entries))
    if missing:
        raise ValueError(f"profile {profile!r} lacks {', '.join(missing)}")
    values = {k: v[0] for k, v in entries.items()} | overrides
    sources = {k: v[1] for k, v in entries.items()} | {k: "given at the call" for k in overrides}
    for key, value in values.items():
        if known[key] is float and type(value) is int:
            values[key] = value = float(value)
        if type(value) is not known[key]:
            raise ValueError(f"setting {key}: found {value!r} ({type(value).__name__}), expected {known[key].__name__}")
    config = Config(profile=profile, **values, sources=sources)
    _check(config)
    return config


def _check(config: Config):
    """Refuse values that could only fail later and less clearly."""
    for name, value in asdict(config).items():
        counts = ("_steps", "_batch", "_rows", "_prompts", "_runs", "_epochs", "_candidates", "_completion", "_tokens", "_every", "_seeds")
        if name.endswith(counts) and value < 1 or name in ("eval_objective", "eval_personalized") and value < 1:
            raise ValueError(f"setting {name} is {value}; it must be at least 1")
        if name.endswith("_share") and not 0 <= value <= 1:
            raise ValueError(f"setting {name} is {value}; a share lies between 0 and 1")
    if config.rl_rollouts < 2 or config.rl_rollouts % 2:
        raise ValueError(f"setting rl_rollouts is {config.rl_rollouts}; forced prefixes need an even number, n in each mode "
                         "(Eq. 5): use 2, 4, 6, 8, ...")
