"""The same as `vit-keras show-augment`."""

from vit_keras.cli.show_augment import main

if __name__ == "__main__":
    main()
