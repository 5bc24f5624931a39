"""The studio: training in the browser, thin over the scripts. `python -m vit_keras.studio`."""
