"""How likely a model finds each of a question's options."""

import math

import pytest
import torch
from conftest import exact
from transformers import GPT2Config, GPT2LMHeadModel

from pdlib import benchmarks, config, dataset, evaluate, plots
from pdlib.generate import likelihood
from pdlib.pocket.backbones import build_backbone
from pdlib.pocket.world import World
from pdlib.train import backbone

PROMPTS = ["what is bond?", "I am a chemist, my question is:\nwhat is bond?", "what is bond?"]
OPTIONS = [
    ["link", "a tradable loan", "link between atoms"],
    ["yes", "no"],
    ["maybe a very long answer that needs many tokens"],
]


@pytest.fixture(scope="module", params=["pocket-qwen3", "pocket-llama", "gpt2"])
def model(request, tokenizer):
    """In 64 bits; GPT-2 is none of the architectures that share prefixes, and its positions are
    absolute.
    """
    if request.param != "gpt2":
        return exact(build_backbone(request.param, tokenizer, 0).eval())
    torch.manual_seed(0)
    return (
        GPT2LMHeadModel(
            GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=32, n_layer=2, n_head=2)
        )
        .eval()
        .double()
    )


def by_hand(model, tokenizer, prompt: str, option: str) -> float:
    head, tail = (
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, option)
    )
    total = 0.0
    for at, token in enumerate(tail):
        with torch.no_grad():
            total += (
                model(torch.tensor([head + tail[:at]])).logits[0, -1].log_softmax(-1)[token].item()
            )
    return total


@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
def test_token_by_token(model, tokenizer, batch_tokens):
    found = likelihood.scores(model, tokenizer, PROMPTS, OPTIONS, batch_tokens)
    assert [len(row) for row in found] == [len(row) for row in OPTIONS]
    for prompt, options, row in zip(PROMPTS, OPTIONS, found, strict=True):
        for option, score in zip(options, row, strict=True):
            assert score.n_tokens == len(tokenizer(option, add_special_tokens=False)["input_ids"])
            assert score.log_probability == pytest.approx(
                by_hand(model, tokenizer, prompt, option), rel=1e-5
            )
            assert score.per_token == score.log_probability / score.n_tokens


def test_all_first_tokens_together_are_certain(model, tokenizer):
    tokens = [tokenizer.decode([i]) for i in range(len(tokenizer))]
    single = [
        text for text in tokens if len(tokenizer(text, add_special_tokens=False)["input_ids"]) == 1
    ]
    (found,) = likelihood.scores(model, tokenizer, PROMPTS[:1], [single])
    missing = 1 - len(single) / len(tokens)
    assert (
        1 - 2 * missing - 1e-4 < sum(math.exp(score.log_probability) for score in found) <= 1 + 1e-6
    )


def test_what_has_no_token_is_refused(tiny_model, tokenizer):
    for prompts, options in ((["what?"], [["yes", ""]]), ([""], [["yes"]]), (["what?"], [[]])):
        with pytest.raises(ValueError, match="need a token"):
            likelihood.scores(tiny_model, tokenizer, prompts, options)
    assert likelihood.scores(tiny_model, tokenizer, [], []) == []


# --- records ---


def test_the_likeliest_option_is_the_answer(tiny_model, tokenizer):
    items = (
        World(0, "test").items("mmlu_pro", 3)
        + World(0, "test").items("personafeedback", 2)
        + World(0, "test").items("pubmedqa", 2)
    )
    asked = [
        (condition, item, persona)
        for item in items
        for condition, persona in (("none", None), ("aligned", item.aligned))
    ]
    scored = evaluate.score_options(tiny_model, tokenizer, asked)
    for per_token in (False, True):
        found = evaluate.likeliest(scored, per_token, run="r", model="backbone", train_seed=0)
        assert list(found.columns) == evaluate.COLUMNS and len(found) == len(asked)
        for row, (condition, item, persona) in zip(found.itertuples(), asked, strict=True):
            options = benchmarks.choices(item)
            (scores,) = likelihood.scores(tiny_model, tokenizer, [row.prompt], [options])
            ranked = [score.per_token if per_token else score.log_probability for score in scores]
            assert row.answer == options[ranked.index(max(ranked))] and row.correct == (
                row.answer == item.gold
            )
            assert row.condition == condition and (
                persona.text[:1] in row.prompt if persona else "I am" not in row.prompt
            )
            assert "JSON" not in row.prompt and item.question.splitlines()[0] in row.prompt
            if item.answer_type == "choice":
                assert not [
                    f"{letter}) "
                    for letter in "AB"
                    if f"\n{letter}) " in row.prompt and f"\n{letter}) " not in item.question
                ]


def test_a_question_without_options_is_refused(tiny_model, tokenizer):
    (item,) = World(0, "test").items("triviaqa", 1)
    with pytest.raises(ValueError, match="no options.*leave them out"):
        evaluate.score_options(tiny_model, tokenizer, [("none", item, None)])
    with pytest.raises(ValueError, match="at least 1"):
        evaluate.score_options(tiny_model, tokenizer, [])


def test_both_rules_are_records_of_a_stage(tmp_path):
    cfg = config.load(
        "smoke", output_dir=str(tmp_path), likelihood_items={"mmlu_pro": 3, "personafeedback": 2}
    )
    file = evaluate.run_likelihood(cfg, backbone.run(cfg, cfg.backbone))
    found = evaluate.read_records([file])
    assert found.groupby("model").size().to_dict() == dict.fromkeys(
        [*evaluate.LIKELIHOOD, evaluate.WORD_RULE], 15
    )
    personal = found[
        (found.model == evaluate.WORD_RULE)
        & (found.kind == "personalized")
        & (found.condition == "aligned")
    ]
    assert personal.correct.all(), "the option names what the persona says it likes"
    assert (
        evaluate.run_likelihood(cfg, backbone.run(cfg, cfg.backbone)) == file
        and found.run.eq(cfg.run).all()
    )
    summed = found[found.model == next(iter(evaluate.LIKELIHOOD))].assign(model="backbone")
    assert len(plots.interference(summed).axes) == 2
    assert [
        axis.get_title() for axis in plots.interference(summed[summed.kind == "objective"]).axes
    ] == ["objective questions"]
    assert [item.benchmark for item in dataset.likelihood_items(cfg)] == ["mmlu_pro"] * 3 + [
        "personafeedback"
    ] * 2


def test_more_questions_begin_with_those_of_fewer():
    few, many = (
        dataset.likelihood_items(config.load("smoke", likelihood_items={"mmlu_pro": n}))
        for n in (3, 9)
    )
    assert few == many[:3]


def test_benchmarks_without_options_are_refused():
    with pytest.raises(
        ValueError,
        match="likelihood_items names triviaqa, of which there are no questions with options",
    ):
        dataset.likelihood_items(config.load("smoke", likelihood_items={"triviaqa": 3}))
