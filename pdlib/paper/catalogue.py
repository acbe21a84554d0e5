"""The systems of the paper's tables, each as a line of settings.

`pdlib.systems` trains and evaluates them; tables and figures take their names from here.

The paper describes its baselines in a line each (section 4). What it leaves open, and what we
chose:
1. CoT, G-SFT-RL and P-SFT-RL learn from PersonaDualData without the tags: all of its trajectories,
   the general ones, the personalised ones. Each gets as many updates as PersonaDual, then GRPO: on
   all questions, on the objective ones, on those whose asker fits.
2. AlignXpert (arXiv 2503.15463): DPO on preferred against other answers, as in its code. ICA shows
   the persona as it is; PBA shows the preferences that an expert reads from it, in training and in
   evaluation. The paper has histories, we have what the asker says.
3. PersonaDual-Prompt is asked to write a mode tag. An answer without one counts, with mode "none":
   nobody taught it the format.
4. PersonaDual-Router: see `pdlib.evaluate.router`.
"""

from dataclasses import dataclass, field

# the families of Table 1
GENERAL, PERSONALIZED, DUAL = "general purpose", "personalisation-oriented", "dual-mode"


@dataclass(frozen=True)
class System:
    """A model of the records: how it is trained and how it is asked.

    label: its name in figures. title: its row in the paper's tables, if there is one. family: one
    of Table 1's. what: a line on it, for tables of systems.

    start: the system that training starts from, or whose model is used as it is. sft: a view of the
    SFT set (train.VIEWS). rl: what train.run_rl is given. dpo: it is trained by DPO. settings: of
    the config that differ for this system's data and training.

    prompt: one of modes.PROMPTS. preferences: its askers state preferences. two_modes: a tag is
    expected, and both modes can be forced. forced: it is evaluated in forced modes, too. routed:
    see `pdlib.evaluate.router`.

    withhold: it is trained without some words and professions (pocket world), to ask what is
    memorised. dialogues: a share of its SFT rows comes after an earlier question, see
    `dialogues.run_history_set`.
    """

    label: str
    family: str
    what: str
    title: str = ""
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
    settings: dict | None = field(default=None, hash=False)

    @property
    def trained(self) -> bool:
        """Whether it has a training of its own."""
        return self.sft is not None or self.rl is not None or self.dpo


