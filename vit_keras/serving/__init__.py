"""Serve a run over HTTP, by its ONNX file: no Keras and no TensorFlow in the process.

    served_model   decodes and classifies images, in threads
    admission      how many requests compute and wait; the others are turned away
    bodies         the images of a request: multipart, raw bytes or base64 in JSON
    answers        what is sent back, as OpenAPI describes it
    openapi        how bodies and refusals are described
    app            the FastAPI application
    server         how uvicorn listens, and which connections it closes
    client         a client in Python, of the standard library alone

FastAPI, and not LitServe: a request is one decoding and one call of ONNX Runtime, both of which
release the GIL, so that threads of one process use all cores, and a process for each worker with a
queue between them has nothing to add on a CPU.
"""
