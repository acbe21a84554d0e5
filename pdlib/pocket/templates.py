"""The sentences that questions and personas of the pocket world are made of."""

TEMPLATES = {  # the last one of each list is held out: it occurs in the test split only
    "triviaqa": [
        "what is {w}?",
        "what does {w} mean?",
        "define {w}.",
        "explain {w}.",
        "say what {w} is.",
    ],
    "mmlu_pro": [
        "which one is {w}?",
        "choose what {w} is.",
        "what is {w} here?",
        "find {w}.",
        "which is {w}?",
    ],
    "supergpqa": [
        "pick the best sense of {w}.",
        "which sense of {w} is meant?",
        "what does {w} mean here?",
        "choose the sense of {w}.",
        "which one does {w} mean?",
    ],
    "pubmedqa": [
        "is {w} {g}?",
        "does {w} mean {g}?",
        "is {w} here {g}?",
        "is it true that {w} is {g}?",
        "does {w} here mean {g}?",
    ],
    "math500": [
        "how many are in {k} {w}?",
        "how much is {k} {w}?",
        "what number is {k} {w}?",
        "count {k} {w}.",
        "how many is {k} {w}?",
    ],
    "personafeedback": [
        "what should I do today?",
        "what could I do this weekend?",
        "suggest a pastime.",
        "how should I spend the evening?",
        "what is a good plan for today?",
    ],
    "fspo_roleplay": [
        "tell me about {w}.",
        "write to me about {w}.",
        "talk about {w}.",
        "say something on {w}.",
        "give me a note on {w}.",
    ],
}
PERSONA_TEMPLATES = [
    "a {job}{study}, likes {hobby} and wants {style}",
    "a {job}{study}, wants {style} and likes {hobby}",
]
STUDY_QUESTIONS = ["do I study {w}?", "is {w} what I study?", "do I know {w} well?"]
WORK_QUESTIONS = ["is {w} a word of my work?", "do we say {w} at work?", "does my work use {w}?"]
