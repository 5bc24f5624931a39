"""What a training will take: `python scripts/estimate.py recipe=cifar10`; makes no run."""

from vit_keras import cli


@cli.main
def main(config):
    from vit_keras.estimate import estimate  # imports Keras: only once the settings are checked

    print("\n".join(estimate(config).lines()))


if __name__ == "__main__":
    main()
