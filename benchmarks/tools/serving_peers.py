"""Other ways to serve the model of a run, as their documentation shows it.

    python benchmarks/tools/serving_peers.py keras|mlflow RUN PORT

    keras     Keras' `predict` behind FastAPI; one file as the body
    mlflow    MLflow's own server of a Python model over ONNX Runtime; base64 in JSON

They decode by Pillow and resize to the model's input, and answer with the scores. See also
`serving_litserve.py`.
"""

import base64
import io
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def onnx_session(run, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(f"{run}/export/onnx/model.onnx", options)


def pixels(content, shape):
    """The bytes of a file -> (X, Y, C) uint8."""
    image = Image.open(io.BytesIO(content)).convert("L" if shape[2] == 1 else "RGB")
    size = shape[1], shape[0]
    array = np.asarray(image if image.size == size else image.resize(size, Image.BILINEAR))
    return array.reshape(shape)


def compute(session, images):
    """(B, X, Y, C) -> (B, classes)."""
    return session.run(["probabilities"], {"pixels": np.stack(images)})[0]


def serve_keras(run, port):
    import uvicorn
    from fastapi import FastAPI, Request

    import vit_keras

    model = vit_keras.open_run(run).model
    shape = model.input_shape[1:]
    model.predict(np.zeros((1, *shape), "uint8"), verbose=0)
    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request):
        image = pixels(await request.body(), shape)
        return {"logits": model.predict(image[None], verbose=0)[0].tolist()}

    uvicorn.run(app, port=port, log_level="warning")


def serve_mlflow(run, port):
    import mlflow
    import uvicorn
    from mlflow.pyfunc import scoring_server

    class Service(mlflow.pyfunc.PythonModel):
        def load_context(self, context):
            self.session = onnx_session(run, CORES)
            self.shape = self.session.get_inputs()[0].shape[1:]

        def predict(self, context, model_input, params=None):
            files = model_input["image"]
            images = [pixels(base64.b64decode(file), self.shape) for file in files]
            return compute(self.session, images).tolist()

    folder = tempfile.mkdtemp()
    mlflow.pyfunc.save_model(f"{folder}/model", python_model=Service(), pip_requirements=[])
    os.environ[scoring_server._SERVER_MODEL_PATH] = f"{folder}/model"
    uvicorn.run("mlflow.pyfunc.scoring_server.app:app", port=port, log_level="warning")


PEERS = {"keras": serve_keras, "mlflow": serve_mlflow}

if __name__ == "__main__":
    name, run, port = sys.argv[1:]
    PEERS[name](str(Path(run).resolve()), int(port))
