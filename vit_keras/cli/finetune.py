"""Fine-tune a pretrained ViT: `vit-keras finetune recipe=finetune_cifar10`."""

import functools

from vit_keras.cli import hydra_app
from vit_keras.runs import history
from vit_keras.training import preflight


@functools.partial(hydra_app.main, recipe="finetune_digits", check=preflight.has_handle)
def main(config):
    from vit_keras.training.finetune import finetune_model  # imports Keras: after the checks

    return history.objective(finetune_model(config).metrics, history.monitor_of(config))
