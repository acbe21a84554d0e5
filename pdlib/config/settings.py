"""What can be set: one field per setting, and the values that a setting may have."""

from dataclasses import dataclass, field

from pdlib.schema import PAPER_MODES, ModeSet

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
MAY_BE_ZERO = (  # 0 means: not used, or no limit
    "seed",
    "replicates",
    "when_seeds",
    "ask_seeds",
    "sft_choice_passes",
    "sft_reading",
    "everyday_pairs",
    "gain_samples",
    "expert_requests_per_minute",
    "counterfactual_items",
    "workers",
)

# Settings that came late, with the value at which finished stages stay up to date.
UNSAID = {
    "precision": "auto",
    "everyday_pairs": 0,
    "sft_reading": 0,
    "modes": PAPER_MODES.tags,
    "rl_asking": 0.0,
}


@dataclass(frozen=True)
class Settings:
    """The settings of a run, as `profiles/pocket.yaml` explains them one by one.

    sources: where each value comes from.
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
    modes: dict
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
    report_to: list
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
    rl_asking: float
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
    # when DualGRPO pays, see analysis.when
    when_seeds: int
    when_steps: int
    when_learning_rate: float
    when_priors: list
    when_shares: list
    when_arms: list
    when_items: dict
    # a third mode that asks back, see analysis.asking_back
    ask_seeds: int
    ask_steps: int
    ask_learning_rate: float
    ask_rewards: list
    ask_share: float
    ask_items: dict
    # two modes of one's own, on sums (analysis.arithmetic)
    sums_rows: int
    sums_steps: int
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

    @property
    def mode_set(self) -> ModeSet:
        """The setting `modes`; ValueError where they cannot be told apart."""
        return ModeSet.of(self.modes)
