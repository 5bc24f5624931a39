"""The worker process that runs Keras for the pages, and its client."""
