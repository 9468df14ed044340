"""Gradient-boosted trees: fitted by scikit-learn, kept and applied as plain arrays."""

import dataclasses
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Rows looked up at once: the bound on memory.
_BLOCK = 2**14


@dataclasses.dataclass(frozen=True)
class Trees:
    """Trees for one yes-or-no question; their nodes stand one after the other, a leaf is its own child.

    feature, left, right: (nodes,) int32; a row whose value of `feature` is at most `threshold` goes left. value:
    (nodes,) what a leaf adds to the log-odds. roots: (trees,). baseline: the log-odds without any tree. depth: the
    longest path.
    """

    feature: npt.NDArray[np.int32]
    threshold: Floats
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: Floats
    roots: npt.NDArray[np.int32]
    baseline: float
    depth: int

    @classmethod
    def fit(
        cls,
        rows: npt.NDArray[np.float32],
        answers: npt.NDArray[np.bool_],
        weights: npt.NDArray[np.float32],
        *,
        trees: int,
        leaves: int,
        least: int,
        rate: float,
        penalty: float,
    ) -> Self:
        """Fit trees to rows (n, features) by histogram gradient boosting (`HistGradientBoostingClassifier`).

        answers: (n,), what is to be told from a row. weights: (n,), how much each row counts, above 0.
        trees, leaves (of a tree), least (rows in a leaf), rate (of learning), penalty (L2 on leaf values).
        """
        from sklearn.ensemble import HistGradientBoostingClassifier

        if answers.all() or not answers.any():
            return cls._constant(np.log((answers.sum() + 0.5) / ((~answers).sum() + 0.5)))
        fitted = HistGradientBoostingClassifier(
            learning_rate=rate,
            max_iter=trees,
            max_leaf_nodes=leaves,
            min_samples_leaf=least,
            l2_regularization=penalty,
            early_stopping=False,
            random_state=0,
        ).fit(rows, answers, sample_weight=weights)
        return cls._of(fitted)

    @classmethod
    def _constant(cls, log_odds: float) -> Self:
        none = np.zeros(1, np.int32)
        return cls(none, np.zeros(1), none, none, np.zeros(1), none, float(log_odds), 0)

    @classmethod
    def _of(cls, fitted: object) -> Self:
        # scikit-learn has no public way to its nodes; tests hold what is read here against its own predictions.
        found = [stage[0].nodes for stage in fitted._predictors]  # type: ignore[attr-defined]
        starts = np.cumsum([0, *map(len, found)])[:-1]
        nodes = np.concatenate(found)
        own = np.arange(len(nodes), dtype=np.int32)
        shift = np.repeat(starts, [len(one) for one in found])
        leaf = nodes["is_leaf"].astype(bool)
        return cls(
            nodes["feature_idx"].astype(np.int32),
            nodes["num_threshold"].astype(np.float64),
            np.where(leaf, own, nodes["left"] + shift).astype(np.int32),
            np.where(leaf, own, nodes["right"] + shift).astype(np.int32),
            nodes["value"].astype(np.float64),
            starts.astype(np.int32),
            float(np.ravel(fitted._baseline_prediction)[0]),  # type: ignore[attr-defined]
            int(nodes["depth"].max()),
        )

    def log_odds(self, rows: npt.NDArray[np.float32]) -> Floats:
        """Log-odds (n,) of rows (n, features)."""
        found = np.empty(len(rows))
        for start in range(0, len(rows), _BLOCK):
            part = rows[start : start + _BLOCK].astype(np.float64)
            places = np.broadcast_to(self.roots, (len(part), len(self.roots)))  # (n, trees)
            for _ in range(self.depth):
                goes_left = np.take_along_axis(part, self.feature[places], axis=1) <= self.threshold[places]
                places = np.where(goes_left, self.left[places], self.right[places])
            found[start : start + _BLOCK] = self.value[places].sum(axis=1) + self.baseline
        return found

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """What `from_arrays` needs."""
        arrays = {field.name: np.atleast_1d(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return arrays | {"baseline": np.array([self.baseline]), "depth": np.array([self.depth], np.int32)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[np.generic]], features: int) -> Self:
        """The same trees. Raises KeyError or ValueError for arrays that are no trees over so many features."""
        names = [field.name for field in dataclasses.fields(cls)]
        values = {name: arrays[name] for name in names}
        nodes = len(values["value"])
        for name in ("feature", "threshold", "left", "right"):
            if len(values[name]) != nodes:
                raise ValueError("trees with arrays of different lengths")
        links = np.concatenate([values[name] for name in ("left", "right", "roots")]).astype(np.int64)
        if not ((links >= 0) & (links < nodes)).all() or not 0 <= int(values["depth"][0]) <= nodes:
            raise ValueError("trees whose nodes point nowhere")
        numbers = values["feature"].astype(np.int64)
        if not ((numbers >= 0) & (numbers < features)).all():
            raise ValueError(f"trees of other than {features} features")
        return cls(**values | {"baseline": float(values["baseline"][0]), "depth": int(values["depth"][0])})  # type: ignore[arg-type]
