"""Reference implementations; tests are skipped where one is not installed."""

import pytest

from torchvision_stand_in import torchvision_or_stand_in


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="session")
def transformers(torch):
    return pytest.importorskip("transformers", reason="Hugging Face transformers is not installed")


@pytest.fixture(scope="session")
def timm(torch):
    with torchvision_or_stand_in():
        return pytest.importorskip("timm", reason="timm is not installed")


@pytest.fixture
def quiet(transformers):
    """Nothing of what Hugging Face prints as it saves and loads."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
