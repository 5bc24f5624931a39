"""Write a run's model for another program: `python scripts/export.py run=<dir> format=onnx`."""

from vit_keras import run_checks, run_cli


def task(settings):
    from vit_keras.export import export_run  # imports Keras: after the checks
    from vit_keras.logs import console

    with console():
        export_run(**vars(settings))


main = run_cli.main(run_cli.ExportSettings, run_checks.check_export, task)

if __name__ == "__main__":
    main()
