"""The same as `vit-keras evaluate`."""

from vit_keras.cli.evaluate import main

if __name__ == "__main__":
    main()
