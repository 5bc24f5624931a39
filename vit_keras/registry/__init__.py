"""Registered models: which version of a model is in use, and which may replace it.

package    the folder that is registered: the ONNX export of a run and all that explains it
models     versions and aliases in MLflow's registry, and their download
measure    what two versions do on the same test images
gate       when a challenger may replace the champion
promote    register, promote and roll back
"""
