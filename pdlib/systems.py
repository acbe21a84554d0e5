"""Every system of the paper's tables: a short description and settings; trained or prompted, and evaluated, by the same code.

The paper describes its baselines in a line each (section 4). What it leaves open, and what we chose:
1. CoT, G-SFT-RL and P-SFT-RL learn from PersonaDualData without the tags: all of its trajectories, the general ones, the personalised
   ones. Each gets as many updates as PersonaDual, then GRPO: on all questions, on the objective ones, on those whose asker fits.
2. AlignXpert (arXiv 2503.15463): DPO on preferred against other answers, as in its code. ICA shows the persona as it is; PBA shows the
   preferences that an expert reads from it, in training and in evaluation. The paper has histories, we have what the asker says.
3. PersonaDual-Prompt is asked to write a mode tag. An answer without one counts, with mode "none": nobody taught it the format.
4. PersonaDual-Router: see `router`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from pdlib import backbone, config, construct, data, dialogues, evaluate, router, train


@dataclass(frozen=True)
class System:
    """title: the row of the paper's tables.  family: general | personalized | dual.

    start: the system that training starts from, or whose model is used as it is.  sft: a view of the SFT set (train.VIEWS).
    rl: what train.run_rl is given.  dpo: trained by DPO.  prompt: of modes.PROMPTS.  preferences: askers state preferences.
    two_modes: a tag is expected, and both modes can be forced.  forced: forced modes are evaluated, too.  routed: see `router`.
    withhold: trained without some words and professions (pocket world), to ask what is memorised.
    dialogues: a share of the SFT rows comes after an earlier question, see `dialogues.run_sft_set`.
    """

    title: str
    family: str
    what: str
    start: str = "backbone"
    sft: str | None = None
    rl: dict | None = field(default=None, hash=False)
    dpo: bool = False
    prompt: str = "plain"
    preferences: bool = False
    two_modes: bool = False
    forced: bool = False
    routed: bool = False
    withhold: bool = False
    dialogues: bool = False

    @property
    def trained(self) -> bool:
        return self.sft is not None or self.rl is not None or self.dpo


PLAIN = {"two_modes": False}
SYSTEMS = {
    "backbone": System("Qwen3-8B-Instruct", "general", "the backbone as it is"),
    "cot_sft": System("", "general", "CoT before RL", sft="untagged"),
    "cot": System("CoT", "general", "all trajectories without tags, then GRPO on all questions", start="cot_sft", rl=PLAIN),
    "g_sft": System("", "general", "G-SFT-RL before RL", sft="general"),
    "g_sft_rl": System("G-SFT-RL", "general", "general trajectories, then GRPO on objective questions", start="g_sft",
                       rl=PLAIN | {"questions": "objective"}),
    "personal_prompt": System("Personal-Prompt", "personalized", "the backbone, asked to take the persona into account", prompt="personal"),
    "p_sft": System("", "personalized", "P-SFT-RL before RL", sft="personalized"),
    "p_sft_rl": System("P-SFT-RL", "personalized", "personalised trajectories, then GRPO on questions whose asker fits", start="p_sft",
                       rl=PLAIN | {"questions": "fitting"}),
    "alignxpert_ica": System("ALIGNXPERT-ICA", "personalized", "DPO with the persona in context", dpo=True),
    "alignxpert_pba": System("ALIGNXPERT-PBA", "personalized", "DPO with the asker's stated preferences in the persona's place", dpo=True,
                             preferences=True),
    "personadual_prompt": System("PersonaDual-Prompt", "dual", "the backbone, asked to choose a mode", prompt="two_modes"),
    "sft_only": System("PersonaDual-SFT", "dual", "both modes by SFT", sft="two_modes", two_modes=True, forced=True),
    "sft_only_dialogues": System("", "dual", "both modes by SFT, a share of it after an earlier question", sft="two_modes", two_modes=True,
                                 dialogues=True),
    "personadual_router": System("PersonaDual-Router", "dual", "both modes by SFT, chosen by a classifier", start="sft_only",
                                 two_modes=True, routed=True),
    "personadual": System("PersonaDual", "dual", "both modes by SFT, then DualGRPO", start="sft_only", rl={}, two_modes=True, forced=True),
    "no_dual_advantage": System("w/o DualAdv", "dual", "forced prefixes, pooled GRPO advantage", start="sft_only",
                                rl={"estimator": "grpo"}, two_modes=True),
    "no_dual_advantage_no_prefix_sampling": System("w/o DualAdv + PfxSmp", "dual", "plain GRPO from the SFT model", start="sft_only",
                                                   rl={"estimator": "grpo", "forced_prefixes": False}, two_modes=True),
    "withheld_sft": System("", "dual", "PersonaDual-SFT without some words and professions", sft="two_modes", two_modes=True, withhold=True),
    "withheld": System("", "dual", "PersonaDual without some words and professions", start="withheld_sft", rl={}, two_modes=True,
                       withhold=True),
}
TABLE_1 = ("backbone", "cot", "g_sft_rl", "personal_prompt", "p_sft_rl", "alignxpert_ica", "alignxpert_pba", "personadual_prompt",
           "personadual_router", "personadual")
TABLE_2 = ("sft_only", "personadual", "no_dual_advantage", "no_dual_advantage_no_prefix_sampling")


def table(names: Sequence[str] = tuple(SYSTEMS)) -> pd.DataFrame:
    """The systems in words: title, family, what they are, what they start from."""
    return pd.DataFrame([{"system": name, "paper": SYSTEMS[name].title, "family": SYSTEMS[name].family, "what": SYSTEMS[name].what,
                          "from": SYSTEMS[name].start if SYSTEMS[name].trained or SYSTEMS[name].routed else ""} for name in names])


def seeds(cfg: config.Config) -> range:
    """The training seeds: cfg.seed and the next ones."""
    return range(cfg.seed, cfg.seed + cfg.train_seeds)


def folder(cfg: config.Config, name: str, seed: int | None = None) -> Path:
    """The stage folder of a system's model: the backbone's own where nothing is trained, else <run>/<name>-<training seed>."""
    if not _of(name).trained:
        start = _of(name).start
        return backbone.folder_of(cfg, cfg.backbone) if start == "backbone" else folder(cfg, start, seed)
    return cfg.run_folder() / f"{name}-{cfg.seed if seed is None else seed}"


def _of(name: str) -> System:
    if name not in SYSTEMS:
        raise ValueError(f"unknown system {name!r}, expected one of {', '.join(SYSTEMS)}")
    return SYSTEMS[name]


def fit(cfg: config.Config, name: str, seed: int | None = None) -> Path:
    """Train a system with one training seed (default cfg.seed), and before it what it starts from; returns the model's folder.

    The data follow cfg.seed, the RL questions the training seed. What is there already is not trained again.
    """
    system, own = _of(name), replace(cfg, seed=cfg.seed if seed is None else seed)
    target = folder(cfg, name, own.seed)
    if name == "backbone":
        return backbone.run(cfg, cfg.backbone)
    start = fit(cfg, system.start, own.seed)
    if not system.trained:
        return start
    sets = data.run_sft_set(cfg, backbone.run(cfg, cfg.backbone), system.withhold)
    if system.dialogues:  # the earlier questions are answered by the model of the same seed that saw none
        sets = dialogues.run_sft_set(own, sets, fit(cfg, "sft_only", own.seed))
    if system.sft:
        return train.run_sft(own, target, start, sets, system.sft)
    if system.dpo:
        return train.run_dpo(own, target, start, sets, data.open_expert(cfg) if system.preferences else None)
    return train.run_rl(own, target, start, sets, data.run_rl_set(own, withhold=system.withhold), **system.rl)


def evaluated(cfg: config.Config, name: str, counterfactual: bool = False) -> list[Path]:
    """Train and evaluate a system with every training seed (an untrained one once); returns its record files.

    counterfactual: under the counterfactual conditions, answering freely. ValueError for a routed system then: its records are put
    together from forced answers, which are asked under the usual conditions only.
    """
    system = _of(name)
    if system.routed and counterfactual:
        raise ValueError(f"{name} has no answers under the counterfactual conditions; evaluate {system.start} instead")
    if system.routed:
        return [_routed(cfg, name, seed) for seed in seeds(cfg)]
    free = {"forced": (None,)} if counterfactual or not system.forced else {}
    return [evaluate.run_records(cfg, name, fit(cfg, name, seed), train_seed=seed, two_modes=system.two_modes, prompt=system.prompt,
                                 preferences=system.preferences, counterfactual=counterfactual, **free)
            for seed in (seeds(cfg) if system.trained else [None])]


def in_dialogues(cfg: config.Config, name: str) -> list[Path]:
    """Train a system with every training seed and evaluate it in dialogues; returns its record files, see `dialogues`."""
    if not _of(name).two_modes or _of(name).routed:
        raise ValueError(f"system {name!r} does not choose a mode itself; in dialogues the choices of one that does are compared")
    return [dialogues.run_records(cfg, name, fit(cfg, name, seed), train_seed=seed) for seed in seeds(cfg)]


def routed_chances(cfg: config.Config) -> pd.DataFrame:
    """The router's P(personalised) for every test question and condition: benchmark, item_id, condition, p_personalized."""
    sets = data.run_sft_set(cfg, backbone.run(cfg, cfg.backbone))
    asked = evaluate.ask_all(data.test_items(cfg), data.persona_pool(cfg))
    fitted = router.Router(construct.from_frame(pd.read_parquet(sets / "sft.parquet")))
    chances = fitted.chances([(item, persona) for _, item, persona in asked])
    return pd.DataFrame([{"benchmark": item.benchmark, "item_id": item.id, "condition": condition, "p_personalized": chance}
                         for (condition, item, _), chance in zip(asked, chances, strict=True)])


def _routed(cfg: config.Config, name: str, seed: int) -> Path:
    """Records of the routed SFT model, from its forced ones."""
    index = list(seeds(cfg)).index(seed)
    source = evaluated(cfg, _of(name).start)[index]
    records = router.route(evaluate.read_records([source]), routed_chances(cfg), name)
    target = source.with_name(source.name.replace(f".{_of(name).start}.", f".{name}."))
    evaluate.write(records, target)
    return target


def records(cfg: config.Config, names: Sequence[str] | None = None) -> pd.DataFrame:
    """The records there are of the systems trained on cfg.backbone, all or `names`, under the usual and the counterfactual conditions."""
    found = evaluate.read_records(cfg.folder() / "records")
    return found[(found.run == cfg.run) & (found.model.isin(names) if names else True)]
