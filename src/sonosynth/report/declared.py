"""What sets and arms are, in a line each: from what the settings declare, never from their names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sonosynth.adapters.settings import Adapter
from sonosynth.synthesis.settings import NOISE, REAL, SHAPES, TRAINING, Set
from sonosynth.tasks.arms import Arm

BALANCE = {"none": "", "oversample": "rare classes oversampled", "weights": "loss weighted by class"}
MASKS = {
    TRAINING: "deformed lesion masks of training images", SHAPES: "lesion masks drawn from a model of their shapes"
}  # fmt: skip
AUGMENTATION = {"flip": "", "classical": "classical augmentation", "trivial": "TrivialAugment"}


@dataclass(frozen=True)
class Declared:
    """The adapters, sets and arms of a study, by name. strengths: of the sets that start from images."""

    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    sets: Mapping[str, Set] = field(default_factory=dict)
    arms: Mapping[str, Arm] = field(default_factory=dict)
    strengths: Mapping[str, float | tuple[float, ...]] = field(default_factory=dict)

    def from_real(self, name: str) -> bool:
        """Whether the images of a set were made from real images, directly or by way of other sets."""
        start = self.sets[name].start
        return start == REAL or (start in self.sets and self.from_real(start))

    @property
    def controls(self) -> frozenset[str]:
        """The arms whose sets are controls: copies of real images, say, which nobody would call synthetic."""
        made = {name: (*arm.sets, *(x for other in arm.best_of for x in self.arms[other].sets)) for name, arm in
                self.arms.items()}  # fmt: skip
        return frozenset(name for name, sets in made.items() if sets and all(self.sets[x].control for x in sets))

    def set(self, name: str) -> str:
        """How the images of a set were made."""
        made = self.sets[name]
        if made.way == "copy":
            return "copies of real training images, as a control"
        if made.way == "folder":
            return "images of another generator"
        text = self._sampled(name, made)
        text += f" (kind: {made.kind})" * (made.kind not in (None, "text", "image", "between"))
        selected = "; only those that critics recognise" * made.select
        obeying = f"; only those that show their masks (Dice {made.obey:g} or more)" if made.obey else ""
        return text + self._conditioned(made) + selected + obeying

    @staticmethod
    def _conditioned(made: Set) -> str:
        if not made.condition:
            return ""
        kept = f"; the {made.keep} kept" if made.keep else ""
        source = made.mask_source
        if source is None:
            return f", under the lesion masks of these{kept}"
        where = MASKS.get(source, "given lesion masks")
        return f", under {where}{kept}"

    def _sampled(self, name: str, made: Set) -> str:
        how = self._adapted(made.adapter)
        if made.start == NOISE:
            return f"images from text, {how}"
        given = self.strengths.get(name, 0)
        strength = " or ".join(f"{x:g}" for x in given) if isinstance(given, tuple) else f"{given:g}"
        another = " as another class" * (made.kind == "between")
        if made.start == REAL:
            source = "real training images" + " and their mirror images" * made.mirror
            if given == 0:
                return f"{source}, encoded and decoded only"
            return f"{source}, redrawn{another} at strength {strength}, {how}"
        source = self.set(made.start)
        if given == 0:
            return f"{source}, then encoded and decoded"
        other = f", {how}" * (made.adapter != self.sets[made.start].adapter)
        return f"{source}, then refined{another} at strength {strength}{other}"

    def _adapted(self, name: str | None) -> str:
        adapter = self.adapters.get(name or "")
        if adapter is None:
            return "by the unadapted base"
        if adapter.unet is not None:
            return "by a U-Net trained on this data set"
        token = "a learned token for each class" if isinstance(adapter.token, dict) else "a learned token"
        if adapter.lora is None:
            return f"by the base with {token}"
        return "by the fine-tuned base" + f" with {token}" * (adapter.token is not None)

    def arm(self, name: str) -> str:
        """What the classifiers of an arm are trained on; its sets by their names, see `set`."""
        arm = self.arms[name]
        if arm.best_of:
            return f"whichever of {', '.join(arm.best_of)} is best on inner images"
        parts = ["real images" if arm.real else "no real images"]
        parts += [BALANCE[arm.balance], AUGMENTATION[arm.augmentation], "MixUp" * bool(arm.mixup)]
        said = ", ".join(filter(None, parts))
        if not arm.sets:
            return f"{said} only" if said == "real images" else said
        share = "" if arm.share is None else f"{arm.share:.0%} of each batch "
        how = f"replaced with probability {arm.replace:g} by" if arm.replace else f"and {share}synthetic:"
        longer = "; trained until it has seen as many real images as the others" * (arm.exposures == "real")
        return f"{said}, {how} {' and '.join(arm.sets)}{longer}"
