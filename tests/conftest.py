"""What all tests share: property tests are not timed, because a busy machine is no defect."""

from hypothesis import settings

settings.register_profile("strandline", deadline=None)
settings.load_profile("strandline")
