"""``python -m bench`` is ``tts-bench``."""

from bench.cli import main

main()
