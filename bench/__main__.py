"""`python -m bench [PART…] [--rows N]`."""

import sys

from bench.run import main

sys.exit(main())
