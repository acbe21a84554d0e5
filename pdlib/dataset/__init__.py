"""The data stages: PersonaDualData for SFT and RL, and the test set. The same functions for the
pocket world and real data.
"""

from pdlib.dataset.sets import (
    asked,
    likelihood_items,
    open_corpus,
    open_endpoint,
    open_expert,
    people,
    persona_pool,
    run_counterfactual_set,
    run_rl_set,
    run_sft_set,
    run_test_set,
    sealed_items,
    test_items,
    world,
)

__all__ = [
    "asked",
    "likelihood_items",
    "open_corpus",
    "open_endpoint",
    "open_expert",
    "people",
    "persona_pool",
    "run_counterfactual_set",
    "run_rl_set",
    "run_sft_set",
    "run_test_set",
    "sealed_items",
    "test_items",
    "world",
]
