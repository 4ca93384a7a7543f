"""Settings that are left to the machine, resolved to values and digests before anything is planned."""

from collections.abc import Mapping
from dataclasses import dataclass

from sonosynth import device, hub, parallel
from sonosynth.adapters import control
from sonosynth.bases import checks, sd1
from sonosynth.fidelity import networks
from sonosynth.settings import Settings
from sonosynth.tasks.classification import models


@dataclass(frozen=True)
class Machine:
    """What the settings that are left to the machine resolve to here.

    precision: `auto` resolved. networks: for fidelity. classifier: what it starts from. cores: of
    the CPU. device: "cuda" or "cpu". controls: the ControlNet that the control branch of an adapter starts from, by
    adapter, where there is one.
    """

    base: sd1.Base
    precision: str
    networks: tuple[networks.Network, ...]
    classifier: models.Start
    cores: int
    device: str
    controls: Mapping[str, hub.Model]


def resolve(settings: Settings) -> Machine:
    """Find what the settings name on this machine, and check that it can be loaded and used.

    Raises:
        UserError: if the base, a network or the precision is not available here, or weights are missing.
    """
    base = sd1.resolve(settings.base)
    sd1.check_resolution(base.folder, settings.resolution)
    checks.check(base, settings.resolution)
    start = models.resolve(settings.classifier.model)
    models.check_resolution(start, settings.classifier.resolution)
    return Machine(
        base,
        sd1.choose_precision(settings.precision),
        tuple(dict.fromkeys(networks.resolve(name) for name in settings.fidelity.features)),  # auto may be one of them
        start,
        parallel.cores(),
        device.best().type,
        _controls(settings, base),
    )


def _controls(settings: Settings, base: sd1.Base) -> dict[str, hub.Model]:
    found = {}
    for name in settings.declared_adapters:
        wanted = settings.control_of(name)
        start = wanted and control.resolve(wanted.start, base, f"adapters.{name}.control.start")
        if start:
            found[name] = start
    return found
