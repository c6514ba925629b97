"""``python -m bench`` is ``tts-bench``."""

from bench.commands.app import main

main()
