"""Whether images differ from a run's own: two-sample tests on embeddings, predictions and inputs.

n and m images of two samples, D width of the embeddings, K classes. Nothing here imports Keras.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.spatial.distance import pdist, squareform
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

PERMUTATIONS = 999
MOST = 500  # images of a sample in the tests of embeddings, whose time grows by their square


@dataclass(frozen=True)
class Sample:
    """What is compared of some images.

    Attributes:
        embeddings: (n, D).
        probabilities: (n, K), calibrated.
        inputs: name -> (n,) a figure of each image, such as its brightness.
    """

    embeddings: np.ndarray
    probabilities: np.ndarray
    inputs: dict[str, np.ndarray]


@dataclass(frozen=True)
class Test:
    """One test: what was found, and how probable that is if nothing has drifted."""

    name: str
    statistic: float
    p_value: float
    what: str


@dataclass(frozen=True)
class Drift:
    """All tests of two samples.

    Attributes:
        reference: number of images of the run.
        images: number of images that were compared with them.
        tests: in order.
        alpha: the probability of a false alarm.
    """

    reference: int
    images: int
    tests: tuple[Test, ...]
    alpha: float

    @property
    def has_drifted(self) -> bool:
        """By Bonferroni's correction: `alpha` is of any false alarm, not of each test."""
        return min(test.p_value for test in self.tests) * len(self.tests) <= self.alpha

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "has_drifted": self.has_drifted}


def compare(reference: Sample, sample: Sample, alpha: float = 0.01, seed: int = 0) -> Drift:
    """Test whether two samples are of the same images."""
    rng = np.random.default_rng(seed)
    ours = _some(reference.embeddings, rng)
    theirs = _some(sample.embeddings, rng)
    tests = [mmd_test(ours, theirs, rng), domain_classifier_test(ours, theirs, seed)]
    tests += [class_share_test(reference.probabilities, sample.probabilities)]
    confidences = (reference.probabilities.max(axis=-1), sample.probabilities.max(axis=-1))
    tests.append(_distribution_test("confidence", *confidences))
    tests += [
        _distribution_test(name, values, sample.inputs[name])
        for name, values in reference.inputs.items()
    ]
    counts = len(reference.embeddings), len(sample.embeddings)
    return Drift(*counts, tuple(tests), alpha)


def _some(embeddings: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if len(embeddings) <= MOST:
        return embeddings
    return embeddings[rng.choice(len(embeddings), MOST, replace=False)]


def mmd_test(
    ours: np.ndarray,
    theirs: np.ndarray,
    rng: np.random.Generator,
    permutations: int = PERMUTATIONS,
) -> Test:
    """(n, D) and (m, D) -> the unbiased squared MMD and its p-value by permutation.

    Gretton et al. 2012, "A kernel two-sample test", eq. 3, with a Gaussian kernel as wide as the
    median distance.
    """
    together, n = np.concatenate([ours, theirs]).astype("float64"), len(ours)
    squared = squareform(pdist(together, "sqeuclidean"))
    width = np.median(squared[np.triu_indices(len(squared), 1)]) or 1.0
    kernel = np.exp(-squared / width)
    np.fill_diagonal(kernel, 0.0)
    found = _mmd(kernel, np.arange(len(together)), n)
    of_chance = [_mmd(kernel, rng.permutation(len(together)), n) for _ in range(permutations)]
    p_value = (1 + sum(one >= found for one in of_chance)) / (1 + permutations)
    return Test("MMD of embeddings", found, p_value, f"{permutations} permutations")


def _mmd(kernel: np.ndarray, order: np.ndarray, n: int) -> float:
    """The estimate for a kernel matrix without its diagonal, the first n of `order` against all."""
    m = len(order) - n
    is_ours = np.zeros(len(order))
    is_ours[order[:n]] = 1
    of_ours = kernel @ is_ours
    within = float(is_ours @ of_ours)
    between = float((1 - is_ours) @ of_ours)
    others = float(kernel.sum()) - within - 2 * between
    return within / (n * (n - 1)) + others / (m * (m - 1)) - 2 * between / (n * m)


def domain_classifier_test(ours: np.ndarray, theirs: np.ndarray, seed: int = 0) -> Test:
    """(n, D) and (m, D) -> how well a linear classifier tells them apart, as an AUROC.

    It is trained on one half of the images, and scores the other (Lopez-Paz & Oquab 2017). The
    p-value is of the rank-sum test that the scores of both samples are alike; it would not hold for
    scores of several folds, which depend on one another.
    """
    together = np.concatenate([ours, theirs])
    labels = np.repeat([0, 1], [len(ours), len(theirs)])
    train, test, of_train, of_test = train_test_split(
        together, labels, test_size=0.5, stratify=labels, random_state=seed
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced"))
    scores = model.fit(train, of_train).decision_function(test)
    new, old = scores[of_test == 1], scores[of_test == 0]
    found = stats.mannwhitneyu(new, old, alternative="greater")
    auroc = float(found.statistic) / (len(new) * len(old))
    return Test("domain classifier", auroc, float(found.pvalue), "AUROC of the other half")


def class_share_test(ours: np.ndarray, theirs: np.ndarray) -> Test:
    """(n, K) and (m, K) probabilities -> a chi-squared test of the shares of predicted classes."""
    classes = ours.shape[-1]
    counts = np.array(
        [np.bincount(one.argmax(axis=-1), minlength=classes) for one in (ours, theirs)]
    )
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2:
        return Test("predicted classes", 0.0, 1.0, "one class")
    found = stats.chi2_contingency(counts)
    return Test("predicted classes", float(found.statistic), float(found.pvalue), "chi-squared")


def _distribution_test(name: str, ours: np.ndarray, theirs: np.ndarray) -> Test:
    """(n,) and (m,) -> Kolmogorov and Smirnov's test."""
    found = stats.ks_2samp(ours, theirs)
    medians = f"median {_short(np.median(theirs))} against {_short(np.median(ours))}"
    return Test(name, float(found.statistic), float(found.pvalue), medians)


def _short(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else str(value)
