"""The same as `vit-keras get-data`."""

from vit_keras.cli.get_data import main

if __name__ == "__main__":
    main()
