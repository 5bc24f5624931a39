"""The same as `vit-keras explain`."""

from vit_keras.cli.explain import main

if __name__ == "__main__":
    main()
