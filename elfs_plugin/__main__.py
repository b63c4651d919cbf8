import sys

from .cli import main
from .cli_signals import end_at_once

code = main()
end_at_once()
sys.exit(code)
