"""``python -m device_sim.nucleus``."""

import sys

from device_sim.nucleus.main import main

if __name__ == "__main__":
    sys.exit(main())
