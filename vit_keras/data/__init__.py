"""Images and labels: reading, splitting, checking and batching them."""
