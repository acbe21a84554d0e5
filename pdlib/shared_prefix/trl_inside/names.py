"""What we lean on inside TRL and Transformers: private names, and what breaks without each.

TRL is pinned exactly. Before the pin moves, tests/test_trl_inside.py says which of these names are
gone, which methods that we override take other parameters, and which private names the library uses
outside of this package.
"""

from transformers import PreTrainedConfig
from trl import GRPOTrainer
from trl.trainer import utils

VERSION = "1.16.0"

LEANED_ON = {  # where -> private name -> what breaks
    GRPOTrainer: {
        "_generate_single_turn": "overridden: forced prefixes, and one prefill per prompt",
        "_generate": "overridden: token ids of a generation, for the logged health of the modes",
        "_calculate_rewards": "overridden: the rewards from which DualGRPO's advantages follow",
        "_generate_and_score_completions": "overridden: DualGRPO's advantages, the modes' health",
        "_compute_loss": "takes advantages per token (B, T): the prefix weight lands on the prefix",
        "_get_per_token_logps_and_entropies": "overridden: training passes on shared prefixes",
        "_prepare_inputs": "overridden: a prompt's rollouts stay in one micro-batch",
        "_buffered_inputs": "the training batches of one generation, put in order by prompt",
        "_step": "which of these batches comes next",
        "_metrics": "where logged values are collected, 'train' and 'eval'",
        "_logs": "where the kept completions get DualGRPO's advantages",
        "_tokenizer": "mode prefixes as token ids",
        "_is_vlm": "models that read images go TRL's way",
        "_dist": "weights that are cut over processes go TRL's way",
        "_name": "the method's name on model cards",
        "_paper": "its paper there",
        "_tag_names": "the tags of a model on the hub",
    },
    utils: {
        "_use_triton": "SFT on a CPU scores labelled positions only (train.supervised)",
    },
    PreTrainedConfig: {
        "_attn_implementation": "a model's attention is switched to shared prefixes and back",
    },
}

# The parameters of the methods that we override or call with positional arguments, without self.
PARAMETERS = {
    "_generate_single_turn": (
        "prompt_ids",
        "images",
        "multimodal_fields",
        "num_generations",
        "has_tool_images",
    ),
    "_generate": ("prompts",),
    "_calculate_rewards": ("inputs", "prompts", "completions", "completion_ids_list"),
    "_generate_and_score_completions": ("inputs",),
    "_compute_loss": ("model", "inputs"),
    "_prepare_inputs": ("generation_batch",),
    "_get_per_token_logps_and_entropies": (  # images follow
        "model",
        "input_ids",
        "attention_mask",
        "logits_to_keep",
        "batch_size",
        "compute_entropy",
        "compute_aux_loss",
    ),
}
