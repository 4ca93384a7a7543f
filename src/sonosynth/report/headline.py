"""The answer of a study in a few sentences: whether synthetic images help, how sure that is, and why not more."""

from collections import Counter

from sonosynth.evidence.judging import Finding
from sonosynth.report import sentences
from sonosynth.report.results import Results
from sonosynth.report.words import number_of


def headline(results: Results) -> str:
    """The one sentence to remember."""
    found = _synthetic(results)
    if not found:
        return "No arm adds synthetic images."
    count = Counter(found.values())
    if count[Finding.IMPROVES]:
        arms = ", ".join(arm for arm, finding in found.items() if finding == Finding.IMPROVES)
        return f"Synthetic images help on this data set: they improve macro F1 in {arms}."
    if set(count) == {Finding.NOT_ENOUGH_RUNS}:
        return "No verdict: the study has too few runs to tell an effect of synthetic images from chance."
    tally = ", ".join(f"{finding} in {n}" for finding, n in sorted(count.items()))
    return f"Synthetic images were not shown to help on this data set ({number_of(len(found), 'arm')}: {tally})."


def explained(results: Results) -> list[str]:
    """How sure the headline is, and why no more can be said: what was found, and the limits of the study."""
    found = _synthetic(results)
    rows = results.decisive.groupby("arm", sort=False).head(1)
    telling = {arm for arm, finding in found.items() if finding in (Finding.IMPROVES, Finding.HARMS)}
    telling |= {results.facts.primary or ""} & set(found)
    said = [str(row["sentence"]) for row in rows.to_dict("records") if row["arm"] in telling]
    silent = [Finding.NOT_ENOUGH_RUNS, Finding.REFUSED, Finding.NOT_RUN]
    judged = rows[rows["arm"].isin(found) & ~rows["finding"].isin(silent)]
    if not said and len(judged):
        said = [sentences.spread(judged["difference"])]
    return said + results.limits()


def _synthetic(results: Results) -> dict[str, str]:
    """The findings of the arms with synthetic images."""
    return {arm: finding for arm, finding in results.findings.items() if results.arms[arm]}
