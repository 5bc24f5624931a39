"""Files on disk: atomic writes, zip files, work in threads."""
