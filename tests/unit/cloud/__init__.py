"""The cloud against fakes of its ports."""
