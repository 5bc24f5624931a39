"""The same as `vit-keras runs`."""

from vit_keras.cli.runs import main

if __name__ == "__main__":
    main()
