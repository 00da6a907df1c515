"""Fixtures every room shares."""

import os
import signal
from pathlib import Path

import pytest

from original_format import write_original

# a shell that starts the tests in the background has them ignore Ctrl-C, which some of them are about
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public images and reference values beside the checkout; absent on most machines."""
    if not SHARED.is_dir():
        reason = "needs ../shared (public images and reference values), which does not lie beside this checkout"
        # A continuous-integration machine is expected to have it; one that cannot says so with HILUM_SHARED=absent.
        if os.environ.get("CI") and os.environ.get("HILUM_SHARED") != "absent":
            pytest.fail(reason + ", though CI is set; set HILUM_SHARED=absent where it cannot be there")
        pytest.skip(reason)
    return SHARED


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def tiny_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Janus with random weights in the original format: a real reporter, though its words mean nothing."""
    return write_original(tmp_path_factory.mktemp("janus") / "tiny")
