"""What computes pictures: engines, and what they do before and after the device."""
