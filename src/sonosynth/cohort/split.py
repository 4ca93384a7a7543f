"""Training, inner, validation and sealed images: cohort.csv."""

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from sonosynth import seeding
from sonosynth.artefacts import INNER, SEALED, TRAIN, VALIDATION, group_names
from sonosynth.cohort import own_split, sites
from sonosynth.cohort.exclusions import Exclusion, Reason, of_conflict
from sonosynth.cohort.partition import folds, split
from sonosynth.cohort.reading import Cohort, conflicts, groups_of
from sonosynth.cohort.settings import Split
from sonosynth.cohort.twins import components
from sonosynth.errors import UserError

COLUMNS = ["id", "file", "sha256", "label", "mask", "group", "split", "excluded"]


def to_table(
    cohort: Cohort, settings: Split, seed: int, fold: tuple[int, int] | None = None, *, inner: bool = False,
    sealed: Collection[str] = (),
) -> pd.DataFrame:  # fmt: skip
    """The rows of cohort.csv, ordered by id: `COLUMNS`, and the cohort's own; paths are relative to the cohort.

    Files that can't be used are listed as excluded, with the reason.

    Args:
        seed: of the split. fold: (k, i) holds out the i-th of k folds instead of a share. inner: whether a fifth of the
            training images is held back, too. sealed: ids of the images that are in no split (see `sealing.draw`).

    Raises:
        UserError: if a class would have no image on one side.
    """
    images = cohort.images
    ids, labels = list(images["id"]), cohort.labels
    own = own_split.used(settings, list(images["given"]), fold)
    excluded = why_excluded(cohort, settings, own=own)
    units = units_of(images, cohort.twins if settings.groups == "twins" else None)
    places = list(cohort.own[settings.leave_out]) if settings.leave_out else []
    groups = [""] * len(ids)
    for rows in units:
        named = sorted({images["group"][row] for row in rows} - {""})
        for row in rows if named or len(rows) > 1 else []:
            groups[row] = " + ".join(named) or f"twins of {ids[rows[0]]}"
    aside = set(sealed)
    kept = [row for row, name in enumerate(ids) if row not in excluded and name not in aside]
    position = {row: i for i, row in enumerate(kept)}
    contents = [images["pixels"][row] for row in kept]
    try:
        if own:
            drawn = [images["given"][row] for row in kept]
            _check_sides([labels[row] for row in kept], drawn)
        elif places and fold:
            held_out = sites.names(places)[fold[1]]
            drawn = [VALIDATION if places[row] == held_out else TRAIN for row in kept]
            _check_sides([labels[row] for row in kept], drawn)
        elif fold:
            found = folds([labels[row] for row in kept], contents, [groups[row] for row in kept], fold[0], seed)
            drawn = [VALIDATION if number == fold[1] else TRAIN for number in found]
        else:
            parts = [part for rows in units if (part := [position[row] for row in rows if row in position])]
            rng = np.random.default_rng(seed)
            drawn = split([labels[row] for row in kept], contents, parts, settings.holdout, rng)
    except ValueError as error:
        how = f"{fold[0]} folds leave" if fold else f"a split with split.holdout={settings.holdout} leaves"
        if places and fold:
            how = f"split.leave_out={settings.leave_out}: without {sites.names(places)[fold[1]]}, there is"
        how = "its own split (split.given=use) has" if own else how
        raise UserError(
            f"cohort {cohort.path}: {how} {error}",
            "images of every class on both sides",
            "add images or groups of that class, or change split.holdout, split.groups, split.given, split.leave_out,"
            " split.sealed or repeats.folds",
        ) from None
    sides = dict(zip(kept, drawn, strict=True)) | {row: SEALED for row, name in enumerate(ids) if name in aside}
    why = [excluded[row].text if row in excluded else "" for row in range(len(ids))]
    usable = images.assign(group=groups, split=[sides.get(row, "") for row in range(len(ids))], excluded=why)
    bad = [{"id": name, "file": name, "excluded": f"can't be used: {why}"} for name, why in cohort.problems.items()]
    if settings.keep < 1:
        train = usable[usable["split"] == TRAIN]
        gone = train.index.difference(kept_part(train, settings.keep, seeding.derive(seed, "keep")))
        usable.loc[gone, ["split", "excluded"]] = ["", f"left out by split.keep={settings.keep:g}"]
    if inner:
        train, asked = usable[usable["split"] == TRAIN], "classifier.selection=inner, or arms.NAME.best_of"
        fifth = a_fifth(train, seeding.derive(seed, "inner"), asked, "give neither of them")
        usable.loc[fifth, "split"] = INNER
    every = pd.concat([usable[COLUMNS], pd.DataFrame(bad, columns=COLUMNS).fillna("")], ignore_index=True)
    return every.merge(cohort.own, on="id", how="left").fillna("")


def exclusions(
    cohort: Cohort, settings: Split, table: pd.DataFrame, fold: tuple[int, int] | None = None
) -> pd.DataFrame:  # fmt: skip
    """How many images are in no split, by label ("" if it is not known) and kind of reason: label, reason, images.

    Args:
        table: as `to_table` makes it, with the same `fold`.
    """
    ids, own = cohort.images["id"], own_split.used(settings, list(cohort.images["given"]), fold)
    known = why_excluded(cohort, settings, own=own)
    reasons = {ids[row]: found.reason for row, found in known.items()} | dict.fromkeys(cohort.problems, Reason.UNUSABLE)
    out = table[table["excluded"] != ""]
    reason = [str(reasons.get(name, Reason.KEEP)) for name in out["id"]]
    return out.assign(reason=reason).groupby(["label", "reason"]).size().rename("images").reset_index()


