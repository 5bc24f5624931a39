"""See what a model looks at: `python scripts/explain.py run=<dir> image=<file or number>`."""

from vit_keras.cli import arguments
from vit_keras.explain import preflight


def task(settings):
    from vit_keras.explain.explanation import explain_run  # imports Keras: after the checks

    print("explanation:", explain_run(**vars(settings)))


main = arguments.main(arguments.ExplainSettings, preflight.check_explanation, task)

if __name__ == "__main__":
    main()
