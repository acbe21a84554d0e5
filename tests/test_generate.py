"""Generation with a free or forced mode, P(mode) from the logits, and what a completion earns."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from conftest import exact, rounding, summands

from pdlib import generate, modes, rewards
from pdlib.pocket.backbones import build_backbone
from pdlib.pocket.world import BENCHMARKS, World
from pdlib.schema import PAPER_MODES, Item, Mode, Persona
from pdlib.shared_prefix.batches import pack, pad, token_ids

ITEMS = [item for name in BENCHMARKS for item in World(0, "test").items(name, 1)]


@pytest.fixture(scope="module")
def prompts(tokenizer) -> list[str]:
    """Prompts of many lengths, neither sorted by length nor alike."""
    texts = [
        modes.render_prompt(tokenizer, item, item.aligned if i % 2 else None)
        for i, item in enumerate(ITEMS)
    ]
    lengths = [len(tokenizer(prompt)["input_ids"]) for prompt in texts]
    assert len(set(lengths)) > 5 and lengths not in (sorted(lengths), sorted(lengths, reverse=True))
    return texts


@pytest.fixture(scope="module", params=["pocket-qwen3", "pocket-llama"])
def model(request, tokenizer):
    """In 64 bits: no processor's rounding may decide which token is picked."""
    return exact(build_backbone(request.param, tokenizer, 0).eval())


def close(model, chances: list[float]):
    """The chances, to what rounding may change in two logits of size 1 or less; their difference
    moves a chance by a quarter of it.
    """
    return pytest.approx(chances, abs=rounding(torch.float32, 1, summands(model.config, 200)) / 2)


def texts(completions) -> list[str]:
    return [completion.text for completion in completions]


# --- complete ---


@pytest.mark.parametrize("mode", PAPER_MODES)
def test_forced_completions_start_with_the_tag(model, tokenizer, prompts, mode):
    found = generate.complete(
        model, tokenizer, prompts, forced=mode, temperature=1.0, max_new_tokens=3
    )
    assert len(found) == len(prompts)
    assert [c.text for c in found if not c.text.startswith(mode.tag + "\n")] == []


def test_forcing_several_tokens(text_tokenizer, prompts):
    model = build_backbone("pocket-qwen3", text_tokenizer, 0, width=32, layers=1).eval()
    for mode in PAPER_MODES:
        found = generate.complete(model, text_tokenizer, prompts[:3], forced=mode, max_new_tokens=3)
        assert [c.text for c in found if not c.text.startswith(mode.tag + "\n")] == []
        assert all(c.n_tokens >= len(modes.prefix_ids(text_tokenizer)[mode]) for c in found)


def test_a_forced_mode_changes_what_follows(tiny_model, tokenizer, prompts):
    one, two = (
        generate.complete(
            tiny_model, tokenizer, prompts, forced=mode, temperature=0, max_new_tokens=5
        )
        for mode in PAPER_MODES
    )
    rest = [
        [c.text.removeprefix(mode.tag) for c in found]
        for mode, found in zip(PAPER_MODES, (one, two), strict=True)
    ]
    assert rest[0] != rest[1]


def test_greedy_depends_on_neither_batch_nor_padding_nor_seed(model, tokenizer, prompts):
    def run(asked, **options):
        return generate.complete(
            model, tokenizer, asked, temperature=0, max_new_tokens=4, **options
        )

    whole = run(prompts)
    assert run(prompts) == whole
    assert run(prompts, seed=9) == whole
    assert run(prompts, batch_tokens=300) == whole
    assert [run([prompt])[0] for prompt in prompts] == whole
    assert run(prompts[::-1]) == whole[::-1]
    assert len(set(texts(whole))) > 1


def test_sampling_follows_the_seed(tiny_model, tokenizer, prompts):
    def run(seed):
        return generate.complete(
            tiny_model, tokenizer, prompts, temperature=1.0, max_new_tokens=6, seed=seed
        )

    assert run(1) == run(1)
    assert texts(run(1)) != texts(run(2))


def test_low_temperature_is_nearly_greedy(model, tokenizer, prompts):
    greedy, cold = (
        generate.complete(model, tokenizer, prompts, temperature=t, max_new_tokens=4)
        for t in (0, 1e-5)
    )
    assert texts(greedy) == texts(cold)


