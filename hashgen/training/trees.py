"""Gradient-boosted trees: fitted by scikit-learn, kept and applied as plain arrays."""

import dataclasses
import functools
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Rows looked up at once: their part of the arrays stays in the processor's cache.
_BLOCK = 512
# A number of 64 bits says which leaves of a tree a row cannot reach.
MOST_LEAVES = 64


@dataclasses.dataclass(frozen=True)
class Trees:
    """Trees for one yes-or-no question; their nodes stand one after the other, a leaf is its own child.

    feature, left, right: (nodes,) int32; a row whose value of `feature` is at most `threshold` goes left. value:
    (nodes,) what a leaf adds to the log-odds. roots: (trees,). baseline: the log-odds without any tree.
    """

    feature: npt.NDArray[np.int32]
    threshold: Floats
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: Floats
    roots: npt.NDArray[np.int32]
    baseline: float

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
        trees, leaves (of a tree, up to `MOST_LEAVES`), least (rows in a leaf), rate (of learning), penalty (L2 on leaf
        values). Raises ValueError for more leaves.
        """
        if leaves > MOST_LEAVES:
            raise ValueError(f"trees of more than {MOST_LEAVES} leaves")
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
        return cls(none, np.zeros(1), none, none, np.zeros(1), none, float(log_odds))

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
        )

    def log_odds(self, rows: npt.NDArray[np.float32]) -> Floats:
        """Log-odds (n,) of rows (n, features), which must be float32 and without NaN.

        At each split, a row that goes right cannot reach the leaves on its left: these are struck out. The first leaf
        that remains is the row's (QuickScorer, Lucchese et al. 2015).
        """
        splits = self._splits
        first = np.arange(len(self.roots))[:, None] * splits.values.shape[1]
        found = np.empty(len(rows))
        for start in range(0, len(rows), _BLOCK):
            columns = np.ascontiguousarray(rows[start : start + _BLOCK].T)  # (features, n)
            lost = np.zeros((len(self.roots), columns.shape[1]), np.uint64)  # (trees, n)
            for feature, threshold, mask in zip(splits.feature, splits.threshold, splits.lost, strict=True):
                lost |= (columns[feature] > threshold[:, None]) * mask[:, None]
            leaf = np.bitwise_count(lost ^ (lost + np.uint64(1))) - np.uint8(1)  # the place of the lowest 0
            values = splits.values.ravel()[first + leaf]
            # In rows that stand together numpy sums pairwise, which rounds less.
            found[start : start + _BLOCK] = np.ascontiguousarray(values.T).sum(axis=1) + self.baseline
        return found

    @functools.cached_property
    def _splits(self) -> "_Splits":
        return _Splits.of(self)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """What `from_arrays` needs."""
        arrays = {field.name: np.atleast_1d(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return arrays | {"baseline": np.array([self.baseline])}

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
        if not ((links >= 0) & (links < nodes)).all():
            raise ValueError("trees whose nodes point nowhere")
        numbers = values["feature"].astype(np.int64)
        if not ((numbers >= 0) & (numbers < features)).all():
            raise ValueError(f"trees of other than {features} features")
        trees = cls(**values | {"baseline": float(values["baseline"][0])})  # type: ignore[arg-type]
        _ = trees._splits  # made now, so that nodes which are no trees are refused here
        return trees


@dataclasses.dataclass(frozen=True)
class _Splits:
    """The splits of all trees, each tree's in a column; a row whose value of `feature` is above `threshold` goes right.

    feature: (splits, trees) int32. threshold: (splits, trees) float32. lost: (splits, trees) uint64, the leaves that a
    row which goes right cannot reach, a bit each; a tree's leaves are numbered from left to right. values: (trees,
    leaves). A tree with fewer splits is filled up with thresholds of infinity, at which no row goes right.
    """

    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    lost: npt.NDArray[np.uint64]
    values: Floats

    @classmethod
    def of(cls, trees: Trees) -> Self:
        """Raises ValueError for nodes that are no trees, for no tree, and for one of more than `MOST_LEAVES` leaves."""
        if not len(trees.roots) or not (np.abs(trees.threshold) <= np.finfo(np.float32).max).all():
            raise ValueError("no trees, or trees with thresholds that no row can have")
        found = [_walk(trees, root) for root in trees.roots.tolist()]
        most = max(len(leaves) for _, leaves in found)
        shape = most - 1, len(found)
        feature, lost = np.zeros(shape, np.int32), np.zeros(shape, np.uint64)
        threshold, values = np.full(shape, np.inf, np.float32), np.zeros((len(found), most))
        # Rows are float32: at most a threshold means at most the next such number below.
        narrow = trees.threshold.astype(np.float32)
        narrow = np.where(narrow > trees.threshold, np.nextafter(narrow, np.float32(-np.inf)), narrow)
        for tree, (splits, leaves) in enumerate(found):
            values[tree, : len(leaves)] = trees.value[leaves]
            for place, (node, start, end) in enumerate(splits):
                feature[place, tree], threshold[place, tree] = trees.feature[node], narrow[node]
                lost[place, tree] = 2**end - 2**start  # bits start to end - 1
        return cls(feature, threshold, lost, values)


def _walk(trees: Trees, root: int) -> tuple[list[tuple[int, int, int]], list[int]]:
    """A tree's splits, each with the first leaf on its left and the first on its right; its leaves, from the left."""
    splits: list[tuple[int, int, int]] = []
    leaves: list[int] = []
    waiting = [(root, -1)]  # a node; or a split whose left part is done, and its first leaf
    while waiting:
        node, start = waiting.pop()
        if start >= 0:
            splits.append((node, start, len(leaves)))
        elif trees.left[node] == node:
            leaves.append(node)
        else:
            waiting += [(int(trees.right[node]), -1), (node, len(leaves)), (int(trees.left[node]), -1)]
        # Each split on the way down leaves two nodes waiting, and a path has fewer splits than the tree has leaves.
        if len(waiting) > 2 * MOST_LEAVES or len(leaves) > MOST_LEAVES:
            raise ValueError(f"trees with loops, or of more than {MOST_LEAVES} leaves")
    return splits, leaves
