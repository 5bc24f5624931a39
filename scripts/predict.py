"""Say what images are of: `python scripts/predict.py run=<dir> photos/ 'more/*.jpg' format=csv`."""

import os
import sys
from pathlib import Path

from vit_keras import run_checks, run_cli
from vit_keras.errors import SettingError
from vit_keras.text_tables import on_a_line


def task(settings):
    from vit_keras import predict, predict_files  # import Keras: after the checks

    predictor = predict.Predictor(settings.run)
    done = predict_files.predict_files(predictor, settings.images, settings.top_k, settings.flip)
    for bad in done.unreadable:
        print(f"{on_a_line(bad.source)}: {bad.reason}", file=sys.stderr)
    if not done.predictions:
        raise SettingError(f"none of {len(done.unreadable)} files could be read, as said above")
    print(done, file=sys.stderr)
    form = run_checks.prediction_format(settings.format, settings.output)
    content = predict_files.WRITERS[form](done.predictions)
    if settings.output is None:
        show(content)
    else:
        place = Path(settings.output).expanduser()
        predict_files.write(content, place)
        print("predictions:", on_a_line(str(place)))


def show(content):
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # `| head` has seen enough, and what is left has no reader
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


main = run_cli.main(run_cli.PredictSettings, run_checks.check_prediction, task)

if __name__ == "__main__":
    main()