# --- answers: several modes and seeds at once ---


def test_answers_are_those_of_complete_and_of_the_mode_probability(model, tokenizer, prompts):
    """Whatever is asked along and however it is batched, a completion follows from its prompt's
    place, mode and seed.
    """
    options = {"temperature": 1.0, "max_new_tokens": 5}
    state = torch.get_rng_state()
    chances, found = generate.answers(
        model,
        tokenizer,
        prompts,
        forced=(None, *PAPER_MODES),
        seeds=(3, 4),
        batch_tokens=700,
        **options,
    )
    assert torch.equal(torch.get_rng_state(), state), (
        "evaluation moved the random numbers of training"
    )
    assert chances[:, 1].tolist() == close(
        model, generate.prompt_mode_probability(model, tokenizer, prompts)
    )
    assert list(found) == [(mode, seed) for mode in (None, *PAPER_MODES) for seed in (3, 4)]
    for (mode, seed), completions in found.items():
        assert completions == generate.complete(
            model, tokenizer, prompts, forced=mode, seed=seed, **options
        )
    assert texts(found[None, 3]) != texts(found[None, 4])


def test_batches_hold_so_many_tokens():
    """Padding and what is to come counted; the longest prompt first, alone where it is too long."""
    lengths = [3, 9, 2, 3, 30, 1]
    assert pack(lengths, 20) == [[4], [1, 0], [3, 2, 5]]
    assert pack([length + 3 for length in lengths], 20) == [[4], [1], [0, 3, 2], [5]]
    assert pack([], 20) == []
    assert pack(lengths, 20, padded=False) == [[4], [1, 0, 3, 2, 5]]
    assert pack(lengths, rows=4) == [[4, 1, 0, 3], [2, 5]]
    prompts = [[7, 8], [5, 6], [7, 8]]
    assert pack([2, 2, 2], 4, ties=prompts) == [[1, 0], [2]]


def test_padding_stands_on_the_left_and_is_not_counted(tokenizer):
    batch = pad(tokenizer, [[5, 6, 7], [8]], "cpu", positions=True)
    filler = tokenizer.pad_token_id
    assert batch["input_ids"].tolist() == [[5, 6, 7], [filler, filler, 8]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]
    assert batch["position_ids"].tolist() == [[0, 1, 2], [0, 0, 0]]
    assert pad(tokenizer, [[5]], "cpu").keys() == {"input_ids", "attention_mask"}


def test_texts_and_token_ids_may_stand_side_by_side(tokenizer):
    (bond,) = tokenizer(["what is bond?"], add_special_tokens=False)["input_ids"]
    assert token_ids(tokenizer, [(1, 2), "what is bond?", [3]]) == [[1, 2], bond, [3]]
    assert token_ids(tokenizer, []) == []


def test_answers_in_plain_text(text_tokenizer, prompts):
    """The decision comes after the tokens that both tags begin with."""
    model = exact(build_backbone("pocket-qwen3", text_tokenizer, 0, width=32, layers=1).eval())
    chances, found = generate.answers(
        model,
        text_tokenizer,
        prompts,
        forced=(None, *PAPER_MODES),
        temperature=0,
        max_new_tokens=4,
        batch_tokens=700,
    )
    assert chances[:, 1].tolist() == close(
        model, [by_hand(model, text_tokenizer, prompt) for prompt in prompts]
    )
    for mode in (None, *PAPER_MODES):
        assert found[mode, 0] == generate.complete_unshared(
            model,
            text_tokenizer,
            prompts,
            mode,
            seed=0,
            temperature=0,
            max_new_tokens=4,
            batch_tokens=900,
        )


def test_a_prompt_that_occurs_twice_has_two_answers(tiny_model, tokenizer, prompts):
    chances, found = generate.answers(
        tiny_model,
        tokenizer,
        [prompts[0], prompts[1], prompts[0]],
        temperature=1.0,
        max_new_tokens=6,
    )
    assert (
        chances[0, 1] == chances[2, 1] != chances[1, 1] and found[None, 0][0] != found[None, 0][2]
    )


