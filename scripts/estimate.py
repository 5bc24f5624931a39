"""What a training will take: `python scripts/estimate.py recipe=cifar10`; makes no run."""

from vit_keras.cli import hydra_app


@hydra_app.main
def main(config):
    from vit_keras.training.estimate import estimate

    print("\n".join(estimate(config).lines()))


if __name__ == "__main__":
    main()
