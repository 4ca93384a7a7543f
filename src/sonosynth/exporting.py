"""Exports of a finished run: what may be given away is found, and written in a form of `exports/`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, extensions, plain_yaml, progress, store
from sonosynth.artefacts import Adapter, Artefact, CohortImages, Split, SyntheticSet
from sonosynth.bases import sd1
from sonosynth.comparisons import comparisons, with_those_from
from sonosynth.errors import UserError
from sonosynth.fidelity.memorisation import flagged
from sonosynth.graph import COHORT
from sonosynth.jobs import Job, Made
from sonosynth.report.facts import Fault
from sonosynth.report.tables import copied_sets
from sonosynth.run import check_finished, reopen
from sonosynth.settings import Settings
from sonosynth.sharing import FINAL, Kind, LeftOut, Origin, Reason, Shared, SharedAdapter, SharedSet
from sonosynth.study import COMMANDS, TABLES
from sonosynth.synthesis import ways
from sonosynth.synthesis.settings import FILES
from sonosynth.tasks.classification.other_cohort import contents_of

FAULTS = {Fault.VERBATIM: Reason.VERBATIM, Fault.COPIES: Reason.COPIES}


def export(root: Path, target: str, out: Path, *, force: bool = False) -> None:
    """Write what may be given away of a finished run into a new folder, which appears whole or not at all.

    Args:
        target: the form, a file in `exports/`. force: whether controls, what was made from patients' images and what
            was refused as copies are exported, too; what is written then says so.

    Raises:
        UserError: if there is no such form, the run is not finished, the folder is not new, or nothing is left.
    """
    form = extensions.find("exports", target)
    disk.check_new(out)
    if out.resolve().is_relative_to(root.resolve()):
        raise UserError(f"--out {out}: lies in the run", "a new folder elsewhere")
    study, run = reopen(root), store.Run(root)
    with run.locked():
        statuses = study.statuses(root)
        made = check_finished(
            root, statuses, "a run whose adapters, sets and tables are made with its settings",
            wanted=lambda job: job.name == TABLES or job.run in COMMANDS["adapt"],
        )  # fmt: skip
        finished = _Finished(study.settings, {job.name: job for job, _ in statuses}, made, root, force)
        shared = finished.shared(form.TAKES)
        _check_left(root, shared)
        with disk.new_folder(out) as folder:
            form.write(shared, folder)
    for line in _described(shared.left_out):
        progress.say(f"left out: {line}")
    if not force and any(one.reason not in FINAL for one in shared.left_out):
        progress.say("--force exports what was left out, and says so there")
    progress.result(f"exported: {out}")


def _check_left(root: Path, shared: Shared) -> None:
    if shared.sets or shared.adapters:
        return
    lines = "".join(f"\n{line}" for line in _described(shared.left_out))
    if any(one.reason not in FINAL for one in shared.left_out):
        fix = "--force exports it all the same, and says so there"
    else:
        fix = "export another form, or declare sets or adapters: see docs/declaring.md"
    raise UserError(f"{root}: nothing is left to export{lines}", "a set or an adapter that may be given away", fix)


def _described(left_out: Sequence[LeftOut]) -> Iterator[str]:
    for one in left_out:
        yield f"{one.what}: {f'{one.images} images, ' if one.images else ''}{one.reason}"


@dataclass(frozen=True)
class _Finished:
    """A finished run: its jobs, and what they made, by name."""

    settings: Settings
    jobs: Mapping[str, Job]
    made: Mapping[str, Made]
    root: Path
    force: bool

    def shared(self, takes: Sequence[Kind]) -> Shared:
        """What is exported in a form that takes these kinds."""
        left_out: list[LeftOut] = []
        sets = [*self._sets(left_out)] if Kind.IMAGES in takes else []
        adapters = [*self._adapters(takes, left_out)] if {Kind.LORA, Kind.UNET} & {*takes} else []
        return Shared(sets, adapters, left_out, self._origin())

    @cached_property
    def _copies(self) -> list[Artefact]:
        """The search for copies in each repeat."""
        return [Artefact(self.made[name]) for name in self.jobs[TABLES].needs["copies"]]

    @cached_property
    def _faults(self) -> dict[str, Reason]:
        """The sets that hold too many copies, negative controls among them."""
        found, sets = copied_sets(self._copies), self.settings.declared_sets
        return {name: FAULTS[refusal.fault] for name, refusal in found.items() if name in sets}

    def _handles(self) -> dict[str, SyntheticSet]:
        return {name: SyntheticSet(self.made[f"synthetic/{name}"]) for name in self.settings.declared_sets}

    def _sets(self, left_out: list[LeftOut]) -> Iterator[SharedSet]:
        s = self.settings
        foreign = with_those_from(s, lambda made: ways.find(made.way).start == FILES)
        searched = self._copies[0].table("table", "set", "file_name")
        for name, made in self._handles().items():
            declared = s.declared_sets[name]
            reasons = [Reason.CONTROL] if declared.control else []
            reasons += [Reason.REAL] if made.real else []
            reasons += [self._faults[name]] if name in self._faults else []
            reasons += [Reason.FOREIGN] if name in foreign else []
            own = searched[searched["set"] == name]
            copied = made.rows["file_name"].isin(flagged(searched, name)).to_numpy()
            if not reasons and copied.any():
                if self.force:
                    reasons = [Reason.COPY]
                else:
                    left_out.append(LeftOut(f"set {name}", Reason.COPY, int(copied.sum())))
            kept = np.flatnonzero(~made.flawed & (~copied | self.force))
            reasons = reasons if made.flawed.sum() < len(made.rows) else [Reason.EMPTY]
            if self._held_back(f"set {name}", reasons, left_out) or not len(kept):
                continue
            yield SharedSet(
                made, kept, declared.way, declared.start, declared.adapter or "", len(own), int(own["copy"].sum()),
                int(own["verbatim"].sum()), self._verdicts(name), tuple(reasons),
            )  # fmt: skip

    def _adapters(self, takes: Sequence[Kind], left_out: list[LeftOut]) -> Iterator[SharedAdapter]:
        s, labels = self.settings, Split(self.made["split"]).classes
        real = {name for name, made in self._handles().items() if made.real}
        for name, declared in s.declared_adapters.items():
            kind = Kind.LORA if declared.unet is None else Kind.UNET
            own = {made for made in self._faults.keys() - real if s.declared_sets[made].adapter == name}
            reasons = [Reason.COPIED_FROM] if own else []
            if self._held_back(f"adapter {name}", reasons if kind in takes else [Reason.UNFIT], left_out):
                continue
            learned = {"token": s.token if declared.token else None, "lora": s.lora_of(name), "unet": s.unet_of(name)}
            yield SharedAdapter(
                Adapter(self.made[f"adapters/{name}"]), kind, {label: s.prompts.of(label) for label in labels},
                {label: declared.token_of(label) for label in labels},
                {part: section.model_dump() for part, section in learned.items() if section}, tuple(reasons),
            )  # fmt: skip

    def _held_back(self, what: str, reasons: Sequence[Reason], left_out: list[LeftOut]) -> bool:
        """Whether something stays here; if so, it is listed."""
        final = [reason for reason in reasons if reason in FINAL]
        found = final or ([] if self.force else reasons)
        left_out += [LeftOut(what, reason) for reason in found]
        return bool(found)

    def _verdicts(self, name: str) -> tuple[str, ...]:
        """The sentences on arms with a set."""
        rows = Artefact(self.made[TABLES]).table("verdicts", "arm", "sentence")
        arms = [arm for arm, one in comparisons(self.settings).items() if name in one.sets]
        said: pd.Series = rows["sentence"][rows["arm"].isin(arms) & (rows["sentence"] != "")]
        return tuple(said)

    def _origin(self) -> Origin:
        s, cohort, job = self.settings, CohortImages(self.made[COHORT]), self.jobs[COHORT]
        resolved = plain_yaml.read(self.root / store.STUDY)["resolved"]
        labels = Split(self.made["split"]).train["label"]
        return Origin(
            base="" if sd1.is_folder(s.base) else s.base, base_digest=resolved["base"]["digest"],
            cohort=contents_of(job.settings.files), simulated=cohort.about["simulated"],
            training={str(label): int(count) for label, count in labels.value_counts().sort_index().items()},
            modality=s.modality, resolution=s.resolution, repeats=len(self._copies), leaks=s.adapt.on == "all",
            sampling=s.synthesis.columns, versions=resolved["versions"],
        )  # fmt: skip