PLAIN = {"two_modes": False}
BOTH = {"family": DUAL, "two_modes": True}
SYSTEMS: dict[str, System] = {  # name in the records -> system, in the order of tables and figures
    "backbone": System("backbone", GENERAL, "the backbone as it is", "Qwen3-8B-Instruct"),
    "cot_sft": System("CoT, SFT only", GENERAL, "CoT before RL", sft="untagged"),
    "cot": System(
        "CoT",
        GENERAL,
        "all trajectories without tags, then GRPO on all questions",
        "CoT",
        start="cot_sft",
        rl=PLAIN,
    ),
    "g_sft": System("G-SFT", GENERAL, "G-SFT-RL before RL", sft="general"),
    "g_sft_rl": System(
        "G-SFT-RL",
        GENERAL,
        "general trajectories, then GRPO on objective questions",
        "G-SFT-RL",
        start="g_sft",
        rl=PLAIN | {"questions": "objective"},
    ),
    "personal_prompt": System(
        "Personal-Prompt",
        PERSONALIZED,
        "the backbone, asked to take the persona into account",
        "Personal-Prompt",
        prompt="personal",
    ),
    "p_sft": System("P-SFT", PERSONALIZED, "P-SFT-RL before RL", sft="personalized"),
    "p_sft_rl": System(
        "P-SFT-RL",
        PERSONALIZED,
        "personalised trajectories, then GRPO on questions whose asker fits",
        "P-SFT-RL",
        start="p_sft",
        rl=PLAIN | {"questions": "fitting"},
    ),
    "alignxpert_ica": System(
        "AlignXpert-ICA",
        PERSONALIZED,
        "DPO with the persona in context",
        "ALIGNXPERT-ICA",
        dpo=True,
    ),
    "alignxpert_pba": System(
        "AlignXpert-PBA",
        PERSONALIZED,
        "DPO with the asker's stated preferences in the persona's place",
        "ALIGNXPERT-PBA",
        dpo=True,
        preferences=True,
    ),
    "personadual_prompt": System(
        "PersonaDual-Prompt",
        DUAL,
        "the backbone, asked to choose a mode",
        "PersonaDual-Prompt",
        prompt="two_modes",
    ),
    "personadual_router": System(
        "PersonaDual-Router",
        what="both modes by SFT, chosen by a classifier",
        title="PersonaDual-Router",
        start="sft_only",
        routed=True,
        **BOTH,
    ),
    "sft_only": System(
        "SFT only",
        what="both modes by SFT",
        title="PersonaDual-SFT",
        sft="two_modes",
        forced=True,
        **BOTH,
    ),
    "no_dual_advantage_no_prefix_sampling": System(
        "w/o DualAdv + PfxSmp",
        what="free rollouts, reward minus the mean of all",
        title="w/o DualAdv + PfxSmp",
        start="sft_only",
        rl={"estimator": "dr_grpo", "forced_prefixes": False},
        **BOTH,
    ),
    "no_dual_advantage": System(
        "w/o DualAdv",
        what="forced prefixes, reward minus the mean of all",
        title="w/o DualAdv",
        start="sft_only",
        rl={"estimator": "dr_grpo"},
        **BOTH,
    ),
    "personadual": System(
        "PersonaDual",
        what="both modes by SFT, then DualGRPO",
        title="PersonaDual",
        start="sft_only",
        rl={},
        forced=True,
        **BOTH,
    ),
    "sft_only_dialogues": System(
        "SFT with dialogues",
        what="both modes by SFT, a share of it after an earlier question",
        sft="two_modes",
        dialogues=True,
        **BOTH,
    ),
    "withheld_sft": System(
        "SFT, words withheld",
        what="PersonaDual-SFT without some words and professions",
        sft="two_modes",
        withhold=True,
        **BOTH,
    ),
    "withheld": System(
        "words withheld",
        what="PersonaDual without some words and professions",
        start="withheld_sft",
        rl={},
        withhold=True,
        **BOTH,
    ),
}
# arms: PersonaDual with one thing changed, to see which departure from the paper, or which part of
# an ablation, does what
PAPER_RULE = {"sft_general_conditions": ["aligned", "unaligned"]}
HALF = {"rl_unaligned_share": 0.5}
SYSTEMS |= {
    "weight_1": System(
        "prefix weight 1",
        what="DualGRPO, prefix weight 1 instead of 2",
        start="sft_only",
        rl={"prefix_weight": 1.0},
        **BOTH,
    ),
    "grpo_std": System(
        "w/o DualAdv, scaled",
        what="as w/o DualAdv, divided by the group's standard deviation (GRPO)",
        start="sft_only",
        rl={"estimator": "grpo"},
        **BOTH,
    ),
    "grpo_std_weight_1": System(
        "w/o DualAdv, scaled, weight 1",
        what="the same with prefix weight 1: stock GRPO on forced prefixes",
        start="sft_only",
        rl={"estimator": "grpo", "prefix_weight": 1.0},
        **BOTH,
    ),
    "half_unaligned": System(
        "half unaligned",
        what="DualGRPO, half of RL's objective questions unaligned, as in paper B.1",
        start="sft_only",
        rl={},
        settings=HALF,
        **BOTH,
    ),
    "half_unaligned_free": System(
        "half unaligned, w/o both",
        what="the second ablation, half of RL's objective questions unaligned",
        start="sft_only",
        rl={"estimator": "dr_grpo", "forced_prefixes": False},
        settings=HALF,
        **BOTH,
    ),
    "paper_rule_sft": System(
        "SFT, paper's rule",
        what="SFT; every question without a gain is a general row, as in paper B.1",
        sft="two_modes",
        settings=PAPER_RULE,
        **BOTH,
    ),
    "paper_rule": System(
        "paper's rule",
        what="the same, then DualGRPO",
        start="paper_rule_sft",
        rl={},
        settings=PAPER_RULE,
        **BOTH,
    ),
}
ARMS = (
    "weight_1",
    "grpo_std",
    "grpo_std_weight_1",
    "half_unaligned",
    "half_unaligned_free",
    "paper_rule_sft",
    "paper_rule",
)
# is it memorised? and a backbone (no system) that read personas which mean nothing
CONTROLS = ("withheld", "null_backbone")
TABLE_1 = (
    "backbone",
    "cot",
    "g_sft_rl",
    "personal_prompt",
    "p_sft_rl",
    "alignxpert_ica",
    "alignxpert_pba",
    "personadual_prompt",
    "personadual_router",
    "personadual",
)
TABLE_2 = ("sft_only", "personadual", "no_dual_advantage", "no_dual_advantage_no_prefix_sampling")
TABLES = tuple(dict.fromkeys((*TABLE_1, *TABLE_2)))  # each once
ABLATIONS = tuple(name for name in TABLE_2 if name != "personadual")
FIGURE_ORDER = tuple(name for name in SYSTEMS if name in TABLES)
FAMILIES = {
    family: tuple(name for name in FIGURE_ORDER if SYSTEMS[name].family == family)
    for family in (GENERAL, PERSONALIZED, DUAL)
}


def of(name: str) -> System:
    """The system of that name; ValueError for an unknown one."""
    if name not in SYSTEMS:
        raise ValueError(f"unknown system {name!r}, expected one of {', '.join(SYSTEMS)}")
    return SYSTEMS[name]


def label(model: str) -> str:
    """How figures name a model of the records: by its system's label, else by its own name."""
    return SYSTEMS[model].label if model in SYSTEMS else model
