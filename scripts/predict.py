"""Say what images are of: `python scripts/predict.py run=<dir> photos/ 'more/*.jpg' format=csv`."""

import os
import sys
from pathlib import Path

from vit_keras.cli import arguments
from vit_keras.errors import SettingError
from vit_keras.predict import preflight
from vit_keras.text import one_line


def task(settings):
    from vit_keras.predict import outputs
    from vit_keras.predict import predictor as predict_predictor  # import Keras: after the checks

    predictor = predict_predictor.Predictor(settings.run)
    done = outputs.predict_files(predictor, settings.images, settings.top_k, settings.flip)
    for bad in done.unreadable:
        print(f"{one_line(bad.source)}: {bad.reason}", file=sys.stderr)
    if not done.predictions:
        raise SettingError(f"none of {len(done.unreadable)} files could be read, as said above")
    print(done, file=sys.stderr)
    form = preflight.prediction_format(settings.format, settings.output)
    content = outputs.WRITERS[form](done.predictions)
    if settings.output is None:
        show(content)
    else:
        place = Path(settings.output).expanduser()
        outputs.write(content, place)
        print("predictions:", one_line(str(place)))


def show(content):
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # `| head` has seen enough, and what is left has no reader
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


main = arguments.main(arguments.PredictSettings, preflight.check_prediction, task)

if __name__ == "__main__":
    main()
