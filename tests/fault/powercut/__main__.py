"""One state of a recording, again: ``python -m tests.fault.powercut RECORDING LINE SEED FOLDER``.

It is put into FOLDER as a state directory; what cannot be answered for is said, and the exit code is 1 then.
"""

import sys
import tempfile
from pathlib import Path

from tests.fault.powercut.cuts import Cuts
from tests.fault.powercut.recording import Recording

if __name__ == "__main__":
    folder, line, seed, wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        cuts = Cuts(Recording.reopened(Path(folder)), Path(scratch))
        state = cuts.state(int(line), int(seed))
        state.put(Path(wanted))
        faults = cuts.judge.faults(state.line, state.files)
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    sys.exit(bool(faults))
