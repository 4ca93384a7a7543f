"""What README's commands install is pinned by constraints.txt; what CI installs, with hashes by requirements.lock."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins(text):
    """The one version that is allowed, by package; builds such as +cpu aren't told apart."""
    return {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", text, re.M)}


def packages(lines):
    """The packages that the requirements bring along on this machine."""
    found = set()  # a package may be asked for with several extras, each with requirements of its own
    waiting = [Requirement(line) for line in lines]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {extra for package, extra in found if package == name}:
            found.add((name, extra))
            further = map(Requirement, metadata.requires(name) or ())
            waiting += [one for one in further if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def test_constraints_pin_all_that_is_installed():
    project = PYPROJECT["project"]
    installed = packages([*project["dependencies"], *project["optional-dependencies"]["dev"]])
    assert installed - pins(CONSTRAINTS).keys() == set()


def test_the_lock_has_the_pins_of_the_constraints_with_hashes():
    everywhere, _, _ = CONSTRAINTS.partition("# What torch's CUDA build")
    assert pins(LOCK) == pins(everywhere)
    for pin in re.split(r"\n(?=\w)", LOCK)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", pin), pin


def test_what_builds_the_package_is_pinned_and_in_the_lock():
    requires = PYPROJECT["build-system"]["requires"]
    assert [line for line in requires if "==" not in line] == []
    assert pins("\n".join(requires)).items() <= pins(LOCK).items()
