"""Linear classifiers on what a measure finds in images."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sonosynth.fidelity.comparison import Described, Images

COMPONENTS = 50


def matrix(values: Described) -> np.ndarray:
    """All values of each image as a row: (N, D) float64, NaN where there is none."""
    rows = np.concatenate([x.reshape(len(x), -1).astype(np.float64) for x in values.values()], axis=1)
    return np.where(np.isfinite(rows), rows, np.nan)


def fitted(images: Images, targets: np.ndarray) -> Pipeline:
    """L2-regularised logistic regression (C = 1) of `targets` (N,), which weigh the same however frequent they are.

    On standardised values, at most 50 of their principal components: with hundreds of features, a few hundred images
    determine no more. A missing value counts as the mean.
    """
    x = matrix(images.values)
    return make_pipeline(
        SimpleImputer(keep_empty_features=True),
        StandardScaler(),
        PCA(min(COMPONENTS, *x.shape), svd_solver="full"),
        LogisticRegression(class_weight="balanced", max_iter=1000),
    ).fit(x, targets)
