"""The same as `vit-keras estimate`."""

from vit_keras.cli.estimate import main

if __name__ == "__main__":
    main()
