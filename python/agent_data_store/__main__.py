"""`python -m agent_data_store` is the program `ads`."""

import sys

from agent_data_store._cli import main

if __name__ == "__main__":
    sys.exit(main())
