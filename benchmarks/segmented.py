"""Do synthetic images with masks make segmenters of lesions better? One study, and a table of what it found.

    python benchmarks/segmented.py COHORT --work DIR --out segmented.csv

A run of `sonosynth` in DIR, with the settings of segmented.yaml; the same command resumes it. No setting was chosen for
this study. `pairs` is the primary arm.
"""

import argparse
from pathlib import Path

import pandas as pd

from results import HERE, Column, cell, contrasts, difference, sonosynth, table
from sonosynth.run import reopen

SCORES = ("dice", "hd95", "sensitivity", "false_alarms")
COLUMNS = (
    Column("arm", cell("{}", "arm")),
    Column("Dice", cell("{:.3f} ({:.3f} to {:.3f})", "dice", "dice_low", "dice_high")),
    Column("HD95, pixels", cell("{:.1f}", "hd95")),
    Column("lesions found", cell("{:.0%}", "sensitivity")),
    Column("false alarms", cell("{:.0%}", "false_alarms")),
    Column("against `real`", difference("real")),
    Column("against the simple baseline", difference("comparator")),
    Column("finding", cell("{}", "finding")),
)


def collect(root: Path) -> pd.DataFrame:
    """What a finished run found: one row for each arm."""
    settings = reopen(root).settings
    scores, verdicts = (pd.read_csv(root / "evaluation" / f"segmentation_{x}.csv") for x in ("table", "verdicts"))
    rows = []
    for row in scores.to_dict("records"):
        found = {"arm": row["arm"], "images": row["n_validation"], "lesions": row["n_lesions"], "runs": row["runs"]}
        found |= {name + end: row[name + end] for name in SCORES for end in ("", "_low", "_high")}
        rows.append(found | contrasts(verdicts[verdicts["metric"] == "dice"], str(row["arm"]), settings.compare.cheap))
    return pd.DataFrame(rows)


def main() -> None:
    """Run the study, store the table and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    o = parser.parse_args()
    given = [word for name in ("breast-ultrasound", HERE / "segmented.yaml") for word in ("--config", name)]
    sonosynth("run", o.cohort, "--out", o.work, "--preset", "sound", *given)
    found = collect(o.work)
    found.to_csv(o.out, index=False, float_format="%.5f")
    print(table(found, COLUMNS))


if __name__ == "__main__":
    main()
