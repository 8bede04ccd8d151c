"""`python -P -m simulator` is `fluss-simulator`."""

import sys

from simulator.cli import main

if __name__ == "__main__":
    sys.exit(main())
