"""The settings of a set, resolved: what its job is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from sonosynth.bases import sd1
from sonosynth.cost import Effort
from sonosynth.section import AUTO, IF_GIVEN, NO_EFFECT
from sonosynth.synthesis.conditioning import Condition
from sonosynth.synthesis.given import Given
from sonosynth.synthesis.settings import Balance, Synthesis


@dataclass(frozen=True)
class Making:
    """How a set is made.

    kind: its file in `sets/`, and that file's version. depth: how often its images were refined.
    prompts: each label's, with the learned token. count: as in `settings.Set`, or the plan that balances classes, or
    None for as many as there are to start from. each: how many are made of every training image; 0: `count` in all.
    strength: None if there is none; several: for as many images each. mirror: whether half of the images start from a
    mirror image. refine_steps: as in `settings.Refine`. base: None if no model is used. seed: the generator's. leaks:
    whether the adapter was allowed to see the validation images. source: name of the set that it starts from, which
    appears in metadata.csv; or noise or real. negative_control: whether it is one. given: the images of another
    generator, if it takes these; `source` does not matter then. tokens: the learned token at the end of each prompt.
    by: the columns of the strata among which the images are distributed, as in `settings.Balance`. condition: how they
    are conditioned on masks, if they are.
    """

    name: Annotated[str, NO_EFFECT]
    kind: str
    kind_version: int
    depth: int
    prompts: dict[str, str]
    count: int | dict[str, int] | Balance | None
    synthesis: Synthesis
    strength: float | tuple[float, ...] | None
    refine_steps: int | None
    base: sd1.Base | None
    precision: str
    resolution: int
    seed: int
    leaks: bool
    source: str
    negative_control: bool
    each: int = 0
    mirror: bool = False
    given: Given | None = None
    by: tuple[str, ...] = ()
    condition: Annotated[Condition | None, IF_GIVEN] = None
    tokens: Annotated[Mapping[str, str | None], NO_EFFECT] = field(default_factory=dict)

    @property
    def strengths(self) -> tuple[float, ...]:
        """The strengths, if there are any."""
        return self.strength if isinstance(self.strength, tuple) else () if self.strength is None else (self.strength,)

    @property
    def effort(self) -> Effort:
        """In steps of the sampler and, where the number of images is declared, images."""
        counts = self.count.values() if isinstance(self.count, dict) else [self.count] * len(self.prompts)
        images = [count for count in counts if isinstance(count, int)]
        share = sum(self.strengths) / len(self.strengths) if self.strengths else 1.0
        steps = self.refine_steps or self.synthesis.steps * share
        guided = self.synthesis.guidance == AUTO or self.synthesis.scale > 1
        kind = (self.kind, bool(images), self.each, guided, bool(steps), bool(self.condition))
        return Effort(kind, (steps or 1) * (sum(images) or 1))