def _check_sides(labels: Sequence[str], sides: Sequence[str]) -> None:
    """Raise ValueError unless there are training images of every class, and validation images of two."""
    held_out = {label for label, side in zip(labels, sides, strict=True) if side == VALIDATION}
    train = {label for label, side in zip(labels, sides, strict=True) if side == TRAIN}
    if missing := held_out - train:
        raise ValueError(f"no {TRAIN} image of {', '.join(sorted(missing))}")
    if len(held_out) < 2:
        raise ValueError(f"no {VALIDATION} image but of {', '.join(held_out) or 'no class'}")


def a_fifth(train: pd.DataFrame, seed: int, asked: str, instead: str) -> pd.Index:
    """The rows of cohort.csv that are held back of the training ones: a fifth of each class, groups kept whole.

    Raises:
        UserError: if a class has fewer than five images or groups. It names the setting that `asked` for them, and what
            to give `instead`.
    """
    numbers = folds_of(train, 5, seed, f"{asked}: a fifth of the training images can't be held back", instead)
    return train.index[numbers == 0]


def folds_of(rows: pd.DataFrame, count: int, seed: int, asked: str, instead: str) -> np.ndarray:
    """The number (N,) of the fold that each of these rows of cohort.csv is in: see `folds`.

    Raises:
        UserError: if a class has fewer images or groups than folds; `asked`, `instead`: see `a_fifth`.
    """
    labels, hashes, groups = (list(rows[name]) for name in ("label", "sha256", "group"))
    try:
        return np.array(folds(labels, hashes, groups, count, seed))
    except ValueError as error:
        raise UserError(f"{asked}: {error}", f"{count} training images or groups of every class", instead) from None


def kept_part(train: pd.DataFrame, share: float, seed: int) -> pd.Index:
    """The training rows of cohort.csv that stay: `share` of each class, rounded, as far as whole groups fit into that.

    A larger share adds rows to those of a smaller one, but for groups that did not fit into it.

    Raises:
        UserError: if no image of a class stays.
    """
    labels, hashes = list(train["label"]), list(train["sha256"])
    members = train.groupby(group_names(train).to_numpy()).indices.values()
    units = sorted(members, key=lambda rows: min(hashes[row] for row in rows))
    room = Counter({label: max(1, round(share * count)) for label, count in Counter(labels).items()})
    found: list[int] = []
    for number in np.random.default_rng(seed).permutation(len(units)):
        need = Counter(labels[row] for row in units[number])
        if need <= room:
            room -= need
            found += [*units[number]]
    if missing := set(labels) - {labels[row] for row in found}:
        raise UserError(
            f"split.keep={share:g}: no group of {', '.join(sorted(missing))} is small enough to stay",
            "one training image of every class",
            "give a larger split.keep",
        )
    return train.index[sorted(found)]


def why_excluded(cohort: Cohort, settings: Split, *, own: bool = False) -> dict[int, Exclusion]:
    """The usable images that are in no split, by position: for their near-duplicates, or what is held out in turn.

    Args:
        own: whether the split is the cohort's own.
    """
    found: dict[int, Exclusion] = {}
    units = units_of(cohort.images, cohort.twins if settings.groups == "twins" else None)
    if settings.leave_out:
        found |= sites.why_excluded(settings.leave_out, list(cohort.own[settings.leave_out]), units)
    elif own:
        found |= own_split.why_excluded(list(cohort.images["given"]), units)
    labels = cohort.labels
    place = {name: row for row, name in enumerate(cohort.images["id"])}
    for group in conflicts(cohort) if settings.conflicts != "keep" else []:
        theirs = [labels[place[name]] for name in group]
        out = of_conflict(group, theirs, majority=settings.conflicts == "majority")
        found |= {place[name]: exclusion for name, exclusion in out.items()}
    return found


def units_of(images: pd.DataFrame, twins: pd.DataFrame | None = None) -> list[list[int]]:
    """The positions of the images in parts that belong together: images of one named group, exact copies.

    Args:
        images: the columns id, group and pixels. twins: pairs of near-duplicates, whose chains belong together, too.
    """
    first: dict[tuple[str, str], int] = {}
    pairs: list[tuple[int, int]] = []
    for rows in groups_of(images["id"], twins) if twins is not None else []:
        pairs += [(rows[0], row) for row in rows]
    for row, (group, pixels) in enumerate(zip(images["group"], images["pixels"], strict=True)):
        for name in [("pixels", pixels)] + [("group", group)] * bool(group):
            pairs.append((first.setdefault(name, row), row))
    return components(len(images), pairs)


def independent(images: pd.DataFrame, twins: pd.DataFrame) -> dict[str, str]:
    """A name for what each image (by id) belongs to, whatever the split keeps together: see `units_of`.

    Images that stand alone have none.
    """
    units = units_of(images, twins)
    return {images["id"][row]: images["id"][rows[0]] for rows in units if len(rows) > 1 for row in rows}


def crossing(table: pd.DataFrame, twins: pd.DataFrame) -> list[tuple[str, str]]:
    """The pairs of near-duplicates (ids) whose images are on two sides."""
    side = dict(zip(table["id"], table["split"], strict=True))
    pairs = zip(twins["id"], twins["twin"], strict=True)
    return [(a, b) for a, b in pairs if len({side[a], side[b]} - {""}) == 2]
