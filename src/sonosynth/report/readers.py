"""What human readers said of a run's images, as text."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from sonosynth.reader.scoring import Reading, Share
from sonosynth.report.words import number, number_of

COLUMNS = {
    "reader": "reader", "images": "images", "accuracy": "accuracy", "sensitivity": "sensitivity",
    "specificity": "specificity", "real": "class, real", "synthetic": "class, synthetic",
}  # fmt: skip
SOURCES = {
    "source": "images", "reader": "reader", "count": "number", "synthetic": "called synthetic",
    "agreement": "class right", "quality": "quality, mean (SD)",
}  # fmt: skip
QUESTIONS = {"origin": "real or synthetic", "class": "class"}


@dataclass(frozen=True)
class Readers:
    """The readers of one kit. files: the SHA-256 of every synthetic image that the run has now."""

    reading: Reading
    files: Collection[str]
    columns: ClassVar[Mapping[str, str]] = COLUMNS
    source_columns: ClassVar[Mapping[str, str]] = SOURCES

    def rows(self) -> list[dict[str, str]]:
        """One row per reader, by the names of `COLUMNS`."""
        return [
            {
                "reader": one.name, "images": str(one.accuracy.of), "accuracy": share(one.accuracy),
                "sensitivity": share(one.sensitivity), "specificity": share(one.specificity),
                "real": share(one.agreement[0]), "synthetic": share(one.agreement[1]),
            }
            for one in self.reading.readers
        ]  # fmt: skip

    def sources(self) -> list[dict[str, str]]:
        """One row per reader and source of images (real, each set), by the names of `SOURCES`."""
        return [
            {
                "source": source.set or "real", "reader": one.name, "count": str(source.synthetic.of),
                "synthetic": share(source.synthetic), "agreement": share(source.agreement),
                "quality": "–" if source.quality is None else f"{source.quality:.1f}"
                + (f" ({number(source.spread, '%.1f')})" if source.spread is not None else ""),
            }
            for place in range(len(self.reading.sets) + 1)
            for one in self.reading.readers
            for source in [one.sources[place]]
        ]  # fmt: skip

    def sentences(self) -> list[str]:
        """What was read, what intervals mean, and how far readers agree."""
        found = self.reading
        said = [
            f"Kit {found.kit}: {found.real} real and {found.synthetic} synthetic images ({', '.join(found.sets)}), in"
            f" random order, read blinded by {number_of(len(found.readers), 'reader')}.",
            self._seen(),
            self._gone(),
            "Sensitivity is the share of synthetic images that were called synthetic, specificity that of real images"
            " that were called real. A class is right if it is that of the label; that of a synthetic image is the"
            " class that it was made for.",
            "A reader who guesses is right about half of the images. Each 95% interval (Wilson) is one reader's, for"
            " other images of the same kinds: it says nothing about other readers or other generators. One that"
            " includes 50% does not show that the images can't be told apart.",
        ]
        for question, value in found.kappas.items():
            name = "Cohen's kappa" if len(found.readers) == 2 else "Fleiss' kappa"
            agreed = "undefined: all gave the same answer to all images" if value is None else f"{value:.2f}"
            said.append(
                f"Agreement between the readers, {QUESTIONS[question]}: {name} {agreed}"
                f" ({number_of(found.common, 'image')} that all have read)."
            )
        return [text for text in said if text]

    def _seen(self) -> str:
        found = self.reading
        if found.seen is None:
            return "It is not known whether a generator was trained on the real images that were shown."
        if not found.seen:
            return "The real ones are validation images, which no generator of these sets was trained on."
        return (
            f"A generator was trained on {found.seen} of the real images (adapt.on=all): synthetic images may resemble"
            " them more than they resemble other patients' images, and be harder to tell from them."
        )

    def _gone(self) -> str:
        gone = len({*self.reading.files} - {*self.files})
        if not gone:
            return ""
        return (
            f"Of this kit, {number_of(gone, 'synthetic image')} {'is' if gone == 1 else 'are'} no longer in the run,"
            " whose sets have been made again: these results hold for the images that were read."
        )


def share(found: Share) -> str:
    """A share of images, counted and in per cent, with its interval; a dash of none."""
    if not found.of:
        return "–"
    low, high = found.interval
    return f"{found.hits}/{found.of}, {found.value:.0%} ({100 * low:.0f}–{high:.0%})"
