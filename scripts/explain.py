"""See what a model looks at: `python scripts/explain.py run=<dir> image=<file or number>`."""

from vit_keras import run_checks, run_cli


def task(settings):
    from vit_keras.explain import explain_run  # imports Keras: after the checks

    print("explanation:", explain_run(**vars(settings)))


main = run_cli.main(run_cli.ExplainSettings, run_checks.check_explanation, task)

if __name__ == "__main__":
    main()
