"""Write a run's model for another program: `python scripts/export.py run=<dir> format=onnx`."""

from vit_keras.cli import arguments
from vit_keras.export import preflight


def task(settings):
    from vit_keras.export.exporter import export_run  # imports Keras: after the checks
    from vit_keras.logs import console

    with console():
        export_run(**vars(settings))


main = arguments.main(arguments.ExportSettings, preflight.check_export, task)

if __name__ == "__main__":
    main()
