"""What a facility does around a run: carry it to a host without internet, account for it, describe it."""
