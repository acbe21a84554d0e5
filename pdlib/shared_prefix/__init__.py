"""What both modes and all rollouts share, the prompt, goes through the network once.

A group of DualGRPO (or an evaluated question) is one prompt and 2n completions. Written out row by
row, as stock trainers and `generate` do it, the prompt is there 2n times, with padding on top; only
the right part differs:

    P P P P g a a a      P P P P ──┬─ g a a a    a row's tokens see its group's prompt, and of
    P P P P g b b .                ├─ g b b      the row's own tokens those before them;
    P P P P p c . .                ├─ p c        positions go on where the prompt ends,
    P P P P p d d .                └─ p d d      so each row is the sequence that it was

`attention` is the one place where tokens meet; everything else in a transformer works on tokens one
by one. So only the attention function changes (transformers' AttentionInterface, name
"shared_prefix"): it is told by a layout which keys belong to which row. `packed` is the layout of
prompts and rows in one pass, `decode` generates with it (the prompt's keys are kept, rows that
ended leave), `score` computes the log-probabilities for training, `grpo` is TRL's trainer on both.
Where a model cannot take part, `attention.obstacle` says why and callers use the plain path, for
which `batches` packs and pads. `cost` counts the least work there is.
"""
