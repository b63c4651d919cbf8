import sys

from .cli.commands import main
from .cli.signals import end_at_once

code = main()
end_at_once()
sys.exit(code)
