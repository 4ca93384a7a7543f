"""Requests whose prompts say what the cohort's columns say of a training image."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from sonosynth import seeding
from sonosynth.adapters.learning import with_token
from sonosynth.cohort.captions import columns, of_rows
from sonosynth.synthesis import strata
from sonosynth.synthesis.requests import Request

COLUMN = "described"
"""In metadata.csv: the training image whose columns a prompt has."""


def described(
    wanted: Sequence[Request], train: pd.DataFrame, seed: int, tokens: Mapping[str, str | None],
    known: Mapping[str, str], by: Sequence[str] = (),
) -> list[Request]:  # fmt: skip
    """The same requests, with prompts in which columns are filled in, where they name any.

    An image from noise is described as a training image of its class is, drawn at random from the stratum whose turn it
    is; one that starts from another image as that one is.

    Args:
        train: the training rows of cohort.csv. tokens: the one that the prompts of each label end with. known: of
            images to start from, the training image that each is described as, by name. by: columns of the strata.
    """
    if not columns(request.prompt for request in wanted):
        return list(wanted)
    place = {name: row for row, name in enumerate(train["id"])}
    of = strata.members(train, by)
    counts = Counter(request.label for request in wanted)
    turns = {label: iter(strata.order(of, label, count)) for label, count in counts.items()}
    found = []
    for request in wanted:
        ids = of[request.label][next(turns[request.label])]
        drawn = ids[seeding.derive(seed, "described", request.file_name) % len(ids)]
        model = known.get(request.source) or drawn
        token = tokens.get(request.label)
        words = request.prompt.removesuffix(f" {token}")
        (text,) = of_rows({request.label: words}, train.iloc[[place[model]]].assign(label=request.label))
        found.append(replace(request, prompt=with_token(text, token), described=model))
    return found
