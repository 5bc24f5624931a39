"""Likely label errors, outliers and near twins among labelled images, by cleanlab's Datalab.

    found = audit(read_embeddings(Path("photos.parquet")))
    found[0].path, found[0].label, found[0].most_probable

Label errors are found by confident learning (Northcutt, Jiang & Chuang 2021), of probabilities by a
model that was not trained on the image; outliers and near twins, by the distances to the nearest
embeddings (Kuan & Mueller 2022).

n images, D width of the embeddings, K classes.
"""

import logging
import warnings
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vit_keras.errors import SettingError
from vit_keras.evaluation.audit_table import Audited
from vit_keras.predict.embedding_files import Embeddings
from vit_keras.runs import out_of_fold
from vit_keras.text import abbreviated_list, counted

FOLDS = 5
STRENGTHS = (1e-3, 1e-2, 0.1)  # C, the inverse strength of the regularisation
MAX_ITERATIONS = 200
# cleanlab forks processes for label errors unless told not to, and a child of a process that runs
# JAX's or TensorFlow's threads can wait for ever.
ONE_PROCESS = {"clean_learning_kwargs": {"find_label_issues_kwargs": {"n_jobs": 1}}}
ISSUES = {"label": ONE_PROCESS, "outlier": {}, "near_duplicate": {}}

log = logging.getLogger(__name__)


def audit(found: Embeddings, folds_run: str | None = None) -> list[Audited]:
    """Audit labelled images, those whose label is most likely wrong first.

    Args:
        found: the embeddings, with labels; images without one are left out.
        folds_run: a run of `train.folds` on the same images, whose probabilities out of fold are
            used; those of a cross-validated probe of the embeddings if None.

    Raises:
        SettingError: cleanlab is not installed, there are too few labels, or the folds are of other
            images.
    """
    datalab = import_datalab()
    is_labelled = np.array([label != "" for label in found.labels], bool)
    paths, given = (
        [one for one, known in zip(column, is_labelled, strict=True) if known]
        for column in (found.paths, found.labels)
    )
    names, labels = class_numbers(given)
    vectors = found.vectors[is_labelled]
    if folds_run is None:
        probabilities = probe_out_of_fold(vectors, labels)
    else:
        probabilities = out_of_fold.read(folds_run, paths, names)
    lab = datalab(data={"label": labels}, label_name="label", verbosity=0)
    with warnings.catch_warnings():
        # cleanlab 2.9 renames columns as pandas 4 will not let it.
        warnings.filterwarnings("ignore", "The inplace keyword in DataFrame.rename is deprecated")
        lab.find_issues(pred_probs=probabilities, features=vectors, issue_types=ISSUES)
    return _rows(lab, paths, labels, names, probabilities)


def _rows(
    lab, paths: Sequence[str], labels: np.ndarray, names: Sequence[str], probabilities: np.ndarray
) -> list[Audited]:
    issues = lab.get_issues()
    is_issue = {name: issues[f"is_{name}_issue"].to_numpy(bool) for name in ISSUES}
    scores = {name: issues[f"{name}_score"].to_numpy(float) for name in ISSUES}
    ranked = np.sort(probabilities, axis=1)
    best = probabilities.argmax(axis=1)
    # A label that is the most probable class itself has no better one.
    is_error = is_issue["label"] & (best != labels)
    groups = _groups(len(labels), lab.get_info("near_duplicate")["near_duplicate_sets"])
    rows = [
        Audited(
            paths[i],
            names[labels[i]],
            names[labels[i]],
            bool(is_error[i]),
            float(scores["label"][i]),
            names[best[i]],
            float(ranked[i, -1]),
            float(ranked[i, -1] - ranked[i, -2]),
            bool(is_issue["outlier"][i]),
            float(scores["outlier"][i]),
            bool(is_issue["near_duplicate"][i]),
            float(scores["near_duplicate"][i]),
            groups[i],
        )
        for i in range(len(labels))
    ]
    return sorted(rows, key=lambda row: row.label_score)


def _groups(count: int, near: Sequence[Sequence[int]]) -> list[int]:
    """A number for each of `count` images; of twins, and of twins of twins, the same."""
    pairs = [(index, int(other)) for index, others in enumerate(near) for other in others]
    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    twins = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(count, count))
    return connected_components(twins, directed=False)[1].tolist()


def class_numbers(labels: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The sorted class names, and the number of each label (n,).

    Raises:
        SettingError: there are fewer than two classes, or a class has a single image.
    """
    names, numbers, counts = np.unique(
        np.array(labels, object), return_inverse=True, return_counts=True
    )
    if len(names) < 2:
        raise SettingError(
            f"the embeddings have {counted(len(names), 'class[es]')} among their labels, and an "
            "audit takes two or more; embed a folder with a sub-folder for each class, or a table "
            "with a column of labels"
        )
    if single := [name for name, count in zip(names, counts, strict=True) if count < 2]:
        raise SettingError(
            f"{abbreviated_list(single)} has a single image; an audit takes two or more of each "
            "class: leave it out, or give it a class that there is"
        )
    return list(names), numbers


def probe_out_of_fold(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n, D) and (n,) -> probabilities (n, K), each by a probe that was not fitted on the image.

    The probe is logistic regression on standardised embeddings, with the C of `STRENGTHS` that has
    the lowest cross-entropy on the images left out.
    """
    folds = StratifiedKFold(min(FOLDS, np.bincount(labels).min()), shuffle=True, random_state=0)
    tried = {}
    for strength in STRENGTHS:
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=strength, max_iter=MAX_ITERATIONS)
        )
        with warnings.catch_warnings():
            # A fit that ends early is regularised more; the images left out decide on it too.
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = cross_val_predict(model, vectors, labels, cv=folds, method="predict_proba")
        tried[log_loss(labels, found)] = found
    best = tried[min(tried)]
    accuracy = float(np.mean(best.argmax(axis=1) == labels))
    log.info(
        "cross-validated probe: its class is the label of %.1f%% of the images", 100 * accuracy
    )
    return best


def import_datalab():
    """cleanlab's `Datalab`.

    Raises:
        SettingError: it is not installed.
    """
    try:
        from cleanlab import Datalab
    except ImportError:
        raise SettingError('an audit needs cleanlab; pip install "vit-keras-lab[audit]"') from None
    return Datalab
