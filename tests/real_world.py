"""What test_real_run runs on: the slices of real rows, made-up rows for the sets that have none, a
tiny model, a speaking expert.
"""

import hashlib
import json
from pathlib import Path

import trl
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from pdlib import models
from pdlib.questions import rows

TOPICS = ["hiking", "chess", "baking", "sailing", "gardening", "painting", "cycling", "astronomy"]
FAMILIES = {
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, "<|im_end|>"),
    "llama3_1": (LlamaConfig, LlamaForCausalLM, "<|eot_id|>"),
}


def _write(path: Path, lines: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def data_folder(slices: Path, folder: Path) -> Path:
    """A `data_dir` with all eleven data sets: links to the slices, and made-up rows in the hub's
    columns for the rest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in slices.glob("*.jsonl"):
        (folder / path.name).symlink_to(path)

    def vote(i, j):
        return [1.0 if (i + j + k) % 7 == 0 else 0.5 for k in range(90)]

    _write(
        folder / "alignx.jsonl",
        [
            {
                "prompt": f"What could somebody do on free day number {i}?",
                "chosen": f"Plan {i}: a morning of {TOPICS[i % 8]} with friends.",
                "rejected": f"Plan {i}: a morning of {TOPICS[(i + 3) % 8]} alone.",
                "Pair-wise Comparative Feedback": [
                    {"Preference Direction": vote(i, j)} for j in range(3)
                ],
            }
            for i in range(60)
        ],
    )
    _write(
        folder / "fspo_roleplay.jsonl",
        [
            {
                "x": f"How should I spend evening number {i} of my holiday?",
                "yw": f"Evening {i}: {TOPICS[i % 8]} suits you, and a good book after it.",
                "yl": f"Evening {i}: {TOPICS[(i + 1) % 8]} in a loud crowd.",
                "level": f"uuid-{i % 4}",
                "score_persona": {
                    "persona_uuid": f"uuid-{i % 4}",
                    "persona_description": "A quiet teacher from a small town who loves "
                    f"{TOPICS[i % 8]}.",
                },
            }
            for i in range(12)
        ],
    )
    _write(
        folder / "personafeedback" / "persona" / "all_personas.jsonl",
        [
            {"Name": f"Person {i}", "Occupation": "teacher of history", "Hobby": TOPICS[i]}
            for i in range(8)
        ],
    )
    for part, (track, level) in enumerate(rows.FEEDBACK_PARTS):
        _write(
            folder / "personafeedback" / "data" / track / f"{level}.jsonl",
            [
                {
                    "user_id": i + 1,
                    "question": f"Which club should I join in month {part * 3 + i} of this year?",
                    "chosen": f"Join the {TOPICS[i]} club, number {part * 3 + i}, "
                    "near your school.",
                    "reject": f"Join the {TOPICS[i + 4]} club, number {part * 3 + i}, "
                    "in another city.",
                }
                for i in range(3)
            ],
        )
    return folder


def tiny_model(tokenizer, template: str, folder: Path) -> Path:
    """A random model of the real architecture with its real chat template; template: qwen3 or
    llama3_1.
    """
    config_class, model_class, end = FAMILIES[template]
    tokenizer.add_special_tokens({"eos_token": end})
    tokenizer.chat_template = (
        Path(trl.__file__).with_name("chat_templates").joinpath(f"{template}.jinja").read_text()
    )
    model = model_class(
        config_class(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=16384,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    return models.save(model, tokenizer, folder)


def speak(messages: list[dict], attempt: int) -> str:
    """What the expert says: fit in form, of no worth in content; blind answers are right now and
    then.
    """
    text = messages[-1]["content"]
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    if "The answer to be explained:" in text:
        return (
            "First the terms of the question are made clear, then what they imply is worked out "
            "step by step, which settles it."
        )
    if "Answer to be judged:" in text:
        return "Yes"
    if "Describe, in one sentence" in text:
        return f"a librarian of {number % 1000} villages who collects old maps and letters"
    if "what this person prefers in an answer" in text:
        return "somebody who likes old maps and wants short answers with one example"
    if "Translate the following text" in text:
        return "This is a plain English sentence about a person who likes long walks."
    return (
        json.dumps({"answer": "ABCD"[number % 4]})
        if '"A/B/..."' in text
        else json.dumps({"answer": ["yes", "no", "4", "Paris"][number % 4]})
    )
