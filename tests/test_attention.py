"""What drives the mode: words and their tokens, attention, occlusion, gradients, and which of them
finds a cause that was planted.
"""

import copy
import random

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import exact, rounding, summands
from real_world import tiny_model as real_model
from torch import nn
from transformers import PreTrainedTokenizer
from transformers.modeling_outputs import CausalLMOutput

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from pdlib import generate, models, modes
from pdlib.analysis.words import attention, attribution, causes, ranking
from pdlib.analysis.words import persona_words as pw
from pdlib.analysis.words.explain import (
    METHODS,
    explain,
    explain_typed,
    sample,
    swap_effects,
    swaps,
    typed,
)
from pdlib.plots import attention as figures
from pdlib.pocket.backbones import build_backbone
from pdlib.pocket.world import World
from pdlib.schema import PAPER_MODES, Item, Mode, Persona

COOK = Persona("a café owner, likes 日本 and Zoë's 🙂 (too)")
ENGINEER = Persona(
    "a data engineer who studies key, likes chess and wants replies with examples",
    {
        "field": "computing",
        "occupation": "data engineer",
        "studies": "key",
        "hobby": "chess",
        "style": "replies with examples",
    },
)
LAWYER = Persona(
    "a lawyer who studies appeal, likes football and wants short replies",
    {
        "field": "law",
        "occupation": "lawyer",
        "studies": "appeal",
        "hobby": "football",
        "style": "short replies",
    },
)
PLAIN = Persona(
    "a teenager, likes chess and wants formal replies",
    {
        "field": None,
        "occupation": "teenager",
        "studies": None,
        "hobby": "chess",
        "style": "formal replies",
    },
)
QUESTION = typed("what is bond?")


@pytest.fixture(scope="module")
def real(text_tokenizer, tmp_path_factory):
    """template -> (tiny random model of that architecture, tokenizer with its chat template): tags
    are text there.
    """
    folder = tmp_path_factory.mktemp("real")
    return {
        name: models.load(real_model(copy.deepcopy(text_tokenizer), name, folder / name))
        for name in ("qwen3", "llama3_1")
    }


def words_of(tokenizer, persona=LAWYER, item=QUESTION):
    return pw.persona_words(tokenizer, item, persona)


# --- words and tokens ---


def test_words_stand_between_spaces_without_punctuation_around_them():
    text = "(a) café's owner, — likes “日本” and 🙂!  C++"
    assert [text[a:b] for a, b in pw.word_spans(text)] == [
        "a",
        "café's",
        "owner",
        "likes",
        "日本",
        "and",
        "🙂",
        "C++",
    ]
    assert pw.word_spans(", . !") == [] and pw.word_spans("ab cd ef", 3, 5) == [(3, 5)]


@pytest.mark.parametrize("kind", ["pocket", "text", "qwen3", "llama3_1"])
def test_tokens_of_a_word_spell_it_whatever_the_bytes_and_template(
    kind, tokenizer, text_tokenizer, real
):
    found = {"pocket": tokenizer, "text": text_tokenizer}.get(kind) or real[kind][1]
    words = words_of(found, COOK)
    assert words.texts == ["a", "café", "owner", "likes", "日本", "and", "Zoë's", "🙂", "too"]
    assert [
        found.decode([words.ids[t] for t in places]).strip(" ,(") for places in words.tokens
    ] == words.texts
    used = [t for places in words.tokens for t in places]
    assert len(used) == len(set(used)), "no token belongs to two words"
    assert words.ids == found(words.prompt, add_special_tokens=False)["input_ids"], (
        "the ids that generation reads"
    )
    assert words.prompt == modes.render_prompt(found, QUESTION, COOK)


def test_a_persona_that_quotes_a_control_token_is_found(tokenizer):
    words = words_of(tokenizer, Persona("a cook who writes <|end|> at the end"))
    assert words.texts[:4] == ["a", "cook", "who", "writes"] and words.texts[-3:] == [
        "at",
        "the",
        "end",
    ]
    assert tokenizer.eos_token_id not in words.ids[:-1]


def test_a_character_cut_into_bytes_is_its_words(text_tokenizer):
    prompt = "I am 日, x"
    words = pw.locate(text_tokenizer, prompt, 5, 6)
    assert words.texts == ["日"] and [len(t) for t in words.tokens] == [3]


def test_words_that_share_a_token_are_one(tokenizer):
    assert len(tokenizer("I am ")["input_ids"]) == 1
    words = words_of(tokenizer, Persona("a cook and I am tall"))
    assert words.texts == ["a", "cook", "and", "I am", "tall"] and all(words.tokens)


def test_the_persona_is_found_in_the_lead_not_in_the_question(tokenizer):
    item = Item("q", "b", "objective", "text", "who said: a lawyer who studies appeal?", "me")
    words = words_of(tokenizer, Persona("a lawyer who studies appeal"), item)
    assert words.spans[0][0] == words.prompt.index("I am ") + 5


