"""`python -m worker.sdk MODULE:CLASS ...`: runs a TRACED job, in the sandbox or on a renter's own machine."""

import sys

from worker.sdk.runner import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
