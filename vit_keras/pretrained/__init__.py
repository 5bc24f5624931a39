"""Pretrained ViTs: download, read, convert and save weights in the formats of other libraries."""
