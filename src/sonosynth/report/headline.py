"""The answer of a study in a few sentences: whether synthetic images help, how sure that is, and why not more."""

from collections import Counter

from sonosynth.evidence.judging import Finding
from sonosynth.report import sentences
from sonosynth.report.judged import Judged
from sonosynth.report.results import Results
from sonosynth.report.words import number_of


def headline(results: Results) -> str:
    """The one sentence to remember; of each task, if there are two."""
    said = [_of_task(one) for one in results.judged]
    if len(said) < 2:
        return said[0]
    return " ".join(f"{one.task}: {text}" for one, text in zip(results.judged, said, strict=True))


def explained(results: Results) -> list[str]:
    """How sure the headline is, and why no more can be said: what was found, and the limits of the study."""
    said = [sentence for one in results.judged for sentence in _explained(one, results)]
    return list(dict.fromkeys(said))


def _of_task(judged: Judged) -> str:
    found = _synthetic(judged)
    if not found:
        return "No arm adds synthetic images."
    count = Counter(found.values())
    if count[Finding.IMPROVES]:
        arms = ", ".join(arm for arm, finding in found.items() if finding == Finding.IMPROVES)
        return f"Synthetic images help on this data set: they improve {judged.score} in {arms}."
    if set(count) == {Finding.NOT_ENOUGH_RUNS}:
        return "No verdict: the study has too few runs to tell an effect of synthetic images from chance."
    tally = ", ".join(f"{finding} in {n}" for finding, n in sorted(count.items()))
    return f"Synthetic images were not shown to help on this data set ({number_of(len(found), 'arm')}: {tally})."


def _explained(judged: Judged, results: Results) -> list[str]:
    found = _synthetic(judged)
    rows = judged.decisive.groupby("arm", sort=False).head(1)
    telling = {arm for arm, finding in found.items() if finding in (Finding.IMPROVES, Finding.HARMS)}
    telling |= {results.facts.primary or ""} & set(found)
    said = [str(row["sentence"]) for row in rows.to_dict("records") if row["arm"] in telling]
    silent = [Finding.NOT_ENOUGH_RUNS, Finding.REFUSED, Finding.NOT_RUN]
    told = rows[rows["arm"].isin(found) & ~rows["finding"].isin(silent)]
    if not said and len(told):
        said = [sentences.spread(told["difference"], judged.score)]
    return said + judged.limits(results.facts, results.seconds)


def _synthetic(judged: Judged) -> dict[str, str]:
    """The findings of the arms with synthetic images."""
    return {arm: finding for arm, finding in judged.findings.items() if judged.synthetic(arm)}
