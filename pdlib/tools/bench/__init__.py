"""`make bench`: what computing the shared prompt once saves, against stock TRL, side by side in one
run.

Stock is trl.GRPOTrainer of the installed version, untouched, with the same weights, prompts, number
and length of completions; the two take turns. `cost` counts the least work there is, so that a
ratio can be read against the best possible one; `measure` takes the times.
"""
