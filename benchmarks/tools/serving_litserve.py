"""The model of a run by LitServe over ONNX Runtime; base64 in JSON.

    python benchmarks/tools/serving_litserve.py RUN PORT LARGEST_BATCH

With a largest batch of 1 a process for each core, otherwise one process with all cores.
"""

import base64
import sys

import litserve

from serving_peers import CORES, compute, onnx_session, pixels


class Service(litserve.LitAPI):
    def __init__(self, run, threads, **batches):
        super().__init__(**batches)
        self.run, self.threads = run, threads

    def setup(self, device):
        self.session = onnx_session(self.run, self.threads)
        self.shape = self.session.get_inputs()[0].shape[1:]

    def decode_request(self, request):
        return pixels(base64.b64decode(request["image"]), self.shape)

    def predict(self, image):
        return compute(self.session, image if self.max_batch_size > 1 else [image])

    def encode_response(self, output):
        return {"probabilities": output.ravel().tolist()}


def main():
    run, port, largest = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    workers = CORES if largest == 1 else 1
    batches = {} if largest == 1 else dict(max_batch_size=largest, batch_timeout=0.005)
    service = Service(run, CORES // workers, **batches)
    server = litserve.LitServer(service, accelerator="cpu", workers_per_device=workers, timeout=60)
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()
