"""The trained model that a reader can question, or the stored answers of one."""

from functools import cache
from pathlib import Path

from IPython.display import HTML

from pdlib import config, dataset, models, systems
from pdlib.analysis import playground
from pdlib.run import stages
from pdlib.workbook import pages


def trained(cfg: config.Config, system: str = "personadual") -> bool:
    """Whether the system has been trained, with the first training seed."""
    return (systems.folder(cfg, system) / stages.MANIFEST).is_file()


def asker(
    cfg: config.Config, system: str = "personadual", reference: Path = stages.REFERENCE
) -> tuple[playground.Ask, str]:
    """(whom to ask, where the answers come from).

    Asked is the trained model, which is read at the first question, else the stored answers.
    FileNotFoundError, in words, where there is neither.
    """
    if not trained(cfg, system):
        ask = playground.stored_asker(playground.read(reference / playground.STORED))
        return ask, "no trained model yet: answers stored from a pocket run"
    folder = systems.folder(cfg, system)
    model = cache(lambda: playground.model_asker(*models.load(folder)))

    def ask(persona: str, question: str) -> playground.Reply:
        return model()(persona, question)

    return ask, f"answers of {folder.name}, trained here"


def side_by_side(cfg: config.Config, ask: playground.Ask, persona: str, question: str) -> HTML:
    """`playground.compare` as a page.

    Words that a model of the pocket world has never read are named.
    """
    unknown = dataset.unknown_words(cfg, persona, question)
    return pages.playground(*playground.compare(ask, persona, question), unknown)


def store_answers(cfg: config.Config, target: Path = stages.REFERENCE) -> str:
    """Write playground.json to `target`; returns in words whether it was."""
    examples = dataset.example_questions(cfg)
    if examples is None:
        return f"{playground.STORED} left as it was: it asks questions of the pocket world"
    if not trained(cfg):
        return f"{playground.STORED} left as it was: personadual is not trained"
    ask, _ = asker(cfg)
    playground.write(ask, target / playground.STORED, *examples)
    return f"{playground.STORED} written"