def test_what_cannot_be_found_is_said_in_words(tokenizer):
    with pytest.raises(ValueError, match="asked by nobody"):
        words_of(tokenizer, None)
    loud = copy.deepcopy(tokenizer)
    loud.chat_template = "{{ messages[0].content | upper }}"
    with pytest.raises(ValueError, match="is not in the prompt as it was given"):
        words_of(loud)
    with pytest.raises(ValueError, match="no word in the persona '...!'"):
        words_of(tokenizer, Persona("...!"))

    class Slow(PreTrainedTokenizer):
        vocab_size = 1

        def __init__(self):
            super().__init__(chat_template=tokenizer.chat_template)

        def get_vocab(self):
            return {"x": 0}

    with pytest.raises(ValueError, match="load a fast tokenizer"):
        words_of(Slow())


def test_words_left_out_exchanged_and_shuffled_leave_the_rest_as_it_was(tokenizer):
    words = words_of(tokenizer)
    left = [tokenizer.decode(words.without(i)) for i in range(len(words.spans))]

    def lead(text):
        return text.split("I am ")[1].split(", my question")[0]

    assert lead(left[0]) == " lawyer who studies appeal, likes football and wants short replies", (
        "the token of a word with its space"
    )
    assert (
        lead(tokenizer.decode(words.without(0, 2, 3)))
        == " lawyer appeal, likes football and wants short replies"
    )
    assert lead(left[5]) == "a lawyer who studies appeal, football and wants short replies"
    assert lead(left[4]) == "a lawyer who studies, likes football and wants short replies"
    assert (
        lead(words.exchanged(1, "chef"))
        == "a chef who studies appeal, likes football and wants short replies"
    )
    mixed = pw.shuffle(tokenizer, words, random.Random(1))
    assert sorted(mixed.texts) == sorted(words.texts) != mixed.texts != words.texts
    assert (
        lead(mixed.prompt).index(",") == len(" ".join(mixed.texts[:5]))
        and lead(mixed.prompt).count(",") == 1
    )
    assert mixed.prompt.split(", my")[1] == words.prompt.split(", my")[1]
    assert [
        tokenizer.decode([mixed.ids[t] for t in places]).strip() for places in mixed.tokens
    ] == mixed.texts
    with pytest.raises(ValueError, match="found 2 texts for 11 words"):
        pw.rewrite(tokenizer, words, ["a", "b"])


def test_words_are_classed_by_the_facts(tokenizer):
    assert pw.word_classes(ENGINEER, words_of(tokenizer, ENGINEER)) == [
        "other",
        "occupation",
        "occupation",
        "other",
        "other",
        "studies",
        "other",
        "hobby",
        "other",
        "other",
        "style",
        "style",
        "style",
    ]
    assert pw.word_classes(PLAIN, words_of(tokenizer, PLAIN)) == [
        "other",
        "occupation",
        "other",
        "hobby",
        "other",
        "other",
        "style",
        "style",
    ]
    assert set(pw.word_classes(COOK, words_of(tokenizer, COOK))) == {"other"}
    wrong = Persona(LAWYER.text, LAWYER.facts | {"studies": "football"})  # there, but as a hobby
    with pytest.raises(ValueError, match="does not state its studies, 'football'"):
        pw.word_classes(wrong, words_of(tokenizer, wrong))


def test_every_pocket_persona_states_its_facts(tokenizer):
    world = World(0, "test")
    for persona in (world.any_persona() for _ in range(60)):
        classes = pw.word_classes(persona, words_of(tokenizer, persona))
        assert [classes.count(fact) for fact in pw.FACTS] == [
            len((persona.facts[fact] or "").split()) for fact in pw.FACTS
        ], persona


# --- attention ---


def allowed(model, values) -> float:
    """What rounding may change in `values` that a model computes from a prompt."""
    return rounding(torch.float32, float(np.abs(values).max()), summands(model.config, 100))


def every_model(tiny_model, tiny_llama, tokenizer, real):
    return [(tiny_model, tokenizer), (tiny_llama, tokenizer), *real.values()]


