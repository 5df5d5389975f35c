"""Finding the reason in the log of a server that did not start."""

CAPSTONE = 9


def reason_in(log: str, stage: int) -> str:
    """Return the line with the reason: the last line of a traceback.

    In the capstone the reason is the only error line.
    """
    lines = [line for line in log.splitlines() if line.strip() and "Exiting" not in line]
    if stage < CAPSTONE:
        return lines[-1]
    reasons = [line for line in lines if line.startswith("ERROR")]
    assert len(reasons) == 1, log
    assert "Traceback" not in log
    return reasons[0]
