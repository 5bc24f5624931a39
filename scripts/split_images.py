"""The same as `vit-keras split`."""

from vit_keras.cli.split import main

if __name__ == "__main__":
    main()
