"""`make bench`: what computing the shared prompt once saves, against stock TRL, in one run.

Stock is trl.GRPOTrainer of the installed version, untouched, with the same weights, prompts, number
and length of completions. The two sides take turns. `shared_prefix.cost` counts the least work
there is, so that a ratio can be read against the best possible one. `sides` builds the two
trainers, `times` and `memory` measure them.
"""
