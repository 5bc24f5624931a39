"""The Vision Transformer: its layers, sizes and graph. Reads no configuration."""
