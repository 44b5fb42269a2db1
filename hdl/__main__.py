"""``python -m hdl``."""

import sys

from hdl.cli import main

if __name__ == "__main__":
    sys.exit(main())
