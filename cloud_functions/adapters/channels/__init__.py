"""One file for each type of channel. ``of_aws`` registers those of AWS; other clouds have deliverers of their own."""
