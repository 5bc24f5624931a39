"""The same as `vit-keras find-lr`."""

from vit_keras.cli.find_lr import main

if __name__ == "__main__":
    main()