def test_rows_are_those_of_a_plain_pass_and_sum_to_one(tiny_model, tiny_llama, tokenizer, real):
    """In a padded batch of unequal prompts, against one unpadded pass over prompt and prefix, from
    each position, in both styles.
    """
    for model, own in every_model(tiny_model, tiny_llama, tokenizer, real):
        many = [words_of(own, persona) for persona in (PLAIN, ENGINEER)]
        found, prefixes = (
            attention.rows(model, own, [words.ids for words in many]),
            modes.prefix_ids(own),
        )
        at = len(modes.choice_tokens(own)[0])
        for words, row in zip(many, found, strict=True):
            assert set(row) == set(attention.POSITIONS)
            for mode, prefix in prefixes.items():
                with attention.attention_output(model), torch.no_grad():
                    plain = model(
                        torch.tensor([words.ids + prefix]), output_attentions=True
                    ).attentions
                plain = torch.stack(plain)[:, 0].numpy()  # (L, H, T, T)
                last = len(words.ids) + len(prefix) - 1
                decision = len(words.ids) - 1 + at
                for found_here, wanted in (
                    (row[mode.name], plain[:, :, last, : last + 1]),
                    (row["decision"], plain[:, :, decision, : decision + 1]),
                ):
                    bound = allowed(model, wanted)
                    np.testing.assert_allclose(found_here, wanted, atol=bound, rtol=0)
                    assert np.abs(np.roll(found_here, 1, -1) - wanted).max() > 10 * bound, (
                        "a weight at another token's place would show"
                    )
            for weights in row.values():
                np.testing.assert_allclose(
                    weights.sum(-1), 1, atol=rounding(torch.float32, 1, weights.shape[-1]), rtol=0
                )


def test_a_words_weight_is_the_sum_of_its_tokens(tiny_model, tokenizer):
    words = words_of(tokenizer, COOK)
    (row,), (found,) = (
        attention.rows(tiny_model, tokenizer, [words.ids]),
        attention.on_words(tiny_model, tokenizer, [words]),
    )
    assert found.shape == (3, 4, 4, 9) and max(map(len, words.tokens)) > 1
    for p, position in enumerate(attention.POSITIONS):
        for w, places in enumerate(words.tokens):
            np.testing.assert_allclose(
                found[p, :, :, w],
                sum(row[position][:, :, t] for t in places),
                rtol=rounding(torch.float32, 1, 2 * len(places)),
            )
    assert (found.sum(-1) < 1).all(), "the rest of the prompt gets some, too"
    np.testing.assert_array_equal(
        pw.Words("", [], ((0, 1), (1, 2)), ((0, 2), ())).sums(np.array([1.0, 2.0, 4.0])), [5, 0]
    )


def test_layers_with_a_sliding_window_line_up(tokenizer):
    model = build_backbone("pocket-qwen3", tokenizer, 0, width=32, layers=2).eval()
    model.config.sliding_window, model.config.layer_types = (
        8,
        ["sliding_attention", "full_attention"],
    )
    model.model.layers[0].self_attn.sliding_window = (
        model.model.layers[0].self_attn.sliding_window or 8
    )
    model.model.has_sliding_layers = True
    words = words_of(tokenizer)
    (row,) = attention.rows(model, tokenizer, [words.ids])
    with attention.attention_output(model), torch.no_grad():
        plain = torch.stack(model(torch.tensor([words.ids]), output_attentions=True).attentions)[
            :, 0, :, -1
        ].numpy()
    np.testing.assert_allclose(row["decision"], plain, atol=allowed(model, plain), rtol=0)
    assert (row["decision"][0, :, :-8] == 0).all() and (row["decision"][1, :, :-8] > 0).any()


def test_the_attention_implementation_comes_back_also_after_an_error(
    tiny_model, tokenizer, monkeypatch
):
    before = tiny_model.config._attn_implementation
    assert before == "sdpa"
    with pytest.raises(RuntimeError, match="stop"), attention.attention_output(tiny_model):
        assert tiny_model.config._attn_implementation == "eager"
        raise RuntimeError("stop")
    assert tiny_model.config._attn_implementation == before
    attention.on_words(tiny_model, tokenizer, [words_of(tokenizer)])
    assert tiny_model.config._attn_implementation == before
    monkeypatch.setattr(tiny_model, "_can_set_attn_implementation", lambda: False)
    for model, refusal in (
        (tiny_model, "keeps the attention implementation 'sdpa'"),
        (Planted(tokenizer, "lawyer"), "Planted is no transformers model"),
    ):
        with pytest.raises(ValueError, match=refusal), attention.attention_output(model):
            pass
    with pytest.raises(ValueError, match="a prompt of 1 tokens"):
        attention.rows(tiny_model, tokenizer, [[5]])


# --- occlusion and gradients ---


