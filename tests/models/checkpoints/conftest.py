"""Calico's releases and CoLVA's, tiny."""

import pytest
import tiny_colva
import tiny_releases


@pytest.fixture(scope="session")
def config(tmp_path_factory):
    return tiny_releases.tiny_config(tmp_path_factory.mktemp("none"))


@pytest.fixture(scope="session")
def released(tmp_path_factory, config):
    """Folder with them."""
    folder = tmp_path_factory.mktemp("released")
    tiny_releases.write_releases(folder, config)
    return folder


@pytest.fixture(scope="session")
def colva_releases(tmp_path_factory):
    """Folder with CoLVA's."""
    folder = tmp_path_factory.mktemp("colva_releases")
    tiny_colva.write_releases(folder)
    return folder