def test_no_prompts(tiny_model, tokenizer):
    assert generate.complete(tiny_model, tokenizer, []) == []
    chances, found = generate.answers(tiny_model, tokenizer, [])
    assert chances.shape == (0, 2) and found == {(None, 0): []}


class Speaker:
    """A model that says what it was given, token by token, and stops as real ones do."""

    device = torch.device("cpu")

    def __init__(self, tokenizer, said: list[str], ends: int | list[int] | None = None):
        self.tokenizer, self.said, self.generation_config = (
            tokenizer,
            said,
            SimpleNamespace(eos_token_id=ends),
        )

    def generate(self, input_ids, **_):
        rows = self.tokenizer(self.said, add_special_tokens=False)["input_ids"]
        width = max(map(len, rows))
        padded = [row + [self.tokenizer.pad_token_id] * (width - len(row)) for row in rows]
        return torch.cat([input_ids, torch.tensor(padded)], 1)


@pytest.mark.parametrize("forced", [None, Mode.GENERAL])
def test_ends_and_counts(tokenizer, forced):
    prompt, said = "what is bond?", ["a tradable loan<|end|>", "a tradable loan, a link between"]
    prefix = 0 if forced is None else 1
    ended, cut = generate.complete(
        Speaker(tokenizer, said), tokenizer, [prompt, prompt], forced=forced
    )
    count = [len(tokenizer(text)["input_ids"]) for text in (prompt, *said)]
    lead = "" if forced is None else forced.tag + "\n"
    assert ended == generate.Completion(
        lead + "a tradable loan", count[0], prefix + count[1], False
    )
    assert cut == generate.Completion(
        lead + "a tradable loan, a link between", count[0], prefix + count[2], True
    )


def test_every_end_token_that_the_model_declares_ends_a_completion(tokenizer):
    """A completion ends at an end of turn, and what would come after it cannot win."""
    user = tokenizer.convert_tokens_to_ids("<|user|>")
    said = ["a loan<|user|>no, glue<|end|>", "a loan<|end|>no, glue"]
    for ends in (user, [user], [tokenizer.eos_token_id, user]):
        found = generate.complete(Speaker(tokenizer, said, ends), tokenizer, ["what is bond?"] * 2)
        assert texts(found) == ["a loan", "a loan"] and not any(one.truncated for one in found)


def test_declared_end_tokens_end_what_shares_a_prompt(tiny_model, tokenizer, prompts, monkeypatch):
    usual = generate.complete(tiny_model, tokenizer, prompts[:1], temperature=0, max_new_tokens=6)[
        0
    ]
    monkeypatch.setattr(tiny_model.generation_config, "eos_token_id", list(range(len(tokenizer))))
    short = generate.complete(tiny_model, tokenizer, prompts[:1], temperature=0, max_new_tokens=6)[
        0
    ]
    assert (usual.n_tokens, usual.truncated) == (6, True)
    assert (short.text, short.n_tokens, short.truncated) == ("", 1, False)


# --- P(mode) ---


def by_hand(model, tokenizer, prompt: str) -> float:
    """Softmax over the two modes' tokens after the prompt and what both prefixes begin with, one
    unpadded sequence.
    """
    general, personalized = (modes.prefix_ids(tokenizer)[mode] for mode in PAPER_MODES)
    at = next(i for i, (a, b) in enumerate(zip(general, personalized, strict=False)) if a != b)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"] + general[:at]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1].double()
    return float(1 / (1 + (logits[general[at]] - logits[personalized[at]]).exp()))


def test_mode_probability_is_the_softmax(model, tokenizer):
    found = generate.mode_probability(model, tokenizer, ITEMS)
    expected = [
        by_hand(model, tokenizer, modes.render_prompt(tokenizer, item, item.aligned))
        for item in ITEMS
    ]
    assert found == close(model, expected)
    assert all(0 < p < 1 for p in found)
    assert found[::-1] != close(model, expected), "answers in a wrong order would show"


def test_mode_probability_in_plain_text(text_tokenizer):
    model = build_backbone("pocket-qwen3", text_tokenizer, 0, width=32, layers=1).eval()
    found = generate.mode_probability(model, text_tokenizer, ITEMS[:4])
    expected = [
        by_hand(model, text_tokenizer, modes.render_prompt(text_tokenizer, item, item.aligned))
        for item in ITEMS[:4]
    ]
    assert found == close(model, expected)
    assert found[::-1] != close(model, expected), "answers in a wrong order would show"


