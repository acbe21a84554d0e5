"""What both modes and all rollouts share, the prompt, goes through the network once.

A group of DualGRPO (or an evaluated question) is one prompt and 2n completions. Written out row by
row, as stock trainers and `generate` do it, the prompt is there 2n times, with padding on top; only
the right part differs:

    P P P P g a a a          P P P P ──┬─ g a a a       a row's tokens see   the prompt's keys  |
    the row's own keys P P P P g b b .                    ├─ g b b                              (of
    its group)     |  (causal) P P P P p c . .                    ├─ p c           positions go on
    where the prompt ends, P P P P p d d .                    └─ p d d         so each row is the
    sequence that it was

`attention` is the one place where tokens meet; everything else in a transformer works on tokens one
by one. So only the attention function changes (transformers' AttentionInterface, name
"shared_prefix"): it is told by a layout which keys belong to which row. `decode` generates with it
(the prompt's keys are kept, rows that ended leave), `score` computes the log-probabilities for
training. Where a model cannot take part, `attention.obstacle` says why and callers use the plain
path.
"""
