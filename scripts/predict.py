"""The same as `vit-keras predict`."""

from vit_keras.cli.predict import main

if __name__ == "__main__":
    main()
