"""`python -m hpaxis`: the command `hpaxis`, where its console script is not on the path."""

import sys

from hpaxis.cli import main

sys.exit(main())
