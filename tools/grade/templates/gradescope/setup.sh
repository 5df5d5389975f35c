#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the autograder.
set -euo pipefail
autograder=${AUTOGRADER:-/autograder}
cd "$autograder/source"

apt-get install --yes python3 python3-venv
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "The grader needs Python 3.11 or newer: choose a newer image, such as Ubuntu 24.04." >&2
  exit 1
fi

# The grader's environment, and the one in which submissions run.
python3 -m venv grader
grader/bin/pip install --quiet -r tests/requirements.txt -c constraints.txt
python3 -m venv "$autograder/solution"
"$autograder/solution/bin/pip" install --quiet -r solution-requirements.txt -c constraints.txt

id learner >/dev/null 2>&1 || useradd --system learner
