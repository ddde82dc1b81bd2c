"""What holds for all tests of this folder."""

from hypothesis import settings

# How long an example takes says what else the machine does, not what the code does.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")
