"""The app and its pages, one file per page."""
