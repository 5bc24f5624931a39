"""The process that holds Keras for the pages."""
