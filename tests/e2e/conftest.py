"""Fixtures of the end-to-end tests. They need root and a built tree; a test that cannot run here is skipped with the reason."""

import os
import subprocess

import pytest

from harness import BIN, Suite


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


def audit_state():
    """What `auditctl -s` and `-l` say, without the numbers that only ever rise."""
    def run(flag):
        done = subprocess.run(["auditctl", flag], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout
    keep = ("enabled", "failure", "pid", "rate_limit", "backlog_limit", "backlog_wait_time ")
    return [line for line in run("-s").splitlines() if line.startswith(keep)], run("-l")
