"""Say what images are of: `python scripts/predict.py run=<dir> photos/ 'more/*.jpg' format=csv`."""

from vit_keras import run_checks, run_cli


def task(settings):
    from vit_keras.predict_files import report  # imports Keras: after the checks

    report(settings)


main = run_cli.main(run_cli.PredictSettings, run_checks.check_prediction, task)

if __name__ == "__main__":
    main()
