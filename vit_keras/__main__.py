"""`python -m vit_keras train ...` is `vit-keras train ...`."""

from vit_keras.cli.main import main

if __name__ == "__main__":
    main()
