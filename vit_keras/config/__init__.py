"""What can be set: the settings, their checks, and how a command line becomes a `Config`."""
