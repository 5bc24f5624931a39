"""Measure a trained model: `python scripts/evaluate.py run=<dir>`; `sizes=32,48` tries others."""

from vit_keras.cli import arguments
from vit_keras.evaluation.preflight import check_evaluation


def task(settings):
    from vit_keras.evaluation.evaluate import evaluate_run  # imports Keras: after the checks
    from vit_keras.logs import console

    with console():
        given = vars(settings)
        evaluate_run(overrides=given.pop("data"), **given)


main = arguments.main(arguments.EvaluateSettings, check_evaluation, task)

if __name__ == "__main__":
    main()