class Planted(nn.Module):
    """Log-odds: 3 per token of `word` in the prompt, minus 2; position and order mean nothing."""

    def __init__(self, tokenizer, word: str):
        super().__init__()
        self.embeddings, prefixes = nn.Embedding(len(tokenizer), 4), modes.prefix_ids(tokenizer)
        self.general, self.personalized = (prefixes[mode][0] for mode in PAPER_MODES)
        self.tokens = set(tokenizer(f" {word}", add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            self.embeddings.weight[:, 0] = torch.tensor(
                [float(i in self.tokens) for i in range(len(tokenizer))]
            )
        self.device = torch.device("cpu")

    def get_input_embeddings(self):
        return self.embeddings

    def forward(
        self,
        input_ids=None,
        inputs_embeds=None,
        attention_mask=None,
        position_ids=None,
        logits_to_keep=1,
    ):
        embedded = self.embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        logits = torch.zeros(len(embedded), 1, len(self.embeddings.weight))
        logits[:, 0, self.general] = 2.0
        logits[:, 0, self.personalized] = 3 * (embedded[..., 0] * attention_mask).sum(1)
        return CausalLMOutput(logits=logits)


def test_log_odds_are_those_of_the_mode_probability(tiny_model, tiny_llama, tokenizer, real):
    for model, own in every_model(tiny_model, tiny_llama, tokenizer, real):
        prompts = [words_of(own, persona).prompt for persona in (PLAIN, ENGINEER, PLAIN)]
        found = attribution.log_odds(model, own, prompts, batch_size=2)
        np.testing.assert_allclose(
            attribution.probability(found),
            generate.prompt_mode_probability(model, own, prompts),
            atol=allowed(model, 1),
            rtol=0,
        )
        assert found[0] == found[2]


def test_occlusion_is_the_difference_to_the_prompt_without_the_word(tiny_model, tokenizer):
    words, p = (
        words_of(tokenizer),
        lambda text: generate.prompt_mode_probability(tiny_model, tokenizer, [text])[0],
    )
    (found,) = attribution.occlusion(
        tiny_model, tokenizer, [words], [[["x"] * 4 + ["chef"] + ["x"] * 6, ["two"] * 11]]
    )
    whole, bound = p(words.prompt), allowed(tiny_model, 1)
    assert np.abs(found["removed_p"]).max() > 10 * bound, "words that change nothing would pass"
    assert found["removed_p"][1] == pytest.approx(
        whole - p(words.prompt.replace(" lawyer", "")), abs=bound
    )
    others = [p(words.prompt.replace("appeal", other)) for other in ("chef", "two")]
    assert found["replaced_p"][4] == pytest.approx(whole - np.mean(others), abs=bound)
    assert attribution.probability(found["log_odds"]) == pytest.approx(whole, abs=bound)
    assert attribution.probability(found["log_odds"] - found["removed"][1]) == pytest.approx(
        whole - found["removed_p"][1], abs=bound
    )
    for wrong in ([], [["one", "two"]]):
        with pytest.raises(
            ValueError,
            match="words for 11 places; expected one or more lists of a word for each place",
        ):
            attribution.occlusion(tiny_model, tokenizer, [words], [wrong])


def test_a_words_stand_in_is_what_strangers_have_between_such_neighbours():
    people = attribution.Neighbours.of(
        [
            ["a", "chef", "who", "cooks"],
            ["a", "nurse", "who", "cooks"],
            ["a", "nurse", "who", "sings"],
            ["one", "cook"],
        ]
    )
    assert (
        people.after["a"] == ["chef", "nurse", "nurse"]
        and people.before["who"] == people.after["a"]
    )
    assert people.between("", "chef") == ["a"] * 3, "not the one that no chef follows"
    drawn = attribution.stand_ins(
        ["a", "nurse", "who", "cooks", "soup"], people, 60, random.Random(0)
    )
    columns = [set(words) for words in zip(*drawn, strict=True)]
    assert columns[:3] == [{"a"}, {"chef"}, {"who"}], "the word itself where there is no other"
    anything = {"a", "chef", "who", "nurse", "sings", "one", "cook", "cooks"}
    assert columns[3] == anything - {"cooks"} and columns[4] == anything, (
        "any word between what no stranger has"
    )
    assert attribution.stand_ins(
        ["a", "cook"], attribution.Neighbours.of([]), 1, random.Random(0)
    ) == [["something"] * 2]


def test_occlusion_and_gradient_find_the_planted_word_and_its_size(tokenizer):
    model = Planted(tokenizer, "football")
    many = [words_of(tokenizer, persona) for persona in (LAWYER, PLAIN)]
    tokens = [sum(many[0].ids[t] in model.tokens for t in places) for places in many[0].tokens]
    assert [text for text, n in zip(many[0].texts, tokens, strict=True) if n] == ["football"]
    expected = 3.0 * np.array(tokens)
    others = [[["other"] * len(words.texts)] for words in many]
    occluded, slopes = (
        attribution.occlusion(model, tokenizer, many, others),
        attribution.gradient_x_input(model, tokenizer, many),
    )
    found = {name: [one[name] for one in occluded] for name in ("removed", "replaced")} | {
        "gradient": slopes
    }
    bound = rounding(torch.float32, 3 * max(tokens), 10)
    for name, (with_it, without_it) in found.items():
        np.testing.assert_allclose(with_it, expected, atol=bound, err_msg=name)
        np.testing.assert_allclose(
            without_it, 0, atol=bound, err_msg=f"{name}, a persona without the word"
        )
    assert occluded[0]["log_odds"] == pytest.approx(3 * max(tokens) - 2, abs=bound)
    assert model.embeddings.weight.grad is None


def test_the_gradient_is_the_slope_along_the_words_embedding(tokenizer):
    """Against finite differences, on a Qwen3 in 64 bits; in a padded batch."""
    model = exact(build_backbone("pocket-qwen3", tokenizer, 0, width=32, layers=2).eval())
    many = [words_of(tokenizer, persona) for persona in (LAWYER, ENGINEER)]
    found = attribution.gradient_x_input(model, tokenizer, many)
    general, personalized = (modes.prefix_ids(tokenizer)[mode][0] for mode in PAPER_MODES)
    words, places = many[0], list(many[0].tokens[1])
    embedded = model.get_input_embeddings()(torch.tensor([words.ids])).detach()
    moved = []
    for step in (
        1e-2,
        -1e-2,
    ):  # eager attention computes its softmax in 32 bits: a smaller one would be lost in rounding
        changed = embedded.clone()
        changed[:, places] *= 1 + step
        with torch.no_grad():
            logits = model(inputs_embeds=changed).logits[0, -1]
        moved.append((logits[personalized] - logits[general]).item())
    assert (
        found[0][1] == pytest.approx((moved[0] - moved[1]) / 2e-2, rel=1e-2, abs=5e-5)
        and abs(found[0][1]) > 1e-3
    )
    assert all(weight.grad is None for weight in model.parameters())


def test_gradient_x_input_is_blind_to_what_a_first_layer_reads(tokenizer):
    """One layer: all a persona's word can do goes through the first norm, which ignores an
    embedding's length. Occlusion sees it.
    """
    model = exact(build_backbone("pocket-qwen3", tokenizer, 0, width=32, layers=1).eval())
    (words,) = many = [words_of(tokenizer)]
    (slopes,), (occluded,) = (
        attribution.gradient_x_input(model, tokenizer, many),
        attribution.occlusion(model, tokenizer, many, [[words.texts]]),
    )
    assert np.abs(occluded["removed"]).max() > 1e-2 and (occluded["replaced"] == 0).all(), (
        "replaced by themselves"
    )
    assert np.abs(slopes).max() < 1e-3 * np.abs(occluded["removed"]).max()


# --- explain, and what is asked of its table ---


def planted_transformer(tokenizer, words: list[str]):
    """A Qwen3 that attends evenly to everything (queries are zero) and whose choice is the presence
    of `words`' tokens.
    """
    model = build_backbone("pocket-qwen3", tokenizer, 0, width=32, layers=1).eval()
    general, personalized = (modes.prefix_ids(tokenizer)[mode][0] for mode in PAPER_MODES)
    attend, table = model.model.layers[0].self_attn, model.get_input_embeddings().weight
    with torch.no_grad():
        attend.q_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        for layer in (attend.v_proj, attend.o_proj):
            layer.weight.copy_(torch.eye(32))
        table[:, 0] = 0
        table[[general, personalized]] = 0
        for word in words:
            ids = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
            table[ids] = 0.1 * table[ids]
            table[ids, 0] = 1
        table[personalized, 0], table[general, 0] = 8, -8
    return model


def people(n: int, seed: int = 0) -> list[Persona]:
    world = World(seed, "test")
    return [world.any_persona(plain_share=0) for _ in range(n)]


def test_a_planted_occupation_is_found_by_occlusion_and_not_by_attention(tokenizer):
    world = World(3, "test", cue_share=0)
    world.jobs = {
        field: jobs[:1] for field, jobs in world.jobs.items()
    }  # each of them often enough for the list of top words
    asked = [("aligned", item, item.aligned) for item in world.items("triviaqa", 40)]
    model = planted_transformer(
        tokenizer, [job for jobs in world.lex.occupations.values() for job in jobs]
    )
    found = explain(model, tokenizer, asked, pool=people(30), strangers=2)
    assert found.heads.shape == (len(found.words), 1, 4) and len(found.maps) == len(asked)
    table = causes.shares(found.words, "occupation", top=(1,), draws=200).set_index("method")
    assert table.loc["removed", "mean"] > 0.9 and table.loc["removed", "p"] < 0.01
    assert table.loc["removed", "ci_low"] > table.loc["removed", "chance_high"]
    assert table.loc["attention", "mean"] < 0.6, (
        "it looks at everything alike, so at whatever has most tokens"
    )
    pooled = causes.pooled_shares(found.words, "occupation", ["removed"], n=5, draws=100).iloc[0]
    assert pooled["mean"] == pooled["best"] and pooled["p"] < 0.02
    assert "occlusion: left out" in causes.verdict(table.reset_index()).split("Not shown")[0]
    moved = swap_effects(swaps(model, tokenizer, asked, people(30))).set_index("fact")["mean"]
    assert moved["hobby"] < 0.01 and moved["style"] < 0.01, "no fact but the occupation is read"
    assert list(moved.index) == list(pw.FACTS)


@pytest.mark.parametrize("template", ["qwen3", "llama3_1"])
@pytest.mark.parametrize("style", ["text", "token"])
def test_real_architectures_and_templates_go_the_same_way(real, template, style):
    model, tokenizer = copy.deepcopy(real[template])
    if style == "token":
        models.add_mode_tokens(model, tokenizer)
    assert (len(modes.prefix_ids(tokenizer)[Mode.GENERAL]) == 1) == (style == "token")
    item = Item(
        "q",
        "mmlu_pro",
        "objective",
        "choice",
        "which one is bond?",
        "a loan",
        ("a loan", "a glue"),
        aligned=COOK,
    )
    found = explain(
        model,
        tokenizer,
        [("aligned", item, COOK), ("unaligned", item, Persona("a nurse"))],
        shuffles=1,
    )
    assert list(found.words.word) == [
        "a",
        "café",
        "owner",
        "likes",
        "日本",
        "and",
        "Zoë's",
        "🙂",
        "too",
        "a",
        "nurse",
    ]
    scores = [
        *METHODS,
        *(f"shuffled_{name}" for name in METHODS),
        "attention_general",
        "attention_personalized",
        "removed_p",
    ]
    assert np.isfinite(found.words[scores].to_numpy(float)).all()
    own = found.words[found.words.condition == "aligned"]
    np.testing.assert_allclose(own.attention, found.maps["q", "aligned"][0].mean((0, 1)))
    assert model.config._attn_implementation == "sdpa"
    with pytest.raises(ValueError, match="no word's class is known here"):
        causes.shares(found.words)
    with pytest.raises(ValueError, match="come without facts"):
        swaps(model, tokenizer, [("aligned", item, COOK)], people(5))
    assert len(figures.heat_map(found, "q").axes) == 3
    plt.close("all")


def test_the_same_seed_gives_the_same_scores_and_no_shuffle_is_missing(tiny_model, tokenizer):
    asked = [("a", QUESTION, LAWYER), ("b", QUESTION, PLAIN)]
    one, two = (
        explain(tiny_model, tokenizer, asked, pool=people(9), batch_size=size).words
        for size in (64, 3)
    )
    pd.testing.assert_frame_equal(
        one, two, rtol=0, atol=4 * allowed(tiny_model, 1)
    )  # a difference of two log-odds has four logits
    bare = explain(tiny_model, tokenizer, asked, shuffles=0).words
    assert bare[[f"shuffled_{name}" for name in METHODS]].isna().all(axis=None)
    with pytest.raises(ValueError, match="asked twice under one condition"):
        explain(tiny_model, tokenizer, [asked[0], asked[0]])


def test_sample_takes_open_objective_questions_evenly_under_both_askers():
    world = World(0, "test")
    items = [
        item for name in ("triviaqa", "mmlu_pro", "fspo_roleplay") for item in world.items(name, 20)
    ]
    found = sample(items, people(10), 6)
    assert [condition for condition, _, _ in found] == ["aligned", "unaligned"] * 6
    chosen = [item for _, item, _ in found][::2]
    assert [item.benchmark for item in chosen] == ["triviaqa", "mmlu_pro"] * 3 and not [
        item for item in chosen if item.facts["cue"]
    ]
    assert all(
        (persona == item.aligned) == (condition == "aligned") for condition, item, persona in found
    )
    with pytest.raises(ValueError, match="none of 20 items is objective"):
        sample(items[-20:], people(10), 6)


def by_hand(scores: dict[str, list], classes: list[str], asks: int = 8) -> pd.DataFrame:
    """`asks` askers of one item each, all with these words and scores."""
    words = [f"w{i}" for i in range(len(classes))]
    frame = pd.concat(
        [
            pd.DataFrame(
                {
                    "benchmark": "b",
                    "item_id": f"i{n}",
                    "condition": "aligned",
                    "train_seed": 0,
                    "word": words,
                    "word_class": classes,
                }
                | scores
            )
            for n in range(asks)
        ],
        ignore_index=True,
    )
    return frame.assign(**{f"shuffled_{name}": 0.0 for name in scores})


def test_shares_by_hand():
    words = by_hand(
        {"right": [0, -9, 3, 1], "wrong": [5, 1, 1.5, 2], "half": [7, 8, 1, 0]},
        ["other", "occupation", "studies", "hobby"],
    )
    found = causes.shares(
        words, methods=("right", "wrong", "half"), top=(1, 3), draws=400
    ).set_index(["method", "top"])
    assert found["mean"].to_dict() == pytest.approx(
        {
            ("right", 1): 1,
            ("right", 3): 2 / 3,
            ("wrong", 1): 0,
            ("wrong", 3): 1 / 3,
            ("half", 1): 1,
            ("half", 3): 2 / 3,
        }
    )
    assert (
        found["chance"].to_numpy() == pytest.approx(0.5, abs=0.03)
        and (found.chance_low < 0.5).all()
    )
    assert found.best.xs(1, level="top").eq(1).all() and found.best.xs(
        3, level="top"
    ).to_numpy() == pytest.approx(2 / 3)
    assert found.loc[("right", 1), "p"] < 0.02 and found.loc[("wrong", 1), "p"] == 1
    assert found.loc[("wrong", 1), "shuffled"] == pytest.approx(0.5, abs=0.5), (
        "ties are broken by lot"
    )
    studied = causes.shares(
        words, "studied word", methods=("right", "half"), top=(1,), draws=50
    ).set_index("method")["mean"]
    assert studied.to_dict() == {"right": 0, "half": 0}
    assert causes.verdict(
        found.reset_index().query("top == 1").assign(method=["removed", "attention", "gradient"])
    ) == (
        "Find the cause more often than chance: "
        f"occlusion: left out (100%, chance {found.chance.iloc[0]:.0%}); gradient × input "
        f"(100%, chance {found.chance.iloc[0]:.0%}). Not shown to: attention."
    )
    with pytest.raises(ValueError, match="those of one condition and one top"):
        causes.verdict(found.reset_index())
    with pytest.raises(ValueError, match="unknown cause 'name'"):
        causes.shares(words, "name", methods=("right",))


def test_ties_are_broken_by_lot_and_not_by_place():
    flat = np.ones(4000)
    top = ranking.top_weights(flat, np.repeat(np.arange(1000), 4), 1, np.random.default_rng(0))
    assert top.reshape(1000, 4).sum(1).tolist() == [1] * 1000 and top.reshape(1000, 4).mean(
        0
    ) == pytest.approx([0.25] * 4, abs=0.05)


def test_every_benchmark_weighs_alike():
    one, two = (
        by_hand({"m": score}, ["occupation", "other"], n).assign(benchmark=name)
        for score, n, name in (([1, 0], 6, "one"), ([0, 1], 2, "two"))
    )
    words = pd.concat([one, two.assign(item_id="x" + two.item_id)], ignore_index=True)
    found = causes.shares(words, methods=("m",), top=(1,), draws=50).iloc[0]
    assert found["mean"] == 0.5 and found["n"] == 8
    more = pd.concat([one, one.assign(condition="unaligned", m=[0, 1] * 6)], ignore_index=True)
    assert causes.shares(more, methods=("m",), top=(1,), draws=50).set_index("condition")[
        "mean"
    ].to_dict() == {"aligned": 1, "unaligned": 0, "all": 0.5}


def test_an_item_asked_twice_weighs_as_much_as_one_asked_once():
    once = by_hand({"m": [1, 0]}, ["occupation", "other"], 6)
    twice = once[once.item_id == "i0"].assign(condition="unaligned", m=[0, 1])
    words = pd.concat([once, twice], ignore_index=True)
    found = (
        causes.shares(words, methods=("m",), top=(1,), draws=300).set_index("condition").loc["all"]
    )
    assert (
        found["mean"] == pytest.approx(5.5 / 6)
        and found["best"] == pytest.approx(1)
        and found["chance"] == pytest.approx(0.5, abs=0.04)
    )


def test_scores_dealt_out_anew_stay_within_their_persona():
    rng, group = np.random.default_rng(0), np.array([0, 1, 0, 1, 1])
    scores = np.array([1.0, 10, 2, 20, 30])
    drawn = np.array([ranking.deal(scores, group, rng) for _ in range(200)])
    assert [{tuple(sorted(row[group == g])) for row in drawn} for g in (0, 1)] == [
        {(1, 2)},
        {(10, 20, 30)},
    ]
    assert (
        drawn[:, 0].mean() == pytest.approx(1.5, abs=0.15) and len(np.unique(drawn, axis=0)) == 12
    )


def test_pooled_shares_leave_out_what_is_rare():
    words = by_hand({"m": [1.0, -4.0, 2.0]}, ["other", "occupation", "hobby"], 3)
    words.loc[words.index[-1], ["word", "m"]] = ["rare", 99.0]
    pooled = causes.pooled_shares(words, methods=("m",), n=2, draws=60).iloc[0]
    assert pooled["mean"] == 0.5 == pooled["best"] and pooled.n_words == 2 and pooled.n == 3


def test_agreement_by_hand():
    words = by_hand({"a": [1, 2, 3, 4], "b": [-10, 20, -30, 40], "c": [4, 3, 2, 1]}, ["other"] * 4)
    words.loc[words.item_id == "i0", "c"] = 1
    found = causes.agreement(words.assign(shuffled_a=words.c), ("a", "b", "c"), draws=50).set_index(
        ["one", "two"]
    )
    assert found["mean"].round(9).to_dict() == pytest.approx(
        {
            ("a", "b"): 1,
            ("a", "c"): -1,
            ("b", "c"): -1,
            ("a", "shuffled"): -1,
            ("b", "shuffled"): np.nan,
            ("c", "shuffled"): np.nan,
        },
        nan_ok=True,
    )
    assert (
        found.loc[("a", "c"), ["n", "undefined"]].tolist() == [7, 1]
        and found.loc[("b", "shuffled"), "undefined"] == 8
    )


def test_head_shares_by_hand(tiny_model, tokenizer):
    found = explain(
        tiny_model,
        tokenizer,
        [("aligned", typed("what is key?"), ENGINEER), ("other", QUESTION, LAWYER)],
        shuffles=0,
    )
    found.heads[:] = 0
    rows = np.flatnonzero((found.words.condition == "aligned") & (found.words.word == "key"))
    found.heads[rows, 2, 1] = 1
    found.heads[0, 3, 3] = 1  # the article
    table = causes.head_shares(found)
    assert table.shape == (4, 4) and table.iat[2, 1] == 1 and table.iat[3, 3] == 0


# --- figures ---


@pytest.fixture(scope="module")
def found(tiny_model, tokenizer):
    items = [item for item in World(1, "test").items("triviaqa", 16) if not item.facts["cue"]][:8]
    pool = people(12)
    return explain(tiny_model, tokenizer, sample(items, pool, 8), pool=pool)


def test_heat_maps_show_what_was_measured(found):
    item = found.words.item_id.iloc[0]
    figure = figures.heat_map(found, item)
    upper = figure.axes[0]
    own = found.words[(found.words.item_id == item) & (found.words.condition == "aligned")]
    assert [label.get_text() for label in upper.get_xticklabels()] == own.word.tolist()
    assert [label.get_text() for label in upper.get_yticklabels()] == [
        "[General_mode]",
        "[Personalized_mode]",
        "before the choice",
    ]
    columns = ["attention_general", "attention_personalized", "attention"]
    np.testing.assert_allclose(upper.images[0].get_array(), 100 * own[columns].T, rtol=1e-5)
    bold = [
        label.get_text() for label in upper.get_xticklabels() if label.get_fontweight() == "bold"
    ]
    assert bold == own[own.word_class.isin(["occupation", "studies"])].word.tolist()
    per_layer = figures.layers(found, item, "unaligned", "general")
    np.testing.assert_allclose(
        per_layer.axes[0].images[0].get_array(),
        100 * found.maps[item, "unaligned"][1].mean(1),
        rtol=1e-5,
    )
    assert len(figures.layers(found, item, "aligned", by_head=True).axes[0].get_yticks()) == 16
    with pytest.raises(ValueError, match="was not explained under 'nobody'"):
        figures.layers(found, item, "nobody")
    with pytest.raises(ValueError, match="unknown position 'end'"):
        figures.layers(found, item, "aligned", "end")
    with pytest.raises(ValueError, match="'missing' was not explained"):
        figures.heat_map(found, "missing")
    plt.close("all")


def test_bars_of_methods_and_causes(found):
    item = found.words.item_id.iloc[0]
    own = found.words[(found.words.item_id == item) & (found.words.condition == "aligned")]
    axes = figures.methods(found, item, "aligned").axes
    assert [axis.get_title() for axis in axes] == list(METHODS.values())
    assert [bar.get_width() for bar in axes[1].patches] == pytest.approx(own.removed.tolist())
    assert axes[1].lines[0].get_xdata() == pytest.approx(own.shuffled_removed.to_numpy())
    table = pd.concat(
        [causes.shares(found.words, draws=50), causes.pooled_shares(found.words, draws=20)]
    )
    axes = figures.causes(table, "unaligned").axes
    one = table[(table.condition == "unaligned") & (table.top == 3)]
    assert [bar.get_height() for bar in axes[1].patches] == pytest.approx(
        (100 * one["mean"]).tolist()
    ) and len(axes) == 3
    with pytest.raises(ValueError, match="no rows of 'none'"):
        figures.causes(table, "none")
    assert (
        figures.heads(causes.head_shares(found), 0.2).axes[0].get_title()
        == "finds the cause (%), chance 20%"
    )
    plt.close("all")


def test_what_is_typed_is_explained_and_what_is_missing_is_said(tiny_model, tokenizer):
    persona = "I am a chef who studies batter."
    figure = figures.one_asker(explain_typed(tiny_model, tokenizer, persona, "what is batter?"))
    heat = next(axis for axis in figure.axes if axis.images)
    assert [label.get_text() for label in heat.get_xticklabels()] == [
        "a",
        "chef",
        "who",
        "studies",
        "batter",
    ]
    assert len(figure.axes) == 2 + len(METHODS)
    for persona, question, message in (
        ("", "what?", "no persona: type who asks"),
        ("a chef", " ", "no question: type one"),
        ("...", "what?", "no word in the persona"),
    ):
        with pytest.raises(ValueError, match=message):
            explain_typed(tiny_model, tokenizer, persona, question)
    plt.close("all")
