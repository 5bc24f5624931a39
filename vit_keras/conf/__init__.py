"""Named choices for Hydra: one folder a group, one file a choice, recipes across all groups."""
