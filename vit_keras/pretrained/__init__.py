"""Backbones that others trained: how they are read, and what they become."""
