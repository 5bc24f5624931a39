"""Run directories: writing, listing, comparing and archiving them. Free of Keras."""
