"""Tiny models, made once."""

import pytest
from tiny_models import save_model


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("bert"), "bert")


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("gpt2"), "gpt2")
