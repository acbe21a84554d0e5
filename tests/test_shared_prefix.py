"""The prompt once through the network: same numbers as plain attention over every row written out,
fewer tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from conftest import exact, rounding, summands
from peft import LoraConfig, get_peft_model
from transformers import (
    BitsAndBytesConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from trl.trainer.utils import add_fused_lm_head

from pdlib import generate
from pdlib.run import stages
from pdlib.schema import PAPER_MODES
from pdlib.shared_prefix import attention, decode, score
from pdlib.shared_prefix.packed import Packed

CLASSES = {"qwen3": (Qwen3Config, Qwen3ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13], [14], [5, 6, 7, 8, 9, 10, 11], [15, 16, 17, 18]]
EOS = 3


def tiny(name: str = "qwen3", vocabulary: int = 40, **settings):
    """Two layers, four heads on two keys; weights large enough that every token matters."""
    config, model = CLASSES[name]
    torch.manual_seed(0)
    settings = {
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "hidden_size": 32,
    } | settings
    return model(
        config(
            vocab_size=vocabulary,
            intermediate_size=48,
            num_hidden_layers=2,
            initializer_range=0.3,
            max_position_embeddings=128,
            eos_token_id=EOS,
            pad_token_id=0,
            bos_token_id=None,
            **settings,
        )
    ).eval()


def with_lora(model):
    torch.manual_seed(1)
    wrapped = get_peft_model(
        model,
        LoraConfig(
            r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
        ),
    )
    return wrapped.eval()


@pytest.fixture(params=["qwen3", "llama", "one key a head", "lora"])
def model(request):
    if request.param == "lora":
        return with_lora(tiny())
    return (
        tiny("qwen3", num_key_value_heads=4)
        if request.param == "one key a head"
        else tiny(request.param)
    )


@contextmanager
def fed(model) -> Iterator[list[tuple[int, int]]]:
    """The shapes of what enters the network meanwhile."""
    shapes, embedding = [], attention.base_model(model).get_input_embeddings()
    handle = embedding.register_forward_hook(
        lambda _, args, __: shapes.append(tuple(args[0].shape))
    )
    yield shapes
    handle.remove()


@torch.no_grad()
def ours(model, prompts, group, forced, **options):
    options = {"draws": None, "temperature": 0, "max_new_tokens": 12, "eos": [EOS]} | options
    with attention.switched_on(model):
        return decode.sample(model, decode.Prefill(model, prompts), group, forced, **options)


def plainly(model, ids: list[int], max_new_tokens: int = 12) -> list[int]:
    out = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids)),
        do_sample=False,
        max_new_tokens=max_new_tokens,
    )
    return out[0, len(ids) :].tolist()


# --- generation ---


@pytest.mark.parametrize(
    "prefixes",
    [[[]], [[20], [21], []], [[20, 22, 23], [20, 24], []]],
    ids=["free", "token", "text"],
)
def test_greedy_is_that_of_generate_token_by_token(model, prefixes):
    model = exact(model)  # no rounding may decide between two tokens
    group = [g for g in range(len(PROMPTS)) for _ in prefixes]
    forced = prefixes * len(PROMPTS)
    found = ours(model, PROMPTS, group, forced)
    assert found == [
        prefix + plainly(model, PROMPTS[g] + prefix)
        for g, prefix in zip(group, forced, strict=True)
    ]
    assert (
        len({tuple(row) for row in found}) > 3
        and attention.base_model(model).config._attn_implementation != attention.NAME
    )
    assert len(prefixes) == 1 or {row[-1] == EOS for row in found} == {True, False}, (
        "some rows should end and others be cut"
    )


def allowed(model, values: torch.Tensor, dtype: torch.dtype = torch.float32) -> float:
    """What rounding may change in the logits or log-probabilities `values` of a model, after the
    longest of the rows here.
    """
    return rounding(
        dtype, values.abs().max().item(), summands(attention.base_model(model).config, 16)
    )


@torch.no_grad()
def step_errors(model, group, told) -> list[float]:
    """Largest difference of the logits from a plain forward pass over the whole sequence, step by
    step, in units of what rounding allows.

    The rows belong to the prompts `group` and are told to the layout as `told`; half of the rows
    leave on the way.
    """
    torch.manual_seed(2)
    prompts = [PROMPTS[0], PROMPTS[1], PROMPTS[4]]
    text, errors, rows = torch.randint(4, 40, (len(group), 6)), [], list(range(len(group)))
    with attention.switched_on(model):
        running = decode.Rows(decode.Prefill(model, prompts), torch.tensor(told), 6)
    for at in range(6):
        with attention.switched_on(model):
            logits = running.forward(model, text[rows, at])
        whole = [
            model(torch.tensor([prompts[group[r]] + text[r, : at + 1].tolist()])).logits[0, -1]
            for r in rows
        ]
        whole = torch.stack(whole)
        errors.append((logits - whole).abs().max().item() / allowed(model, whole))
        if at in (1, 3):
            stays = torch.tensor([r % 2 == 0 or at == 3 and r != 4 for r in rows])
            running.keep(stays)
            rows = [r for r, stay in zip(rows, stays, strict=True) if stay]
    return errors


@pytest.mark.parametrize(
    "group",
    [[0, 0, 0, 1, 1, 1, 2, 2, 2], [2, 0, 1, 1, 0, 2, 0, 0]],
    ids=["whole groups", "shuffled, uneven"],
)
def test_each_step_has_the_logits_of_a_plain_forward_pass(model, group):
    assert max(step_errors(model, group, group)) <= 1


def test_a_row_told_the_wrong_prompt_is_noticed(model):
    group = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert min(step_errors(model, group, group[3:] + group[:3])) > 100


def test_bfloat16_is_as_near_as_plain_bfloat16():
    group, whole = [0, 0, 1, 2], tiny()
    low = tiny().to(torch.bfloat16)
    with torch.no_grad():
        ids = torch.tensor([PROMPTS[0] * 2])
        logits = whole(ids).logits
        plain = (low(ids).logits.float() - logits).abs().max().item()
    assert 10 < max(step_errors(low, group, group)) <= 2 * plain / allowed(whole, logits)


def chi_square(found: list[list[int]], expected: torch.Tensor) -> float:
    """Of the counts of pairs of tokens against expected chances (V, V); 63 degrees of freedom for V
    = 8, sd 11.
    """
    counts = torch.zeros_like(expected)
    for first, second in found:
        counts[first, second] += 1
    return ((counts - len(found) * expected) ** 2 / (len(found) * expected)).sum().item()


def test_samples_have_the_distribution_of_the_softmax():
    """Pairs of tokens after one prompt against their exact chances; a temperature that is not the
    asked one does not pass.
    """
    model, count = tiny(vocabulary=8), 20_000
    with torch.no_grad():
        logits = (
            model(torch.tensor([[5, 6, 7, v] for v in range(8)])).logits[:, -2:].double()
        )  # after the prompt, after v
    chances = (logits / 0.7).softmax(-1)
    expected = chances[0, 0][:, None] * chances[:, 1]
    draws = torch.rand(count, 2, generator=torch.Generator().manual_seed(0))
    right, wrong = (
        ours(
            model,
            [[5, 6, 7]],
            [0] * count,
            [[]] * count,
            draws=draws,
            temperature=t,
            max_new_tokens=2,
            eos=[],
        )
        for t in (0.7, 0.8)
    )
    assert chi_square(right, expected) < 63 + 4 * 11.2
    assert chi_square(wrong, expected) > 200


def test_a_token_without_chance_is_never_picked():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]]).expand(5, 5)
    draws = torch.tensor([0.0, 0.25, 0.4999999, 0.5, 1 - 2**-24])
    assert decode.pick(logits, 1.0, draws).tolist() == [1, 1, 1, 3, 3]


def test_rows_that_ended_leave():
    model = tiny()
    with fed(model) as shapes:
        found = ours(
            model,
            [PROMPTS[0], PROMPTS[4]],
            [0, 1] * 6,
            [[20 + i] for i in range(12)],
            max_new_tokens=20,
        )
    sizes = [rows for rows, _ in shapes[1:]]
    lengths = sorted(len(row) for row in found)
    assert lengths[0] < 8 < lengths[-1] and sizes == sorted(sizes, reverse=True)
    for step, size in enumerate(sizes):
        going_on = sum(length > step + 1 for length in lengths)
        assert going_on <= size and (
            size == len(found) or going_on > decode.COMPACT_BELOW**2 * size
        )


def test_a_prompt_enters_the_network_once(tiny_model, tokenizer):
    model = tiny()
    with fed(model) as shapes:
        ours(model, [PROMPTS[0], PROMPTS[4]], [0] * 6 + [1] * 6, [[]] * 12, max_new_tokens=2)
    assert shapes == [(1, len(PROMPTS[0]) + len(PROMPTS[4])), (12, 1)]
    with fed(tiny_model) as shapes:
        generate.answers(
            tiny_model,
            tokenizer,
            ["what is bond?", "what?", "what is bond?"],
            forced=(None, *PAPER_MODES),
            seeds=(0, 1),
            max_new_tokens=1,
        )
    once = sum(len(ids) for ids in tokenizer(["what is bond?", "what?"])["input_ids"])
    assert shapes == [(1, once), (12, 1)], "of 18 rows, the 12 forced ones are fed their prefix"


# --- training forward pass ---

COMPLETIONS = [[20, 21, 22, 23, 24], [25], [], [26, 27, 28], [20, 21], [29, 30, 31, 32, 33, 34]]
IN_ORDER = range(6)


def batch(order=IN_ORDER) -> tuple[torch.Tensor, torch.Tensor, int]:
    """(ids, mask, T) as TRL builds them: prompts padded on the left, completions on the right;
    three rows a prompt.
    """
    rows = [(PROMPTS[0] if i < 3 else PROMPTS[4], COMPLETIONS[i]) for i in order]
    left, right = max(len(p) for p, _ in rows) + 1, max(len(c) for _, c in rows)
    ids = [[0] * (left - len(p)) + p + c + [0] * (right - len(c)) for p, c in rows]
    mask = [[0] * (left - len(p)) + [1] * len(p + c) + [0] * (right - len(c)) for p, c in rows]
    return torch.tensor(ids), torch.tensor(mask), right


def plain_scores(model, ids, mask, width):
    """TRL's own way: every row written out, padding and all."""
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :-width] = -100
    out = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    return out.log_probs[:, -width:], out.entropy[:, -width:]


