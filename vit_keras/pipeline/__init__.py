"""Continuous training: new labelled images become a model that replaces the champion if better.

settings   what a pipeline is told, in a YAML file
versions   the images that were ingested, a version at a time, and the table of those in use
incoming   what is in the folder of new images, and what of it is new
ingest     a new version: its classes, and which of its images are tested on
state      what is done, in one file: a step whose inputs have not changed is not done again
steps      start, train, evaluate, register, promote
flow       one step after the other
"""
