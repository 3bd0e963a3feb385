"""The table of faults that the downloader was put through, at the end of a test run."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(name): what goes wrong during a download")


@pytest.fixture(autouse=True)
def named_fault(request: pytest.FixtureRequest, record_property) -> None:
    for marker in request.node.iter_markers("fault"):
        record_property("fault", marker.args[0])


def pytest_terminal_summary(terminalreporter) -> None:
    rows = [
        (name, outcome, [str(value) for key, value in report.user_properties if key == "count"])
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call"
        for name in (value for key, value in report.user_properties if key == "fault")
    ]
    if not rows:
        return
    survived = sum(outcome == "passed" for _, outcome, _ in rows)
    terminalreporter.section(f"downloads: {survived} of {len(rows)} faults survived")
    for name, outcome, counts in rows:
        terminalreporter.write_line(f"{outcome:7} {'; '.join([name, *counts])}")
