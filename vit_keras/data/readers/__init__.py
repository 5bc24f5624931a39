"""One reader for each source of images: folders, arrays, `.npz` files, TensorFlow Datasets."""
