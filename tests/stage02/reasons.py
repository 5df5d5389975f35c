"""Why a server did not start, as its log says it."""

CAPSTONE = 9


def reason_in(log: str, stage: int) -> str:
    """Return the line that says why: the last one of a traceback.

    In the capstone it is the only line, for the people who run it.
    """
    lines = [line for line in log.splitlines() if line.strip() and "Exiting" not in line]
    if stage < CAPSTONE:
        return lines[-1]
    reasons = [line for line in lines if line.startswith("ERROR")]
    assert len(reasons) == 1, log
    assert "Traceback" not in log
    return reasons[0]