def scores_and_gradients(
    path, model, ids, mask, width
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-probabilities, entropies, and the gradient of a sum of both in which every place weighs
    differently.
    """
    model.zero_grad()
    logps, entropies = path(model, ids, mask, width)
    weights = torch.linspace(-1, 1, logps.numel()).view_as(logps).flip(1)
    (weights * logps + weights.square() * entropies).sum().backward()
    return (
        logps.detach(),
        entropies.detach(),
        torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]),
    )


def differences(model, order=IN_ORDER) -> tuple[float, float, float]:
    """Largest difference of log-probabilities, of entropies, and relative one of gradients, each in
    units of what rounding allows.
    """
    ids, mask, width = batch(order)
    plain = scores_and_gradients(plain_scores, model, ids, mask, width)
    score.prepare(model)
    shared = scores_and_gradients(score.per_token, model, ids, mask, width)
    assert (plain[0] == 0).equal(mask[:, -width:] == 0) and plain[2].norm() > 1e-2
    backward = rounding(
        torch.float32, 1, 2 * summands(attention.base_model(model).config, 16)
    )  # there and back
    return (
        *(
            (a - b).abs().max().item() / allowed(model, plain[0])
            for a, b in zip(plain[:2], shared[:2], strict=True)
        ),
        ((plain[2] - shared[2]).norm() / plain[2].norm()).item() / backward,
    )


def trainable(tuning: str, name: str, folder, checkpointing: str = ""):
    """A tiny model in training mode with TRL's fused head, as the trainer has it."""
    model = tiny(name, hidden_size=64)
    if tuning == "4-bit lora":
        model.save_pretrained(folder)
        model = CLASSES[name][1].from_pretrained(
            folder,
            quantization_config=BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
            ),
        )
    add_fused_lm_head(model, temperature=0.7, outputs=("log_probs", "entropy"))
    model = model if tuning == "full" else with_lora(model)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": checkpointing == "reentrant"})
        attention.base_model(
            model
        ).enable_input_require_grads()  # as TRL does, or adapters get no gradient
    return model.train()


