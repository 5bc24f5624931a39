"""See what an augmentation does: `python scripts/show_augment.py data=cifar10 augment=heavy`."""

from vit_keras import cli


@cli.main
def main(config):
    from vit_keras import data  # imports Keras: only once the settings are checked
    from vit_keras.augment import sheet

    sheet.file_of(config)  # before the data are read
    splits = data.load(config.data, config.train.seed)
    print(f"augmentation sheet: {sheet.write_sheet(config, splits).resolve()}")


if __name__ == "__main__":
    main()
