"""The data stages: PersonaDualData for SFT and RL, and the test set.

The same functions work on the pocket world and on real data.
"""

from pdlib.dataset.evaluation_sets import (
    counterfactual_questions,
    likelihood_items,
    persona_pool,
    run_counterfactual_set,
    run_test_set,
    test_items,
)
from pdlib.dataset.sets import (
    example_questions,
    open_corpus,
    open_endpoint,
    open_expert,
    people,
    persona_facts,
    sealed_items,
    unknown_words,
    world_settings,
)
from pdlib.dataset.training_sets import run_rl_set, run_sft_set

__all__ = [
    "counterfactual_questions",
    "example_questions",
    "likelihood_items",
    "open_corpus",
    "open_endpoint",
    "open_expert",
    "people",
    "persona_facts",
    "persona_pool",
    "run_counterfactual_set",
    "run_rl_set",
    "run_sft_set",
    "run_test_set",
    "sealed_items",
    "test_items",
    "unknown_words",
    "world_settings",
]