@pytest.mark.parametrize("checkpointing", ["", "not reentrant", "reentrant"])
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("tuning", ["full", "lora", "4-bit lora"])
def test_scores_and_gradients_are_those_of_the_rows_written_out(
    tuning, name, checkpointing, tmp_path
):
    model, calls = trainable(tuning, name, tmp_path, checkpointing), []
    attention.base_model(model).model.layers[0].self_attn.register_forward_hook(
        lambda *_: calls.append(1)
    )
    logps, entropies, gradients = differences(model, order=[4, 1, 0, 3, 2, 5])
    assert max(logps, entropies, gradients) <= 1
    assert len(calls) == (4 if checkpointing else 2), (
        "checkpointing should call a layer again in each backward pass"
    )


def test_attention_of_cudnn_with_its_nan_gradients_is_off():
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_scores_where_masked_attention_needs_a_key_for_each_head(tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "MASKED_GQA", ())
    logps, entropies, gradients = differences(trainable("full", "llama", tmp_path))
    assert max(logps, entropies, gradients) <= 1


def test_scores_under_autocast_are_as_near_as_plain_ones(tmp_path):
    model, (ids, mask, width) = trainable("full", "qwen3", tmp_path), batch()
    wanted = plain_scores(model, ids, mask, width)[0]
    with torch.autocast("cpu", torch.bfloat16):
        plain = (plain_scores(model, ids, mask, width)[0] - wanted).abs().max()
        score.prepare(model)
        found = score.per_token(model, ids, mask, width)[0]
    assert 10 * allowed(model, wanted) < (found - wanted).abs().max() <= 2 * plain


