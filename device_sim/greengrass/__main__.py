"""``python -m device_sim.greengrass``."""

import sys

from device_sim.greengrass.main import main

if __name__ == "__main__":
    sys.exit(main())
