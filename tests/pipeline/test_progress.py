"""Work that nobody watches does not pay for being watched."""

from pipeline.progress import NO_PROGRESS


def test_work_that_nobody_watches_is_not_measured() -> None:
    def measure() -> float:
        raise AssertionError("nobody watches")

    with NO_PROGRESS.step("reading", total=2, unit="file", measure=measure) as step:
        step.advance(1)
