"""``python -m tandem_lab.prepare``: what is slow and done once, before anything that has a deadline."""

import sys

from tandem_lab import gemma, tools


def main() -> int:
    try:
        tools.cluster_programs(tools.say)
        gemma.prepare(tools.say)
    except RuntimeError as error:  # a ToolError is one
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
