"""Which of several runs is called the best, by each metric."""

from helpers.fake_runs import finished
from vit_keras.runs import tables
from vit_keras.runs.compare import compare


def test_no_run_is_called_better_by_what_can_be_chance(tmp_path):
    def marked(**metrics):
        names = [f"{name}{len(list(tmp_path.iterdir()))}" for name in "ab"]
        for place, name in enumerate(names):
            finished(tmp_path / name, **{key: pair[place] for key, pair in metrics.items()})
        found = compare(*names, root=tmp_path, draw=False)
        cells = {one.name: tables.marked_metrics(one, found, "*") for one in found.metrics}
        return {name for name in metrics if any("*" in text for text in cells[name])}

    few = dict(test_images=(15, 15), test_accuracy=(1.0, 14 / 15), test_loss=(0.03, 0.3))
    assert marked(**few) == set()
    some = dict(test_images=(200, 200), test_accuracy=(0.97, 0.96), test_loss=(0.1, 0.2))
    assert marked(**some) == {"test_loss"}
    many = dict(test_images=(10_000, 10_000), test_accuracy=(0.89, 0.86))
    assert marked(**many) == {"test_accuracy"}
    one = dict(test_images=(200, 200), test_accuracy=(0.9, float("nan")))  # as of a damaged file
    assert marked(**one) <= {"test_accuracy"}
    speed = dict(
        images_per_second=(14.5, 32.2), train_seconds=(210.7, 101.7), peak_memory_mb=(1808, 1803)
    )
    assert marked(**speed) == set()
