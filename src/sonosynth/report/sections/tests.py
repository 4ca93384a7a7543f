"""How sure the classifiers are of another cohort's images, and how well they rank them."""

from matplotlib.figure import Figure

from sonosynth.report.results import Results, Shown
from sonosynth.report.sections.classifier import calibration, roc


def figures(shown: Shown) -> dict[str, Figure]:
    """ROC and calibration curves on each cohort."""
    found: dict[str, Figure] = {}
    facts = shown.results.facts
    for test in shown.results.tests:
        name, about = f"test-{test.tested.name}", (test.predictions, test.groups, facts.reference, facts.positive)
        found |= {f"{name}-roc": roc(*about), f"{name}-calibration": calibration(*about)}
    return found


def alt(results: Results) -> dict[str, str]:
    """What each of them shows."""
    found: dict[str, str] = {}
    for test in results.tests:
        name, on = (
            f"test-{test.tested.name}",
            f"on {test.tested.name}, one panel for each arm, beside real images alone",
        )
        found |= {f"{name}-roc": f"ROC curves {on}", f"{name}-calibration": f"Calibration curves {on}"}
    return found
