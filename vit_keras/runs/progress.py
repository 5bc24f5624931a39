"""How far a training is, for whoever looks at its directory: `progress.json`, while it runs."""

PROGRESS = "progress.json"
