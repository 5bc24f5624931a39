"""The studio: train, evaluate and predict in the browser, by the commands of `vit-keras`."""