@pytest.mark.parametrize("batch_tokens", [1, 300, 16_384])
def test_mode_probability_does_not_depend_on_the_batch(model, tokenizer, prompts, batch_tokens):
    found = generate.prompt_mode_probability(model, tokenizer, prompts, batch_tokens)
    assert found == close(model, [by_hand(model, tokenizer, prompt) for prompt in prompts])


def test_mode_probability_is_asked_by_the_given_persona(tiny_model, tokenizer):
    own = generate.mode_probability(tiny_model, tokenizer, ITEMS)
    assert (
        generate.mode_probability(tiny_model, tokenizer, ITEMS, [item.aligned for item in ITEMS])
        == own
    )
    nobody = [dataclasses.replace(item, aligned=None) for item in ITEMS]
    assert generate.mode_probability(
        tiny_model, tokenizer, ITEMS, [None] * len(ITEMS)
    ) == generate.mode_probability(tiny_model, tokenizer, nobody)
    assert generate.mode_probability(
        tiny_model, tokenizer, ITEMS, [Persona("a spy")] * len(ITEMS)
    ) != close(tiny_model, own)
    with pytest.raises(ValueError):
        generate.mode_probability(tiny_model, tokenizer, ITEMS, [None])


def test_mode_probability_of_a_known_logit_gap(tokenizer):
    chosen = {mode: ids[0] for mode, ids in modes.prefix_ids(tokenizer).items()}

    class Leaning:
        device = torch.device("cpu")

        def __call__(self, input_ids, **_):
            logits = torch.zeros(len(input_ids), 1, len(tokenizer))
            logits[..., chosen[Mode.PERSONALIZED]] = 3.0
            logits[..., chosen[Mode.GENERAL]] = 2.0
            return SimpleNamespace(logits=logits)

    assert generate.prompt_mode_probability(Leaning(), tokenizer, ["hi"]) == pytest.approx(
        [0.7310586]
    )  # 1 / (1 + 1/e)


def test_no_items(tiny_model, tokenizer):
    assert generate.mode_probability(tiny_model, tokenizer, []) == []


# --- rewards ---

LOAN = Item("x", "mmlu_pro", "objective", "choice", "which is bond?", "loan", ("glue", "loan"))


def said(answer: str, tag: str = "[General_mode]\n") -> str:
    return f"{tag}Because.\n\n<answer>{answer}</answer>"


@pytest.mark.parametrize(
    "text, accuracy, form, total",
    [
        (said('{"answer": "B"}'), 1, 1, 1.0),
        (said('{"answer": "loan"}', "[Personalized_mode]\n"), 1, 1, 1.0),
        (said('{"answer": "B"}', ""), 1, 0, 0.9),
        (said('{"answer": "B"}', "[General_mode]\n[Personalized_mode]\n"), 1, 0, 0.9),
        ('[General_mode]\nBecause. {"answer": "B"}', 1, 0, 0.9),
        (said('{"answer": "A"}'), 0, 1, 0.1),
        (said('{"answer": "B"} {"answer": "A"}'), 0, 1, 0.1),
        (said('{"answer": "A"}', ""), 0, 0, 0.0),
        (said('{"answer": '), 0, 0, 0.0),
        (said("B"), 0, 0, 0.0),
        ("", 0, 0, 0.0),
    ],
)
def test_score(text, accuracy, form, total):
    reward = rewards.score(text, LOAN)
    assert (reward.accuracy, reward.format) == (accuracy, form)
    assert reward.total == pytest.approx(total)


def test_weights_are_those_of_the_published_code():
    assert (rewards.ACCURACY_WEIGHT, rewards.FORMAT_WEIGHT) == (0.9, 0.1)


def test_logits_that_are_no_numbers_stop_the_generation(tokenizer):
    model = build_backbone("pocket-qwen3", tokenizer, 0, width=32, layers=1).eval()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = torch.nan
    with pytest.raises(RuntimeError, match="logits are NaN.*precision=float32"):
        generate.complete(model, tokenizer, ["what is bond?"], max_new_tokens=3)
