"""The same as `vit-keras export`."""

from vit_keras.cli.export import main

if __name__ == "__main__":
    main()
