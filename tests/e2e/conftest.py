"""Fixtures of the end-to-end tests. They need root and a built tree; a test that cannot run here is skipped with the reason."""

import os
import signal

import pytest

from harness import BIN, Suite


TEST_TIMEOUT_S = 180  # the longest, thirty kills under load, needs about 25 s


def too_late(signum, frame):
    raise TimeoutError(f"the test did not end within {TEST_TIMEOUT_S} s")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A test that hangs fails, and the rest goes on."""
    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(TEST_TIMEOUT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    setattr(item, "failed_in_" + report.when, report.failed)


@pytest.fixture(scope="session", autouse=True)
def built():
    assert (BIN / "agentd").exists(), "build first: make"
    if os.getuid() != 0:
        pytest.skip("end-to-end tests need root")


@pytest.fixture
def suite(request):
    """A running suite of its own for one test."""
    s = Suite()
    try:
        s.start()
        yield s
    finally:
        s.close(getattr(request.node, "failed_in_call", True))
