"""ViTs that others trained: from a handle to a model of ours, and back."""