def test_a_row_that_sees_another_prompt_is_noticed(tmp_path, monkeypatch):
    model = trainable("full", "qwen3", tmp_path)

    class Wrong(Packed):
        def __init__(self, prompts, rows, group, device, **options):
            super().__init__(prompts, rows, [1 - place for place in group], device)

    with monkeypatch.context() as patch:
        patch.setattr(score, "Packed", Wrong)
        logps, _, gradients = differences(model)
    assert logps > 100 and gradients > 100
    assert max(differences(model)) <= 1


def test_only_distinct_prompts_and_completions_enter_the_network_and_only_completions_the_head(
    tmp_path,
):
    """A completion's last token has nothing to predict and stays out; its place is taken by the
    prompt's last.
    """
    model, seen = trainable("full", "qwen3", tmp_path), []
    model.model.register_forward_hook(
        lambda _, __, output: seen.append(output.last_hidden_state.shape[1])
    )
    score.prepare(model)
    score.prepare(model)
    with fed(model) as shapes:
        score.per_token(model, *batch([3, 0, 1, 5, 2, 4]))
    completions = sum(map(len, COMPLETIONS))
    assert shapes == [(1, len(PROMPTS[0]) - 1 + len(PROMPTS[4]) - 1 + completions)]
    assert len(attention.base_model(model).model._forward_hooks) == 2, "prepared twice"


def test_a_batch_without_a_completion_token_has_a_gradient_of_zero(tmp_path):
    model = trainable("full", "llama", tmp_path)
    ids, mask, width = batch()
    mask[:, -width:] = 0
    score.prepare(model)
    logps, entropies, gradient = scores_and_gradients(score.per_token, model, ids, mask, width)
    assert (
        logps.shape == (6, width) and not logps.any() and not entropies.any() and not gradient.any()
    )


def test_prompts_of_one_token(tmp_path):
    model = trainable("full", "qwen3", tmp_path)
    ids, mask = (
        torch.tensor([[7, 20, 21], [7, 22, 0], [8, 20, 21]]),
        torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 1]]),
    )
    plain = plain_scores(model, ids, mask, 2)
    score.prepare(model)
    assert all(
        (a - b).abs().max() <= allowed(model, plain[0])
        for a, b in zip(plain, score.per_token(model, ids, mask, 2), strict=True)
    )


@torch.no_grad()
def test_a_prepared_model_is_plain_where_no_layout_is_given(tmp_path):
    model, ids = (
        trainable("full", "qwen3", tmp_path).eval(),
        torch.tensor([[0, 0, 5, 6, 7], [8, 9, 10, 11, 12]]),
    )
    mask = (ids > 0).long()
    before = (
        model(ids, attention_mask=mask).logits,
        model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=5),
    )
    score.prepare(model)
    after = (
        model(ids, attention_mask=mask).logits,
        model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=5),
    )
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


# --- models that cannot ---


@pytest.mark.parametrize(
    "settings, words",
    [
        (
            {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0},
            "sliding window",
        ),
        ({"attn_implementation": "eager"}, "attn_implementation='eager'"),
        (
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "'dynamic'",
        ),
    ],
)
def test_models_that_cannot_share_say_why(settings, words):
    assert words in attention.obstacle(tiny(**settings)) and attention.obstacle(tiny()) is None


def test_the_plain_path_answers_instead_and_says_so_once(tokenizer, capsys):
    stages.say_once.cache_clear()
    model = exact(
        tiny(
            vocabulary=len(tokenizer),
            use_sliding_window=True,
            sliding_window=64,
            max_window_layers=0,
        )
    )
    same = exact(tiny(vocabulary=len(tokenizer)))
    for prompts in (["what is bond?", "bond"], ["what?"]):
        chances, found = generate.answers(
            model, tokenizer, prompts, forced=tuple(PAPER_MODES), temperature=0, max_new_tokens=5
        )
        expected = generate.answers(
            same, tokenizer, prompts, forced=tuple(PAPER_MODES), temperature=0, max_new_tokens=5
        )
        assert (
            chances == pytest.approx(expected[0], abs=rounding(torch.float32, 10))
            and found == expected[1]
        )
    said = [line for line in capsys.readouterr().out.splitlines() if "shared prefix" in line]
    assert len(said) == 1 and "sliding window" in said[0]


