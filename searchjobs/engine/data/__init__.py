"""Images: sources, the device-resident set, batched augmentation, the split."""
