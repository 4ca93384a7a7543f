"""How sure the classifiers are of another cohort's images, and how well they rank them."""

from matplotlib.figure import Figure

from sonosynth.report.results import Results, Shown
from sonosynth.report.sections.classifier import calibration, roc


def figures(shown: Shown) -> dict[str, Figure]:
    """ROC and calibration curves on each cohort."""
    found: dict[str, Figure] = {}
    for test in shown.results.tests:
        name = f"test-{test.tested.name}"
        found |= {f"{name}-roc": roc(test.predictions), f"{name}-calibration": calibration(test.predictions)}
    return found


def alt(results: Results) -> dict[str, str]:
    """What each of them shows."""
    found: dict[str, str] = {}
    for test in results.tests:
        name, on = f"test-{test.tested.name}", f"on {test.tested.name} by class, one line per arm"
        found |= {f"{name}-roc": f"ROC curves {on}", f"{name}-calibration": f"Calibration curves {on}"}
    return found