# --- shapes that are rounded up ---


@pytest.fixture
def rounded(monkeypatch):
    """As on a CPU in bfloat16, but exact."""
    for module in (decode, score, attention):
        monkeypatch.setattr(module, "computes_in_bf16_on_cpu", lambda model: True)


def test_fill_changes_no_generation(model, rounded):
    test_greedy_is_that_of_generate_token_by_token(model, [[20, 22, 23], [20, 24], []])
    test_each_step_has_the_logits_of_a_plain_forward_pass(model, [2, 0, 1, 1, 0, 2, 0, 0])


@pytest.mark.parametrize("name", CLASSES)
def test_fill_changes_no_score_and_no_gradient(name, tmp_path, rounded):
    test_scores_and_gradients_are_those_of_the_rows_written_out("full", name, "", tmp_path)
    test_prompts_of_one_token(tmp_path)
    test_a_batch_without_a_completion_token_has_a_gradient_of_zero(tmp_path)


def test_fill_makes_few_shapes_of_many():
    batches = [
        Packed([[5] * n, [6] * (n + 3)], [[7] * (n % 5 + 1)] * 3, [0, 1, 1], "cpu", rounded=True)
        for n in range(1, 30)
    ]
    assert {
        (batch.ids.shape[1], batch.n_row_tokens, batch.width, batch.row_width) for batch in batches
    } == {(128, 64, 16, 16), (128, 64, 32, 16)}


@pytest.mark.parametrize(
    ("dtype", "autocast", "expected"),
    [(torch.float32, False, False), (torch.float32, True, True), (torch.bfloat16, False, True)],
)
def test_shapes_are_rounded_in_bfloat16_only(dtype, autocast, expected):
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert attention.computes_in_bf16_on_cpu(tiny().to(dtype)) is expected


# --- training in bfloat16 on a CPU: attention as matrix products ---


@pytest.mark.parametrize("autocast", [False, True])
def test_scores_are_the_same_with_and_without_a_gradient(autocast):
    """Policy and reference of equal weights: no KL before the first update."""
    model = tiny("llama").train()
    add_fused_lm_head(model)
    score.prepare(model)
    ids = torch.tensor([[*PROMPTS[0], 20, 21, 22], [*PROMPTS[0], 23, 24, 25]])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        policy, _ = score.per_token(model, ids, torch.ones_like(ids), 3)
        with torch.no_grad():
            reference, _ = score.per_token(model, ids, torch.ones_like(ids), 3)
    assert policy.requires_grad and torch.equal(policy, reference)


@pytest.mark.parametrize("padded", [False, True])
def test_plain_calls_attend_by_products_with_the_same_loss_and_gradient(padded, monkeypatch):
    monkeypatch.setattr(attention, "bf16_on_cpu", lambda device, dtype: True)  # so, but exact
    model = tiny().train()
    ids = (
        torch.tensor([[5, 6, 7, 8, 9], [12, 13, 14, 0, 0]])
        if padded
        else torch.tensor([[5, 6, 7, 8, 9], [12, 13, 14, 15, 16]])
    )
    real = ids != 0

    def loss_and_gradients(name: str):
        model.config._attn_implementation = name
        model.zero_grad()
        loss = model(
            input_ids=ids, attention_mask=real.long(), labels=ids.masked_fill(~real, -100)
        ).loss
        loss.backward()
        return [loss, *(p.grad.clone() for p in model.parameters())]

    plain = loss_and_gradients(attention.PLAIN)
    for found, expected in zip(loss_and_gradients(attention.NAME), plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "autocast", "gradient", "expected"),
    [
        (torch.float32, False, True, False),
        (torch.float32, True, True, True),
        (torch.bfloat16, False, True, True),
        (torch.bfloat16, False, False, False),
    ],
)
def test_products_are_for_training_in_bfloat16_only(
    dtype, autocast, gradient, expected, monkeypatch
):
    products, calls = attention.by_products, []
    monkeypatch.setattr(
        attention, "by_products", lambda *x, **options: calls.append(1) or products(*x, **options)
    )
    layer = SimpleNamespace(is_causal=True, num_key_value_groups=1)
    query = torch.zeros(1, 1, 2, 4, dtype=dtype, requires_grad=gradient)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        attention.attend(layer, query, query, query, None, scaling=1.0)
    assert bool(calls) is expected
