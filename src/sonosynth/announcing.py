"""What a person is told of a study before it runs."""

from sonosynth import progress, shipped
from sonosynth.cohort.reading import Files
from sonosynth.modality import ULTRASOUND
from sonosynth.repeats import of_cohort
from sonosynth.report import inspected
from sonosynth.settings import Settings


def announce(settings: Settings, files: Files) -> None:
    """Print what was taken for what, the prompts and, where none were given, the name of shipped ones that fit."""
    for said in inspected.guessed(files.taken):
        progress.say(said)
    prompts = of_cohort(settings, files).prompts
    for label in files.labels:
        progress.say(f"prompt of {label}: {prompts.of(label)}")
    for name, adapter in settings.declared_adapters.items():
        if token := adapter.token:
            each = [f"{text} for {label}" for label, text in token.items()] if isinstance(token, dict) else [token]
            progress.say(f"prompts with the adapter {name} end with {', '.join(each)}")
    if (positive := settings.compare.positive) and positive not in files.labels:
        progress.warn(f"no class is called {positive} (compare.positive): the table has no column of its recall")
    if not prompts.labels and settings.modality == ULTRASOUND:
        for name in shipped.fitting(files.labels):
            progress.say(f"prompts for these labels come with the package: --config {name}")
